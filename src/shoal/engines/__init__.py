"""Who can speak: general answerers, each made from its own options by ``open_engine``.

An engine knows nothing of tasks, prices or receipts.
"""

from shoal.engines.engine import (
    Embedder,
    Engine,
    ResponseKeeper,
    TokenCounter,
    Windowed,
    open_engine,
)
from shoal.engines.mixture import MixtureEngine
from shoal.engines.options import (
    AdapterOptions,
    AnthropicOptions,
    EchoOptions,
    EncoderDecoderOptions,
    EndpointOptions,
    EngineOptions,
    LocalOptions,
    MixtureOptions,
    RecordedOptions,
    RemoteOptions,
)
from shoal.engines.reply import NeverAsked, Reply
from shoal.engines.written import WrittenStream

__all__ = [
    "AdapterOptions",
    "AnthropicOptions",
    "EchoOptions",
    "Embedder",
    "EncoderDecoderOptions",
    "EndpointOptions",
    "Engine",
    "EngineOptions",
    "LocalOptions",
    "MixtureEngine",
    "MixtureOptions",
    "NeverAsked",
    "RecordedOptions",
    "RemoteOptions",
    "Reply",
    "ResponseKeeper",
    "TokenCounter",
    "Windowed",
    "WrittenStream",
    "open_engine",
]
