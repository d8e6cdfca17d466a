"""One model file that is loaded, with the adapters on it: who uses it, and when it is restarted."""

import hashlib
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from shoal.engines.local.checks import check_adapter, check_memory, check_model
from shoal.engines.local.child import Child, Loading
from shoal.errors import ConfigError, EngineBusy, EngineUnreachable

DEFAULT_CONTEXT = 4096
_ENDED_MOST, _ENDED_WITHIN_S = 3, 60.0
_ANSWERS_WITHIN_S = 5.0


class BaseSettings(Struct, frozen=True):
    """How a model file is loaded.

    ``context_tokens`` is of each of ``slots``, the calls that are worked on at once; ``queue`` more
    may wait. ``threads`` 0: one for each slot, or as many as there are idle cores.
    ``chat_template`` is a template's text, "chatml", or "" for the file's own; ``pooling`` makes
    vectors of texts ("mean", "last", "cls"; "": none).
    """

    path: Path
    context_tokens: int | None = None
    slots: int = 2
    threads: int = 0
    queue: int = 32
    chat_template: str = ""
    prompt_cache: bool = True
    pooling: str = ""


class Adapter(Struct, frozen=True):
    """A LoRA adapter's file, as it was when it was opened."""

    path: str
    modified: int


_Form = tuple[int, int, int]
"""What tells a file from another under its name: inode, size, when it was written."""
_digests: dict[tuple[str, _Form | None], str] = {}
"""Of files that were read whole; one that is opened again as it was is not read again."""


class Use(Struct, frozen=True):
    """A turn at a running child: its adapters' count, and the number of the one to be asked."""

    child: Child
    adapter: int | None

    @property
    def adapters(self) -> int:
        """How many the child has loaded."""
        return len(self.child.loading.adapters)


