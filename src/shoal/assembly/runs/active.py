"""A run that this process performs, and who listens to it."""

import asyncio
import logging
from collections.abc import Callable

from shoal.errors import LeaseLost
from shoal.planning.journal import Entry
from shoal.planning.outcome import Outcome
from shoal.storage import Run

log = logging.getLogger(__name__)

Tell = Callable[[Entry], None]
"""Hears of what happens in a run. One that raises hears nothing more."""


class Active:
    """``word_came`` says that a person's word came which the run does not know yet; ``ended`` is
    how it ended, if it was stopped for good."""

    def __init__(self, run: Run, tell: Tell | None) -> None:
        self.run = run
        self.task: asyncio.Task[Outcome] | None = None
        self.word_came = False
        self.ended: Outcome | None = None
        self._listeners: list[Tell] = [tell] if tell else []

    def listen(self, tell: Tell) -> None:
        """Have ``tell`` hear of it from now on."""
        self._listeners.append(tell)

    def leave(self, tell: Tell) -> None:
        """Have it hear no more."""
        if tell in self._listeners:
            self._listeners.remove(tell)

    def tell(self, entry: Entry) -> None:
        """Let all who listen know."""
        for listener in tuple(self._listeners):
            try:
                listener(entry)
            except Exception:  # whatever ails who listens must not end the run
                log.exception("run %s: who listened hears of it no more", self.run.id)
                self.leave(listener)

    def cancel(self) -> None:
        """Have it broken off soon."""
        if self.task is not None:
            self.task.cancel()

    async def stop(self, ended: Outcome | None = None) -> None:
        """Break it off, for good if it ``ended``; returns when what was under way has ended, and is
        written down."""
        if self.task is not None and not self.task.done():
            self.ended = ended
            self.task.cancel()
            await asyncio.wait([self.task])


def look_at(task: "asyncio.Task[Outcome]") -> None:
    """Log what a run raised, which nobody may ask for."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, LeaseLost):
        log.warning("a run is performed elsewhere by now: %s", error)
    elif error is not None:
        log.error("a run could not be written down: %s", error)
