"""What every engine can do, and how one is made from its options."""

from typing import Protocol, runtime_checkable

from shoal.chat import Answerer, Streamer
from shoal.engines.echo import EchoEngine
from shoal.engines.options import EchoOptions, EngineOptions, RecordedOptions
from shoal.engines.recorded import RecordedEngine
from shoal.engines.remote import RemoteEngine
from shoal.formats.embeddings import Embedded, EmbeddingRequest


class Engine(Answerer, Streamer, Protocol):
    """A general answerer: answers whole or piece by piece, and can be closed."""

    async def aclose(self) -> None:
        """Let go of connections."""


@runtime_checkable
class Embedder(Protocol):
    """An engine that can also turn texts into vectors."""

    async def embed(self, request: EmbeddingRequest) -> Embedded:
        """A vector for each text.

        Raises:
            Untranslatable: its upstream has no embeddings.
            EngineError: it could not.
        """


def open_engine(name: str, options: EngineOptions) -> Engine:
    """The engine that ``options`` describe, called ``name``.

    Raises:
        ConfigError: its key or its file is missing, or its file is damaged.
    """
    if isinstance(options, RecordedOptions):
        return RecordedEngine(name, options)
    if isinstance(options, EchoOptions):
        return EchoEngine(name)
    return RemoteEngine(name, options)
