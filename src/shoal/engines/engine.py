"""What every engine can do, and how one is made from its options."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from shoal.chat import Answerer, Request, Streamer
from shoal.engines.echo import EchoEngine
from shoal.engines.options import (
    AdapterOptions,
    EchoOptions,
    EncoderDecoderOptions,
    EngineOptions,
    LocalOptions,
    MixtureOptions,
    RecordedOptions,
)
from shoal.engines.recorded import RecordedEngine
from shoal.engines.reply import Reply
from shoal.errors import ConfigError
from shoal.formats.embeddings import Embedded, EmbeddingRequest
from shoal.formats.responses.kept import AskedResponse


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


@runtime_checkable
class TokenCounter(Protocol):
    """An engine that may be able to tell how many tokens a request has."""

    @property
    def counts_tokens(self) -> bool:
        """Whether its upstream speaks the one format in which that can be asked."""

    async def count_tokens(self, request: Request) -> Reply | None:
        """The upstream's own count of a Messages request; None if it turns out to have none.

        Raises:
            EngineError: it could not.
        """


@runtime_checkable
class Windowed(Protocol):
    """An engine that knows how long its model's context is."""

    @property
    def context_tokens(self) -> int:
        """Tokens of a request and its answer together, at most."""


@runtime_checkable
class ResponseKeeper(Protocol):
    """An engine whose upstream may keep responses, to be fetched by their ids."""

    async def kept_response(self, asked: AskedResponse) -> Reply:
        """What the upstream says of a response that it made.

        Raises:
            Untranslatable: its upstream keeps none.
            EngineError: it could not say.
        """


def open_engine(
    name: str, options: EngineOptions, others: Mapping[str, EngineOptions] | None = None
) -> Engine:
    """The engine that ``options`` describe, called ``name``; ``others`` are those that an adapter's
    base is one of.

    Raises:
        ConfigError: its key or its file is missing, or its file is damaged.
        MissingExtra: it runs on this machine, and llama.cpp is not installed.
    """
    if isinstance(options, LocalOptions | AdapterOptions):
        return _open_local(name, options, others or {})
    if isinstance(options, EncoderDecoderOptions):
        from shoal.engines.rewriter import RewriterEngine  # for those few that have one

        return RewriterEngine(name, options)
    if isinstance(options, MixtureOptions):
        raise ConfigError(f"models.{name}: a mixture is made of models that are open")
    if isinstance(options, RecordedOptions):
        return RecordedEngine(name, options)
    if isinstance(options, EchoOptions):
        return EchoEngine(name)
    from shoal.engines.remote import RemoteEngine  # .2 s of aiohttp, which most commands need not

    return RemoteEngine(name, options)


def _open_local(
    name: str, options: LocalOptions | AdapterOptions, others: Mapping[str, EngineOptions]
) -> Engine:
    from shoal.engines.local.engine import LocalEngine  # for those few that have one

    if isinstance(options, LocalOptions):
        return LocalEngine(name, options)
    base = others.get(options.base)
    if not isinstance(base, LocalOptions):
        local = [name for name, other in others.items() if isinstance(other, LocalOptions)]
        raise ConfigError(
            f"models.{name}.base: expected the name of a local model "
            f"({', '.join(local) or 'none'}), found {options.base!r}"
        )
    return LocalEngine(name, base, options)
