"""Trainings that were broken off: which lessons they were on, and how far they came.

Traffic goes on while a specialist is tuned, for minutes. A training can be resumed only on the very
lessons it began with, so that is what the next turn learns from, if they are still what they were.
The calls recorded since wait for the attempt after that.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.flywheel.lessons import Lessons, digest_of

log = logging.getLogger(__name__)

_KEPT_S = 86_400.0  # later, what was recorded since is worth more than the hours already trained
_BEGUN = "begun.json"
MADE_UP = "made_up.json"
"""What an LLM made up to train on, and was paid for."""


class Begun(Struct, frozen=True):
    """What a training is on: the digest of its lessons, who may judge included, and their calls."""

    digest: str
    calls: list[str]

    def is_on(self, lessons: Lessons) -> bool:
        """Whether it is on these lessons."""
        return self.digest == _digest(lessons)


_begun = msgspec.json.Decoder(Begun)


class Unfinished:
    """The trainings of one store that are not finished: in ``home`` a folder for each task, which
    holds ``begun.json`` and what the recipes keep.

    What cannot be read or written is passed over: then nothing is resumed.
    """

    def __init__(self, home: Path, *, keeps_failed: bool = False) -> None:
        """``keeps_failed``: a training that failed goes on, too, once what stopped it is mended: a
        person who began it looks after that."""
        self._home, self._keeps_failed = home, keeps_failed

    def folder(self, task: str) -> Path:
        """Where the state of a task's training is kept."""
        return self._home / task

    def begun(self, task: str) -> Begun | None:
        """What the training of a task that was broken off is on; None if there is none, or one
        too old to go on."""
        path = self._home / task / _BEGUN
        try:
            if time.time() - _touched(path.parent) > _KEPT_S:
                return None
            return _begun.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    @contextmanager
    def training(self, lessons: Lessons) -> Iterator[Lessons]:
        """The lessons, with a folder for the state of a training on them; it is removed at the end,
        unless the process is being ended. What is left of a training on others is removed before.
        Of one that failed only what was paid for stays.
        """
        try:
            yield replace(lessons, state=self._begin(lessons))
        except Exception:  # going on from the same state would come to the same
            if not self._keeps_failed:
                self._forget_state(lessons.task.id)
            raise
        self.end(lessons.task.id)

    def _begin(self, lessons: Lessons) -> Path | None:
        """None if there can be no folder."""
        task = lessons.task.id
        old, folder = self.begun(task), self._home / task
        if old is not None and old.is_on(lessons):
            log.info("task %s: training goes on where it was broken off", lessons.task.name)
            return folder
        self.end(task)
        calls = [lesson.call_id for lesson in lessons.lessons]
        try:
            folder.mkdir(mode=0o700, parents=True)
            begun = Begun(_digest(lessons), calls)
            (folder / _BEGUN).write_bytes(msgspec.json.encode(begun))
        except OSError as error:
            log.warning("%s: training could not be resumed: %s", folder, error.strerror)
            return None
        return folder

    def end(self, task: str) -> None:
        """Remove what is kept of a task."""
        shutil.rmtree(self._home / task, ignore_errors=True)

    def _forget_state(self, task: str) -> None:
        folder = self._home / task
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in (_BEGUN, MADE_UP):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()

    def keep_only(self, tasks: Collection[str]) -> None:
        """Remove what is kept of tasks that are none of these, and what is too old."""
        if not self._home.is_dir():
            return
        for folder in self._home.iterdir():
            if folder.name not in tasks:
                shutil.rmtree(folder, ignore_errors=True)
            elif time.time() - _touched(folder) > _KEPT_S:  # though nobody tends the task
                self.end(folder.name)


def _touched(folder: Path) -> float:
    """When anything of the folder was last written, 0 if there is none: a training may take
    days."""
    times = [0.0]
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(OSError):  # written and renamed meanwhile
            times.append(path.stat().st_mtime)
    return max(times)


def _digest(lessons: Lessons) -> str:
    judges = ("".join("01"[lesson.sampled] for lesson in lessons.lessons),)
    return digest_of([(lessons.digest,), judges])
