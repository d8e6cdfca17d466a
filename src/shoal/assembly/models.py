"""The models of ``shoal.toml``: an engine and its tariff by name."""

from collections.abc import Iterable, Iterator, Mapping

from shoal.assembly.mixture import open_mixture
from shoal.assembly.model import LOCAL, Model
from shoal.assembly.strategies import reasoned
from shoal.engines import (
    EndpointOptions,
    Engine,
    EngineOptions,
    MixtureOptions,
    Windowed,
    open_engine,
)
from shoal.errors import ConfigError, MalformedRequest, UnknownModel
from shoal.reasoning import Strategy, split_name
from shoal.reasoning.options import ReasoningOptions
from shoal.routing.context import listed_window
from shoal.routing.prices import Tariff
from shoal.routing.receipt import CACHE
from shoal.routing.tokenizer import open_tokenizer

__all__ = ["LOCAL", "Model", "Models", "check_models", "check_options", "tariff_of"]


class Models:
    """All models, by name; by a name like ``granite+vote:5`` each with a strategy, too."""

    def __init__(
        self, models: Mapping[str, Model], reasoning: ReasoningOptions | None = None
    ) -> None:
        self._models = dict(models)
        self._reasoning = reasoning or ReasoningOptions()

    @classmethod
    def open(
        cls, options: Mapping[str, EngineOptions], reasoning: ReasoningOptions | None = None
    ) -> "Models":
        """Open the engine of each model, and its tokenizer.

        Raises:
            ConfigError: a key or a file is missing, a file is damaged, a fallback is no model, or a
                name reads like that of another model with a strategy.
            MissingExtra: a local model, and llama.cpp is not installed.
        """
        check_options(options)
        single = {n: one for n, one in options.items() if not isinstance(one, MixtureOptions)}
        opened = {name: _open(name, option, single) for name, option in single.items()}
        engines = {name: model.engine for name, model in opened.items()}
        for name, option in options.items():
            if isinstance(option, MixtureOptions):
                opened[name] = _mixed(name, option, options, engines)
        return cls({name: opened[name] for name in options}, reasoning)

    @property
    def reasoning(self) -> ReasoningOptions:
        """How strategies ask."""
        return self._reasoning

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def get(self, name: str) -> Model:
        """The model a caller asked for.

        Raises:
            UnknownModel: none of that name; the message lists those there are.
            MalformedRequest: its strategy takes more samples than may be taken.
        """
        found = self._models.get(name)
        split = None if found is not None else split_name(name)
        if split is not None and split[0] in self._models:
            return self.reasoned(self._models[split[0]], split[1])
        if found is None:
            there = ", ".join(self) or "none"
            raise UnknownModel(f"no model named {name!r}; shoal.toml names: {there}", "model")
        return found

    def reasoned(self, model: Model, strategy: Strategy) -> Model:
        """A model with a strategy.

        Raises:
            UnknownModel: the strategy asks models that there are not.
            MalformedRequest: it takes more samples than may be taken.
        """
        return reasoned(model, strategy, self._models, self._reasoning)

    def provider(self, name: str) -> str:
        """Whose model it is; "" where nobody said, or where there is none of that name."""
        split = split_name(name) or (name,)
        found = self._models.get(name) or self._models.get(split[0])
        return (found.tariff.provider or "") if found else ""

    def fallbacks(self, model: Model) -> list[Model]:
        """Those to ask when ``model`` cannot answer, in order."""
        return [self._models[name] for name in model.fallback]

    async def aclose(self) -> None:
        """Close every engine."""
        for model in self._models.values():
            await model.engine.aclose()


def check_options(options: Mapping[str, EngineOptions]) -> None:
    """See that the models' names, and those that they name as fallbacks, can be what they are.

    Raises:
        ConfigError: says which cannot.
    """
    if CACHE in options:
        raise ConfigError(
            f"models.{CACHE}: the exact cache is called so in receipts; choose another name"
        )
    for name, option in options.items():
        _check_fallback(name, option, options)
        _check_name(name, options)


def check_models(place: str, names: Iterable[str], models: Models) -> None:
    """Refuse names that are none.

    Raises:
        ConfigError: says which, and what there is.
    """
    known = list(models)
    for name in names:
        try:
            models.get(name)
        except MalformedRequest as error:
            raise ConfigError(f"{place}: {error}") from None
        except UnknownModel:
            raise ConfigError(
                f"{place}: expected names of models ({', '.join(known) or 'none'}), found {name!r}"
            ) from None


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
        return Model(name, engine, tariff, _fallback_of(options), tokenizer=tokenizer)
    context = options.context_tokens or listed_window(tariff.model, tariff.provider)
    where = options.residency or ""
    return Model(name, engine, tariff, options.fallback, options.local, context, where, tokenizer)


def _mixed(
    name: str,
    options: MixtureOptions,
    others: Mapping[str, EngineOptions],
    engines: Mapping[str, Engine],
) -> Model:
    mixture = open_mixture(name, options, others, engines)
    engine, tariff = mixture.engine, tariff_of(name, options)
    context = engine.context_tokens
    return Model(name, engine, tariff, options.fallback, context=context, mixture=mixture)


def _fallback_of(options: EngineOptions) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(options, "fallback", ())  # recordings have none, nor echo
    return found


def _check_name(name: str, known: Mapping[str, EngineOptions]) -> None:
    split = split_name(name)
    if split is not None and split[0] in known:
        raise ConfigError(
            f"models.{name}: reads like {split[0]} with the strategy {split[1]}; choose another "
            "name"
        )


def _check_fallback(name: str, option: EngineOptions, known: Mapping[str, EngineOptions]) -> None:
    for other in _fallback_of(option):
        if other == name or other not in known:
            others = ", ".join(sorted(known.keys() - {name})) or "none"
            raise ConfigError(
                f"models.{name}.fallback: expected names of other models ({others}), "
                f"found {other!r}"
            )
