"""Loads the comparators and validators that ``shoal.toml`` names, and makes them known by name.

The settings file names code of its owner's, as those of other servers do; nothing that comes in
with a call or out of the store is ever loaded.
"""

import importlib
import importlib.util
import logging
import shlex
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from shoal.chat import Answer, Request
from shoal.errors import ConfigError
from shoal.routing.judging import COMMAND, ROWS, SQL, JudgingOptions
from shoal.routing.signals.command import CommandPasses
from shoal.routing.signals.registry import BUILT_IN, register_validator
from shoal.routing.signals.sql import SameRows, SqlDatabase, SqlRuns
from shoal.routing.signals.validators import Validator
from shoal.tasks import comparators

log = logging.getLogger(__name__)

Function = Callable[..., Any]


class OwnValidator:
    """A function of request and answer as a validator; one that raises has found a fault."""

    def __init__(self, name: str, function: Function) -> None:
        self.name, self._function = name, function

    def complaint(self, request: Request, answer: Answer) -> str:
        """What the function returns, "" for nothing."""
        try:
            return str(self._function(request, answer) or "")
        except Exception as error:  # whatever an owner's function does, the call goes to the LLM
            log.exception("the validator %s failed", self.name)
            return f"{self.name} failed: {error!r}"


class OwnComparator:
    """A function of two answers as a comparator; where it raises they are not the same."""

    def __init__(self, name: str, function: Function) -> None:
        self._name, self._function = name, function

    def __call__(self, a: Answer, b: Answer) -> bool:
        """What the function returns."""
        try:
            return bool(self._function(a, b))
        except Exception:  # the same: what cannot be compared is not the same
            log.exception("the comparator %s failed", self._name)
            return False


def register_hooks(options: Iterable[JudgingOptions], folder: Path) -> None:
    """Make known what tasks name; files are relative to ``folder``. All of it or nothing.

    Raises:
        ConfigError: something is not there, or cannot be called.
    """
    known, checks = dict[str, comparators.Same](), dict[str, Validator]()
    for own in options:
        if own.comparator:
            known[own.comparator] = _comparator(own.comparator, folder)
        for name in own.validators:
            if name not in BUILT_IN:
                checks[name] = _validator(name, folder)
    for name, same in known.items():
        comparators.register(name, same)
    for name, check in checks.items():
        register_validator(name, check)


def _comparator(name: str, folder: Path) -> comparators.Same:
    if name.startswith(ROWS):
        return SameRows(_database(name, ROWS, folder))
    return OwnComparator(name, _function(name, folder))


def _validator(name: str, folder: Path) -> Validator:
    if name.startswith(SQL):
        return SqlRuns(_database(name, SQL, folder))
    if name.startswith(COMMAND):
        return _command(name, folder)
    return OwnValidator(name, _function(name, folder))


def _command(name: str, folder: Path) -> Validator:
    try:
        program = shlex.split(name.removeprefix(COMMAND))[0]
        found = (folder / program).exists() or shutil.which(program) is not None
        if not found:
            raise ConfigError(f"tasks: {name!r}: there is no program {program!r}")
        return CommandPasses(name.removeprefix(COMMAND), folder)
    except (ValueError, IndexError):
        raise ConfigError(f"tasks: {name!r} is no command") from None


def _database(name: str, prefix: str, folder: Path) -> SqlDatabase:
    path = folder / name.removeprefix(prefix)
    if not path.is_file():
        raise ConfigError(f"tasks: {name!r}: no such database {str(path)!r}")
    return SqlDatabase(path)


def _function(name: str, folder: Path) -> Function:
    place, _, attribute = name.rpartition(":")
    try:
        module = _of_file(folder / place) if place.endswith(".py") else _of_name(place)
    except ConfigError:
        raise
    except Exception as error:  # a module may raise anything while it is imported
        raise ConfigError(f"tasks: {name!r} cannot be loaded: {error!r}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise ConfigError(f"tasks: {name!r}: {place} has no function {attribute!r}")
    return found  # type: ignore[no-any-return]


def _of_name(place: str) -> ModuleType:
    return importlib.import_module(place)


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"tasks: no such file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(f"shoal_hooks_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
