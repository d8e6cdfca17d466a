"""Who can speak: general answerers, each made from its own options by ``open_engine``.

An engine knows nothing of tasks, prices or receipts.
"""

from shoal.engines.engine import (
    Embedder,
    Engine,
    ResponseKeeper,
    TokenCounter,
    open_engine,
)
from shoal.engines.options import (
    AnthropicOptions,
    EchoOptions,
    EndpointOptions,
    EngineOptions,
    RecordedOptions,
    RemoteOptions,
)
from shoal.engines.reply import NeverAsked, Reply
from shoal.engines.written import WrittenStream

__all__ = [
    "AnthropicOptions",
    "EchoOptions",
    "Embedder",
    "EndpointOptions",
    "Engine",
    "EngineOptions",
    "NeverAsked",
    "RecordedOptions",
    "RemoteOptions",
    "Reply",
    "ResponseKeeper",
    "TokenCounter",
    "WrittenStream",
    "open_engine",
]
