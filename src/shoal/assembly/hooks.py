"""Loads the comparators and validators that ``shoal.toml`` names, and makes them known by name.

The settings file names code of its owner's, as those of other servers do; nothing that comes in
with a call or out of the store is ever loaded.
"""

import importlib
import inspect
import logging
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
from shoal.tools.module_file import module_of

log = logging.getLogger(__name__)

Function = Callable[..., Any]


class OwnValidator:
    """A function of request and answer as a validator; one that raises has found a fault."""

    def __init__(self, name: str, function: Function) -> None:
        self.name, self._function, self._told = name, function, False

    def complaint(self, request: Request, answer: Answer) -> str:
        """What the function returns, "" for nothing."""
        try:
            return str(self._function(request, answer) or "")
        except Exception as error:  # whatever an owner's function does, the call goes to the LLM
            if not self._told:  # once: it may fail for every call
                self._told = True
                log.exception("the validator %s failed", self.name)
            return f"{self.name} failed: {error!r}"


class OwnComparator:
    """A function of two answers as a comparator; where it raises they are not the same."""

    def __init__(self, name: str, function: Function) -> None:
        self._name, self._function, self._told = name, function, False

    def __call__(self, a: Answer, b: Answer) -> bool:
        """What the function returns."""
        try:
            return bool(self._function(a, b))
        except Exception:  # the same: what cannot be compared is not the same
            if not self._told:
                self._told = True
                log.exception("the comparator %s failed", self._name)
            return False


def register_hooks(options: Mapping[str, JudgingOptions], folder: Path) -> None:
    """Make known what tasks, by name, name; files are relative to ``folder``. All of it or nothing.

    Raises:
        ConfigError: something is not there, or cannot be called as it will be.
    """
    known, checks = dict[str, comparators.Same](), dict[str, Validator]()
    for task, own in options.items():
        if own.comparator:
            with _told_where(f"tasks.{task}.comparator: {own.comparator!r}"):
                known[own.comparator] = _comparator(own.comparator, folder)
        for name in own.validators:
            if name not in BUILT_IN:
                with _told_where(f"tasks.{task}.validators: {name!r}"):
                    checks[name] = _validator(name, folder)
    for name, same in known.items():
        comparators.register(name, same)
    for name, check in checks.items():
        register_validator(name, check)


@contextmanager
def _told_where(place: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error.__cause__


def _comparator(name: str, folder: Path) -> comparators.Same:
    if name.startswith(ROWS):
        return SameRows(_database(name.removeprefix(ROWS), folder))
    return OwnComparator(name, _function(name, folder, "(a, b), two answers"))


def _validator(name: str, folder: Path) -> Validator:
    if name.startswith(SQL):
        return SqlRuns(_database(name.removeprefix(SQL), folder))
    if name.startswith(COMMAND):
        return _command(name.removeprefix(COMMAND), folder)
    return OwnValidator(name, _function(name, folder, "(request, answer)"))


def _command(command: str, folder: Path) -> Validator:
    try:
        program = shlex.split(command)[0]
    except (ValueError, IndexError):
        raise ConfigError("it is no command") from None
    if not (folder / program).exists() and shutil.which(program) is None:
        raise ConfigError(f"there is no program {program!r}")
    return CommandPasses(command, folder)


def _database(name: str, folder: Path) -> SqlDatabase:
    path = folder / name
    if not path.is_file():
        raise ConfigError(f"no such database {str(path)!r}")
    return SqlDatabase(path)


def _function(name: str, folder: Path, arguments: str) -> Function:
    place, _, attribute = name.rpartition(":")
    found = getattr(_module(place, folder), attribute, None)
    if found is None:
        raise ConfigError(f"{place} has no function {attribute!r}")
    if not callable(found):
        raise ConfigError(f"{attribute!r} in {place} is no function")
    with suppress(ValueError):  # of what is not written in Python nobody knows the arguments
        signature = inspect.signature(found)
        try:
            signature.bind(None, None)
        except TypeError:
            raise ConfigError(f"it has to take two arguments: {arguments}") from None
    return found  # type: ignore[no-any-return]


def _module(place: str, folder: Path) -> ModuleType:
    path = folder / place
    if place.endswith(".py") and not path.is_file():
        raise ConfigError(f"no such file {str(path)!r}")
    try:
        return module_of(path) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # a module may raise anything while it is imported
        raise ConfigError(f"cannot be loaded: {error!r}") from error
