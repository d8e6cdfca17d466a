"""What ``shoal models`` sees to before it changes the settings: a gateway must be able to take
them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from shoal.assembly.models import check_options
from shoal.config import Config
from shoal.engines import AdapterOptions, LocalOptions, MixtureOptions
from shoal.engines.local.checks import check_adapter, check_model
from shoal.engines.local.engine import base_settings
from shoal.engines.local.header import read_header
from shoal.errors import ConfigError
from shoal.reasoning import split_name

_NAME = re.compile(r"[\w.:/@+-]{1,100}")


def check_new(name: str, settings: Config, config: Path) -> None:
    """See that a model of this name can be added.

    Raises:
        ConfigError: there is one, or it is no name for a model.
    """
    if name in settings.models:
        raise ConfigError(f"{config}: models.{name} exists already; choose another name")
    if not _NAME.fullmatch(name) or name.startswith("shoal/"):
        raise ConfigError(f"{name!r}: no name for a model; expected letters, digits and ._:/@+-")
    fresh = LocalOptions(engine="local", path=Path(name))
    check_options({**settings.models, name: fresh})


def entry(
    name: str, path: Path, base: str, template: str, settings: Config
) -> dict[str, str | Path]:
    """What is written into the settings for a GGUF file.

    Raises:
        ConfigError: it is truncated or damaged, has no chat template and none is given, or is an
            adapter without a base that it fits.
    """
    place = f"models.{name}"
    if read_header(path).values.get("general.type") == "adapter":
        return _adapter_entry(name, path, base, settings)
    if base:
        raise ConfigError(f"{place}: {path.name} is a model and has no base; leave --base out")
    values: dict[str, str | Path] = {"engine": "local", "path": path}
    if template:
        own = template if template == "chatml" else str(Path(template).absolute())
        base_settings(name, LocalOptions(engine="local", path=path, chat_template=own))
        values["chat_template"] = template if template == "chatml" else Path(own)
    check_model(path, place, template or None)
    return values


def shown(values: dict[str, str | Path], home: Path) -> dict[str, str | int | float | bool]:
    """The values as the settings have them: paths relative to the file where they lie below it."""
    return {
        key: str(value.relative_to(home))
        if isinstance(value, Path) and value.is_relative_to(home)
        else str(value)
        for key, value in values.items()
    }


def users_of(name: str, settings: Config) -> list[str]:
    """The settings that name a model."""
    return [place for place, named in _named(settings) if name in _models(named)]


def _adapter_entry(name: str, path: Path, base: str, settings: Config) -> dict[str, str | Path]:
    options = settings.models.get(base)
    if not isinstance(options, LocalOptions):
        local = [one for one, other in settings.models.items() if isinstance(other, LocalOptions)]
        raise ConfigError(
            f"{path.name} is an adapter: name the local model that it was made for with --base "
            f"({', '.join(local) or 'there is none yet'})"
        )
    template = options.chat_template
    check_adapter(
        path, f"models.{name}", check_model(options.path, f"models.{base}", template), base
    )
    return {"engine": "adapter", "base": base, "path": path}


def _named(settings: Config) -> Iterator[tuple[str, str]]:
    """Where a model is named, and the name."""
    for name, options in settings.models.items():
        place = f"models.{name}"
        yield from _each(f"{place}.fallback", getattr(options, "fallback", ()))
        if isinstance(options, AdapterOptions):
            yield f"{place}.base", options.base
        if isinstance(options, MixtureOptions):
            yield from _each(f"{place}.of", options.of)
            yield f"{place}.default", options.default or ""
    yield from _each("cascade.models", settings.cascade.models)
    for name, collection in settings.collections.items():
        yield f"collections.{name}.model", collection.model or ""
    for name, strategy in settings.strategies().items():
        yield from _each(f"tasks.{name}.strategy", strategy.models)
    for name, agent in settings.agents.items():
        yield f"agents.{name}.planner", agent.planner or ""
        yield from _each(f"agents.{name}.models", agent.models)


def _each(place: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((place, name) for name in names)


def _models(named: str) -> set[str]:
    """The models that a name like granite+vote:5 tells of, and the name itself."""
    split = split_name(named)
    return {named} if split is None else {named, split[0], *split[1].models}
