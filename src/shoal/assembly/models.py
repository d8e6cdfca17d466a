"""The models of ``shoal.toml``: an engine and its tariff by name."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from shoal.engines import (
    AdapterOptions,
    EchoOptions,
    EndpointOptions,
    Engine,
    EngineOptions,
    LocalOptions,
    Windowed,
    open_engine,
)
from shoal.errors import ConfigError, UnknownModel
from shoal.routing.context import listed_window
from shoal.routing.prices import Tariff
from shoal.routing.receipt import CACHE
from shoal.routing.tokenizer import Tokenizer, open_tokenizer

LOCAL = "local"  # the residency of every local model


class Model(Struct, frozen=True):
    """One model that callers may ask for; ``fallback`` names those to ask when it cannot answer.
    What a ``local`` one is told does not leave this machine. ``context`` is in tokens,
    ``residency`` where its endpoints are, "" if unknown. ``tokenizer`` counts what they did not."""

    name: str
    engine: Engine
    tariff: Tariff
    fallback: tuple[str, ...] = ()
    local: bool = True
    context: int | None = None
    residency: str = ""
    tokenizer: Tokenizer | None = None

    @property
    def labels(self) -> frozenset[str]:
        """Where what it is told is kept; empty where nobody said."""
        stated = {self.residency} if self.residency else set()
        return frozenset(stated | {LOCAL} if self.local else stated)


class Models:
    """All models, by name."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = dict(models)

    @classmethod
    def open(cls, options: Mapping[str, EngineOptions]) -> "Models":
        """Open the engine of each model, and its tokenizer.

        Raises:
            ConfigError: a key or a file is missing, a file is damaged, or a fallback is no model.
        """
        if CACHE in options:
            raise ConfigError(
                f"models.{CACHE}: the exact cache is called so in receipts; choose another name"
            )
        for name, option in options.items():
            _check_fallback(name, option, options)
        return cls({name: _open(name, option, options) for name, option in options.items()})

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def get(self, name: str) -> Model:
        """The model a caller asked for.

        Raises:
            UnknownModel: none of that name; the message lists those there are.
        """
        found = self._models.get(name)
        if found is None:
            there = ", ".join(self) or "none"
            raise UnknownModel(f"no model named {name!r}; shoal.toml names: {there}", "model")
        return found

    def provider(self, name: str) -> str:
        """Whose model it is; "" where nobody said, or where there is none of that name."""
        found = self._models.get(name)
        return (found.tariff.provider or "") if found else ""

    def fallbacks(self, model: Model) -> list[Model]:
        """Those to ask when ``model`` cannot answer, in order."""
        return [self._models[name] for name in model.fallback]

    async def aclose(self) -> None:
        """Close every engine."""
        for model in self._models.values():
            await model.engine.aclose()


def check_models(place: str, names: Iterable[str], models: Models) -> None:
    """Refuse names that are none.

    Raises:
        ConfigError: says which, and what there is.
    """
    known = list(models)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{place}: expected names of models ({', '.join(known) or 'none'}), found {name!r}"
            )


def tariff_of(name: str, options: EngineOptions) -> Tariff:
    """What a model of ``shoal.toml`` costs."""
    endpoint = options if isinstance(options, EndpointOptions) else None
    return Tariff(
        model=(endpoint.model if endpoint else None) or name,
        provider=endpoint.provider if endpoint else None,
        input=options.input_price,
        output=options.output_price,
        cached=options.cached_price,
        cache_write=options.cache_write_price,
        reasoning=options.reasoning_price,
    )


def _open(name: str, options: EngineOptions, others: Mapping[str, EngineOptions]) -> Model:
    source = getattr(options, "tokenizer", None)
    tokenizer = open_tokenizer(source, f"models.{name}.tokenizer") if source else None
    engine, tariff = open_engine(name, options, others), tariff_of(name, options)
    if isinstance(engine, Windowed):
        return Model(name, engine, tariff, _fallback_of(options), context=engine.context_tokens)
    if not isinstance(options, EndpointOptions):
        return Model(name, engine, tariff, tokenizer=tokenizer)
    context = options.context_tokens or listed_window(tariff.model, tariff.provider)
    where = options.residency or ""
    return Model(name, engine, tariff, options.fallback, options.local, context, where, tokenizer)


def _fallback_of(options: EngineOptions) -> tuple[str, ...]:
    has_some = isinstance(options, EndpointOptions | LocalOptions | AdapterOptions)
    return options.fallback if has_some else ()


def _check_fallback(name: str, option: EngineOptions, known: Mapping[str, EngineOptions]) -> None:
    for other in _fallback_of(option):
        if other == name or other not in known:
            others = ", ".join(sorted(known.keys() - {name})) or "none"
            raise ConfigError(
                f"models.{name}.fallback: expected names of other models ({others}), "
                f"found {other!r}"
            )
