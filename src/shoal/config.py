"""``shoal.toml``: each package's own options under one roof.

Read by pydantic-settings: the file first, then environment variables ``SHOAL_GATEWAY__PORT`` and
the like on top. Relative paths are relative to the file.
"""

import os
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from shoal.engines import EngineOptions, RecordedOptions
from shoal.errors import ConfigError
from shoal.flywheel.options import LearnOptions, LessonOptions
from shoal.gateway.options import GatewayOptions, TracingOptions
from shoal.planning.options import AgentOptions, plans_id
from shoal.reasoning import Strategy, parse_strategy, split_name
from shoal.reasoning.options import ReasoningOptions, StrategyName
from shoal.retrieval.options import CollectionOptions
from shoal.retrieval.qdrant_place import QdrantPlace
from shoal.routing.answer_cache import AnswerCache, CacheOptions, TaskCacheOptions
from shoal.routing.budget import BudgetOptions
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.judging import JudgingOptions
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.routing.tokenizer import names_file
from shoal.storage import StoreOptions
from shoal.tools.options import ToolOptions

_ENV_PREFIX = "SHOAL_"
_OF_SEVERAL_LINES = ("query", "description")
"""Settings of tools that people write over several lines."""
_LARGEST = 1e9  # no setting needs more, and clocks and dates cannot count much further
_PLANS_ALPHA = 0.02
T = TypeVar("T", BudgetOptions, JudgingOptions, LessonOptions)

_KEY_NAMES = ("key", "api_key", "apikey", "token", "secret", "password")


class TaskOptions(BudgetOptions, TaskCacheOptions, LessonOptions):
    """``[tasks.NAME]``: what is promised of one task, where that differs, its budgets, how long its
    answers are cached, how it is to be learned, and by which ``strategy`` the LLM answers it."""

    alpha: float | None = None
    confidence: float | None = None
    audit_rate: float | None = None
    per_label: bool | None = None
    reference: Literal["llm", "people"] | None = None
    strategy: StrategyName | None = None


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
    tracing: TracingOptions = TracingOptions()
    store: StoreOptions = StoreOptions(path=Path("shoal-data"))
    learn: LearnOptions = LearnOptions()
    promise: PromiseOptions = PromiseOptions()
    privacy: PrivacyOptions = PrivacyOptions()
    cache: CacheOptions = CacheOptions()
    cascade: CascadeOptions = CascadeOptions()
    reasoning: ReasoningOptions = ReasoningOptions()
    tasks: dict[str, TaskOptions] = Field(default_factory=dict)
    models: dict[str, EngineOptions] = Field(default_factory=dict)
    collections: dict[str, CollectionOptions] = Field(default_factory=dict)
    agents: dict[str, AgentOptions] = Field(default_factory=dict)
    tools: dict[str, ToolOptions] = Field(default_factory=dict)

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

    _folder: Path = PrivateAttr(Path())

    @property
    def folder(self) -> Path:
        """Where the file stands, to which paths in it are relative."""
        return self._folder

    @property
    def collections_folder(self) -> Path:
        """Where the collections are."""
        return self.store.path / "collections"

    def place_of(self, collection: str) -> QdrantPlace | None:
        """Where the vectors of a collection are, by name; None: in its folder."""
        return self.collections.get(collection, CollectionOptions()).qdrant

    def promise_of(self, task: str) -> PromiseOptions:
        """What is to be promised of a task, by name."""
        return _promise(self.promise, self.tasks.get(task, TaskOptions()))

    def promises(self) -> dict[str, PromiseOptions]:
        """The promise of each task that has one of its own."""
        return {name: _promise(self.promise, own) for name, own in self.tasks.items()}

    def plans_promise(self, agent: str) -> PromiseOptions:
        """What is to be promised of the stored plans of an agent, which have a name as tasks do. A
        wrong plan does more harm than a wrong answer: where that is not stated, at most 2 %."""
        found, own = self.promise_of(plans_id(agent)), self.tasks.get(plans_id(agent))
        if own is not None and own.alpha is not None:
            return found
        return found.model_copy(update={"alpha": min(found.alpha, _PLANS_ALPHA)})

    def task_budgets(self) -> dict[str, BudgetOptions]:
        """The budgets of each task that has any."""
        found = {name: _part(BudgetOptions, own) for name, own in self.tasks.items()}
        return {name: budgets for name, budgets in found.items() if budgets.model_fields_set}

    def lesson_options(self) -> dict[str, LessonOptions]:
        """How each task is to be learned that has a way of its own."""
        found = {name: _part(LessonOptions, own) for name, own in self.tasks.items()}
        return {name: options for name, options in found.items() if options.model_fields_set}

    def judging_options(self) -> dict[str, JudgingOptions]:
        """How the answers of each task are judged that has a way of its own."""
        found = {name: _part(JudgingOptions, own) for name, own in self.tasks.items()}
        return {name: options for name, options in found.items() if options.model_fields_set}

    def strategies(self) -> dict[str, Strategy]:
        """How the LLM answers calls of each task that has a strategy."""
        stated = {name: own.strategy for name, own in self.tasks.items()}
        return {name: parse_strategy(said) for name, said in stated.items() if said is not None}

    def answer_cache(self) -> AnswerCache:
        """A cache for the tasks that have one, empty."""
        own = {name: task.cache_s for name, task in self.tasks.items()}
        seconds = {name: each for name, each in own.items() if each is not None}
        return AnswerCache(seconds, int(self.cache.max_mb * 1_000_000))

    def reference_label(self, model: str) -> str:
        """What certificates call a model: one that plays back recordings is called recorded."""
        name = model if model in self.models else (split_name(model) or (model,))[0]
        recorded = isinstance(self.models.get(name), RecordedOptions)
        return f"{model} (recorded)" if recorded else model


