"""What the gateway asks of whoever performs runs.

Of each method, ``NotFound`` says that there is no such run that the caller may know of,
``MalformedRequest`` that it cannot be asked so, ``NotAllowed`` that it is not for the caller,
``Conflict`` that the run is in no state for it, and ``StoreError`` that something cannot be read or
written.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from shoal.formats.runs import (
    NewRun,
    Outline,
    Resumption,
    RunDetail,
    RunList,
    RunsAsked,
    Settlement,
    Word,
)
from shoal.routing.caller import Caller


class RunDesk(Protocol):
    """Runs of plans and agents."""

    async def outline(self, new: NewRun, caller: Caller) -> Outline:
        """What a run would call; nothing is."""

    async def begin(self, new: NewRun, caller: Caller) -> str:
        """Begin a run; returns its id, once it is on disk. It goes on whoever hangs up."""

    async def outcome(self, run_id: str, caller: Caller) -> bytes:
        """How a run that was just begun here ended, or why it pauses, as JSON."""

    def follow(
        self, run_id: str, caller: Caller, after: int, to_its_end: bool
    ) -> AsyncIterator[bytes]:
        """The records of a run after one, as server-sent events; the last one tells the outcome.
        ``to_its_end``: goes on while the run pauses; else that is the outcome. Now and then b"" so
        that who reads looks whether anybody listens."""

    async def list(self, asked: RunsAsked, caller: Caller) -> RunList:
        """The runs that a caller may know of."""

    async def get(self, run_id: str, caller: Caller, after: int, limit: int) -> RunDetail:
        """One of them, with a page of its records."""

    async def drawing(self, run_id: str, caller: Caller) -> str:
        """Its plan as SVG, in the colours of what became of its steps."""

    async def decide(self, run_id: str, word: Word, caller: Caller) -> None:
        """Give a person's word; the run goes on."""

    async def resume(self, run_id: str, how: Resumption, caller: Caller) -> None:
        """Have a run go on."""

    async def settle(self, run_id: str, said: Settlement, caller: Caller) -> None:
        """Say what became of the step at which a run is stuck; it goes on."""

    async def cancel(self, run_id: str, caller: Caller) -> None:
        """End a run for good."""