class BaseModel:
    """A model file; it is loaded when it is first used. Safe to share between threads.

    An adapter that is added while it runs is loaded by a second child, which takes over; the first
    ends when what it is at is done. A child that has died is replaced at the next use.

    Raises:
        ConfigError: the file is damaged, has no chat template, or is too large for the memory.
    """

    def __init__(self, name: str, settings: BaseSettings) -> None:
        self.name, self.settings = name, settings
        template = settings.chat_template or None
        self.header = check_model(settings.path, f"models.{name}", template)
        trained = self.header.number("context_length", DEFAULT_CONTEXT)
        self.context = settings.context_tokens or min(trained, DEFAULT_CONTEXT)
        check_memory(self.header, f"models.{name}", self.context, settings.slots)
        self._form = _form(settings.path)
        self._digested = False
        self._adapters: Counter[Adapter] = Counter()
        self._child: Child | None = None
        self._loaded: tuple[Adapter, ...] = ()  # by that child, in its order
        self._under_way: Counter[Child] = Counter()
        self._ended: deque[float] = deque(maxlen=_ENDED_MOST)
        self._state, self._starting = threading.Lock(), threading.Lock()
        self._closed = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the file; takes a second for each GB when the process first asks for
        it. Once it was asked for, a file that has changed since is not loaded any more.

        Raises:
            ConfigError: the file has changed since it was opened, or cannot be read.
        """
        self._digested = True
        known = _digests.get((str(self.settings.path.absolute()), self._form))
        if known is not None:
            return known
        try:
            with self.settings.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"{self.settings.path}: cannot be read: {error.strerror}") from None
        if _form(self.settings.path) != self._form:
            raise ConfigError(f"{self.settings.path}: has changed since it was opened")
        _digests[str(self.settings.path.absolute()), self._form] = found
        return found

    @property
    def is_running(self) -> bool:
        """Whether it is loaded."""
        child = self._child
        return child is not None and child.is_alive

    @property
    def cpu_seconds(self) -> float:
        """Spent by the child that runs; 0 if none does."""
        child = self._child
        return 0.0 if child is None else child.cpu_seconds

    @property
    def adapters(self) -> tuple[str, ...]:
        """The files of those that are loaded with it from the next start on."""
        with self._state:
            return tuple(sorted({one.path for one in self._adapters}))

    def add_adapter(self, path: Path, place: str) -> Adapter:
        """Have an adapter's file loaded with the base from the next use on.

        Raises:
            ConfigError: it is none, or was made for another base.
        """
        check_adapter(path, place, self.header, self.name)
        adapter = Adapter(os.path.realpath(path), path.stat().st_mtime_ns)
        with self._state:
            self._adapters[adapter] += 1
        return adapter

    def drop_adapter(self, adapter: Adapter) -> None:
        """The opposite; what has it loaded keeps it until it is restarted."""
        with self._state:
            self._adapters[adapter] -= 1
            self._adapters = +self._adapters

    def begin(self, adapter: Adapter | None) -> Use | None:
        """A turn, to be given back by ``end``; None if a child would have to be started first.

        Raises:
            EngineBusy: as many as may wait do.
        """
        with self._state:
            child = self._child
            if child is None or not child.is_alive:
                return None
            if adapter is not None and adapter not in self._loaded:
                return None
            settings = self.settings
            if self._under_way[child] >= settings.slots + settings.queue:
                said = "as many calls as may wait do (queue, in shoal.toml)"
                raise EngineBusy(self.name, 1.0, said)
            self._under_way[child] += 1
            number = None if adapter is None else self._loaded.index(adapter)
        return Use(child, number)

    def start(self, adapter: Adapter | None) -> Use:
        """The same, starting a child if one has to be: it takes seconds.

        Raises:
            EngineBusy: as ``begin``; or children have died so often that it is left alone.
            EngineUnreachable: llama.cpp cannot load it.
            MissingExtra: ``xllamacpp`` is not installed.
        """
        with self._starting:
            used = self.begin(adapter)
            if used is not None:
                return used
            self._start()
        used = self.begin(adapter)
        if used is None:
            raise EngineUnreachable(f"{self.name}: the model's process ended at once", False)
        return used

    def end(self, use: Use) -> None:
        """Give a turn back."""
        with self._state:
            self._under_way[use.child] -= 1
            idle = self._under_way[use.child] <= 0
            if idle:
                del self._under_way[use.child]
            retired = idle and use.child is not self._child
        if retired:
            threading.Thread(target=use.child.close, name="shoal-llama-end").start()

    @contextmanager
    def used(self, adapter: Adapter | None) -> Iterator[Use]:
        """A turn for as long as the context is open; raises what ``start`` raises."""
        use = self.begin(adapter) or self.start(adapter)
        try:
            yield use
        finally:
            self.end(use)

    def end_if_stuck(self, child: Child) -> None:
        """End a child that answers nothing: a call that never ends would hold up all others."""
        try:
            child.ask("GET", "/slots", timeout_s=_ANSWERS_WITHIN_S)
        except OSError:
            child.kill()

    def close(self) -> None:
        """End what runs."""
        with self._state:
            self._closed = True
            children = {*self._under_way, *([self._child] if self._child else [])}
            self._child = None
        for child in children:
            child.close()

    def _start(self) -> None:
        with self._state:
            old, adapters = self._child, tuple(sorted(self._adapters, key=_order))
            if self._closed:
                raise EngineUnreachable(f"{self.name}: was closed", False)
            if old is not None and not old.is_alive:
                self._ended.append(time.monotonic())
        wait = self._rest_s()
        if wait > 0:
            raise EngineBusy(self.name, wait, "its process has ended again and again")
        self._check_unchanged()
        self._check_memory(beside=old is not None and old.is_alive)
        try:
            child = Child(self.name, self._loading(tuple(one.path for one in adapters)))
        except EngineUnreachable:
            self._ended.append(time.monotonic())
            raise
        with self._state:
            closed = self._closed  # while it was being loaded
            if not closed:
                self._child, self._loaded = child, adapters
            idle = old is not None and not self._under_way[old]
        if closed:
            child.close()
            raise EngineUnreachable(f"{self.name}: was closed", False)
        if old is not None and idle:
            old.close()

    def _check_unchanged(self) -> None:
        """Who asked for the digest relies on the file: another one is not loaded in its place."""
        if self._digested and _form(self.settings.path) != self._form:
            raise EngineUnreachable(
                f"{self.name}: {self.settings.path} has changed since it was opened", False
            )

    def _check_memory(self, beside: bool) -> None:
        """``beside`` a child that has the weights: both read the same pages of the file."""
        try:
            check_memory(self.header, self.name, self.context, self.settings.slots, beside)
        except ConfigError as error:  # there was room for it when it was opened
            raise EngineUnreachable(str(error), False) from None

    def _rest_s(self) -> float:
        """Seconds for which it is left alone, its children having died too often."""
        if len(self._ended) < _ENDED_MOST:
            return 0.0
        return self._ended[0] + _ENDED_WITHIN_S - time.monotonic()

    def _loading(self, adapters: tuple[str, ...]) -> Loading:
        settings = self.settings
        threads = settings.threads or max(min(settings.slots, cores()), idle_cores())
        return Loading(
            path=str(settings.path),
            context=self.context,
            slots=settings.slots,
            threads=threads,
            prompt_threads=threads,
            connections=settings.slots + settings.queue + 4,  # each call holds one until its end
            adapters=adapters,
            chat_template=settings.chat_template,
            prompt_cache=settings.prompt_cache and not adapters,
            pooling=settings.pooling,
        )


def cores() -> int:
    """Those that this process may use."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return mine or 1


def idle_cores() -> int:
    """Of them those that had nothing to do in the last minute; may be less than none."""
    return cores() - round(os.getloadavg()[0])


def _order(adapter: Adapter) -> tuple[str, int]:
    return adapter.path, adapter.modified


def _form(path: Path) -> _Form | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