def read_config(path: Path) -> Config:
    """Read and check ``shoal.toml``.

    Raises:
        ConfigError: no such file, no TOML, or a setting is wrong; names file, key and what was
            expected.
    """
    document = _document(path)
    _refuse_keys(document, path)
    _resolve_paths(document, path.resolve().parent)
    try:
        config = Config(**document)
    except ValidationError as error:
        raise ConfigError(_explain(error, str(path))) from None
    except SettingsError as error:
        raise ConfigError(f"the environment: {error}; expected JSON") from None
    except RecursionError:
        raise ConfigError("the environment: a setting is nested too deeply") from None
    problems = [f"{_place(at, str(path))}: {said}" for at, said in _odd(config, document)]
    if problems:
        raise ConfigError("\n".join(problems))
    for name, own in config.tasks.items():
        _check_task(config.promise, own, f"{path}: tasks.{name}")
    config._folder = path.resolve().parent
    return config


def _document(path: Path) -> dict[str, Any]:
    why: object
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `shoal init` writes one to start from") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error
    except RecursionError:
        why = "a value is nested too deeply"
    except ValueError:  # of int, which reads at most 4,300 digits
        why = "a number is too long"
    raise ConfigError(f"{path}: cannot be read: {why}")


def _odd(
    value: object, given: object, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The settings that pydantic takes and nothing can work with, and what was expected.

    ``given`` is what stands in the file, where it is read more strictly than in the environment,
    which knows nothing but texts.
    """
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        stated = given if isinstance(given, dict) else {}
        for name, inner in value.items():
            if not _is_text(name):
                yield at, "a name should be text that can be written, without control characters"
            yield from _odd(inner, stated.get(name), (*at, name))
        return
    if isinstance(value, str) and at[-1:] and at[-1] in _OF_SEVERAL_LINES:
        value = value.replace("\n", " ")
    if said := _oddness(value, None if _variable(at) in os.environ else given):
        yield at, said


def _oddness(value: object, given: object) -> str:
    """What is wrong with one value; "" if nothing is."""
    if isinstance(value, bool):
        return "" if isinstance(given, bool | None) else "input should be true or false"
    if isinstance(value, int | float):
        if not abs(value) <= _LARGEST:  # written so that it is true of NaN
            return f"input should be a number of at most {_LARGEST:,.0f}"
        return "input should be a number" if isinstance(given, bool | str) else ""
    if isinstance(value, Path) and ("\0" in str(value) or given == ""):
        return "input should be a path"
    if isinstance(value, str) and not _is_text(value):
        return "input should be text that can be written, without control characters"
    return ""


def _is_text(value: str) -> bool:
    """Whether this can be a name: no control characters, no half of a surrogate pair."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)


def _promise(base: PromiseOptions, own: TaskOptions) -> PromiseOptions:
    """Checked by what checks it for all tasks."""
    stated = own.model_dump(include=set(PromiseOptions.model_fields), exclude_none=True)
    return PromiseOptions(**base.model_dump() | stated)


def _part(kind: type[T], own: TaskOptions) -> T:
    """What a task states of one kind of options."""
    stated = own.model_dump(include=set(kind.model_fields), exclude_unset=True)
    return kind(**stated)


def _check_task(base: PromiseOptions, own: TaskOptions, place: str) -> None:
    try:
        _promise(base, own)
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
    if isinstance(store, dict) and isinstance(store.setdefault("path", "shoal-data"), str):
        store["path"] = store["path"] and str(folder / store["path"])
    models = document.get("models", {})
    for model in models.values() if isinstance(models, dict) else ():
        if not isinstance(model, dict):
            continue
        for name in ("path", "gate"):
            if isinstance(model.get(name), str):
                model[name] = model[name] and str(folder / model[name])
        template = model.get("chat_template")
        if isinstance(template, str) and template.endswith(".jinja"):
            model["chat_template"] = str(folder / template)
        tokenizer = model.get("tokenizer")
        if isinstance(tokenizer, str) and names_file(tokenizer, folder):
            model["tokenizer"] = tokenizer and str(folder / tokenizer)
    agents = document.get("agents", {})
    for agent in agents.values() if isinstance(agents, dict) else ():
        if isinstance(agent, dict) and isinstance(agent.get("plan"), str):
            agent["plan"] = agent["plan"] and str(folder / agent["plan"])
        if isinstance(agent, dict) and isinstance(plans := agent.get("plans"), list):
            agent["plans"] = [str(folder / one) if isinstance(one, str) else one for one in plans]


def _explain(error: ValidationError, start: str, joint: str = ": ") -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        parts = [str(part) for part in problem["loc"] if not _is_tag(part, problem["loc"])]
        said = problem["msg"][:1].lower() + problem["msg"][1:]
        lines.append(f"{_place(parts, start, joint)}: {said}")
    return "\n".join(lines)


def _place(parts: Sequence[str], start: str, joint: str = ": ") -> str:
    """Where a setting was set: its variable, or file and key."""
    variable = _variable(parts)
    return variable if variable in os.environ else f"{start}{joint}{'.'.join(parts)}"


def _variable(parts: Sequence[str]) -> str:
    return _ENV_PREFIX + "__".join(parts).upper()


def _is_tag(part: object, place: tuple[int | str, ...]) -> bool:
    """The engine's name, which pydantic puts into the place of a problem with its options."""
    return len(place) > 3 and place[0] == "models" and part == place[2]
