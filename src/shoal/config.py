"""``shoal.toml``: each package's own options under one roof.

Read by pydantic-settings: the file first, then environment variables ``SHOAL_GATEWAY__PORT`` and
the like on top. Relative paths are relative to the file.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from shoal.engines import EngineOptions, RecordedOptions
from shoal.errors import ConfigError
from shoal.flywheel.options import LearnOptions
from shoal.gateway.options import GatewayOptions
from shoal.routing.budget import BudgetOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import StoreOptions

_ENV_PREFIX = "SHOAL_"
_BUDGETS = frozenset(BudgetOptions.model_fields)
_KEY_NAMES = ("key", "api_key", "apikey", "token", "secret", "password")


class Config(BaseSettings):
    """All settings. ``promise`` holds for every task, ``tasks.NAME`` overrides it for one, and has
    its budgets."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_ENV_PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    gateway: GatewayOptions = GatewayOptions()
    store: StoreOptions = StoreOptions(path=Path("shoal-data"))
    learn: LearnOptions = LearnOptions()
    promise: PromiseOptions = PromiseOptions()
    tasks: dict[str, dict[str, float]] = Field(default_factory=dict)
    models: dict[str, EngineOptions] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over the file, which comes in as arguments."""
        return env_settings, init_settings

    def promises(self) -> dict[str, PromiseOptions]:
        """The promise of each task that has one of its own."""
        return {name: _promise(self.promise, own) for name, own in self.tasks.items()}

    def task_budgets(self) -> dict[str, BudgetOptions]:
        """The budgets of each task that has any."""
        found = {name: _budgets(own) for name, own in self.tasks.items()}
        return {name: budgets for name, budgets in found.items() if budgets.model_fields_set}

    def reference_label(self, model: str) -> str:
        """What certificates call a model: one that plays back recordings is called recorded."""
        recorded = isinstance(self.models.get(model), RecordedOptions)
        return f"{model} (recorded)" if recorded else model


def read_config(path: Path) -> Config:
    """Read and check ``shoal.toml``.

    Raises:
        ConfigError: no such file, no TOML, or a setting is wrong; names file, key and what was
            expected.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `shoal init` writes one to start from") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    _refuse_keys(document, path)
    _resolve_paths(document, path.resolve().parent)
    try:
        config = Config(**document)
    except ValidationError as error:
        raise ConfigError(_explain(error, str(path))) from None
    except SettingsError as error:
        raise ConfigError(f"the environment: {error}; expected JSON") from None
    for name, own in config.tasks.items():
        _check_task(config.promise, own, f"{path}: tasks.{name}")
    return config


def _promise(base: PromiseOptions, own: dict[str, float]) -> PromiseOptions:
    others = {name: value for name, value in own.items() if name not in _BUDGETS}
    return PromiseOptions(**base.model_dump() | others)


def _budgets(own: dict[str, float]) -> BudgetOptions:
    return BudgetOptions(**{name: value for name, value in own.items() if name in _BUDGETS})


def _check_task(base: PromiseOptions, own: dict[str, float], place: str) -> None:
    try:
        _promise(base, own)
        _budgets(own)
    except ValidationError as error:
        raise ConfigError(_explain(error, place, ".")) from None


def _refuse_keys(document: dict[str, Any], path: Path) -> None:
    """A key in the file is refused before anything can print it."""
    models = document.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        for key in model if isinstance(model, dict) else ():
            if key.lower() in _KEY_NAMES:
                raise ConfigError(
                    f"{path}: models.{name}.{key}: keys do not belong into this file; put the key "
                    f'into an environment variable and name that: key_env = "MY_KEY"'
                )


def _resolve_paths(document: dict[str, Any], folder: Path) -> None:
    """Make relative paths relative to the file."""
    store = document.setdefault("store", {})
    if isinstance(store, dict):
        store["path"] = str(folder / str(store.get("path", "shoal-data")))
    models = document.get("models", {})
    for model in models.values() if isinstance(models, dict) else ():
        if isinstance(model, dict) and isinstance(model.get("path"), str):
            model["path"] = str(folder / model["path"])


def _explain(error: ValidationError, start: str, joint: str = ": ") -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        parts = [str(part) for part in problem["loc"] if not _is_tag(part, problem["loc"])]
        variable = _ENV_PREFIX + "__".join(parts).upper()
        place = variable if variable in os.environ else f"{start}{joint}{'.'.join(parts)}"
        lines.append(f"{place}: {problem['msg'][:1].lower()}{problem['msg'][1:]}")
    return "\n".join(lines)


def _is_tag(part: object, place: tuple[int | str, ...]) -> bool:
    """The engine's name, which pydantic puts into the place of a problem with its options."""
    return len(place) > 3 and place[0] == "models" and part == place[2]
