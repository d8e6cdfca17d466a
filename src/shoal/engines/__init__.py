"""Who can speak: general answerers, each made from its own options by ``open_engine``.

An engine knows nothing of tasks, prices or receipts.
"""

from shoal.engines.engine import Engine, open_engine
from shoal.engines.options import EchoOptions, EngineOptions, RecordedOptions, RemoteOptions
from shoal.engines.written import WrittenStream

__all__ = [
    "EchoOptions",
    "Engine",
    "EngineOptions",
    "RecordedOptions",
    "RemoteOptions",
    "WrittenStream",
    "open_engine",
]
