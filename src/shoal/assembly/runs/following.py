"""A run as server-sent events: what its journal holds, then what comes, as it comes.

The journal is read, so it makes no difference which process performs the run. If it is this one,
who listens is woken; else the journal is looked at now and then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.order import event_of
from shoal.planning.journal import Entry
from shoal.routing.caller import Caller
from shoal.storage import RunRecord
from shoal.storage.run_records import FINAL
from shoal.tools.tool import Json

_LOOKS_EVERY_S = 0.5
_BEAT_S = 15.0
_PAGE = 200
_SHORT, _LONG = 2_000, 16_000  # characters of a text, and bytes of a body, in an event
_ITEMS = 50
_BEAT = b": still here\n\n"


class Follower:
    """Follows one run. ``to_its_end``: while it pauses, too."""

    def __init__(
        self, orchestra: Orchestra, run_id: str, caller: Caller, after: int, to_its_end: bool
    ) -> None:
        self._orchestra, self._run_id, self._caller = orchestra, run_id, caller
        self._after, self._to_its_end = after, to_its_end
        self._begun = list[Entry]()
        self._woken = asyncio.Event()

    async def events(self) -> AsyncIterator[bytes]:
        """The events; b"" now and then.

        Raises:
            NotFound: there is no such run of the caller's.
            StoreError: the store cannot be read.
        """
        self._orchestra.listen(self._run_id, self._hear)
        beat = time.monotonic()
        try:
            while True:
                records = await self._page()
                for one in records:
                    yield _of_record(one)
                    if one.state is not None and self._is_last(one):
                        yield event("outcome", {"run": self._run_id, **outcome_in(one)})
                        return
                for entry in self._take_begun():
                    yield event("started", {"step": entry.step, **entry.body})
                if len(records) == _PAGE:
                    continue
                if not records and (last := await self._last()) is not None:
                    yield event("outcome", {"run": self._run_id, **outcome_in(last)})
                    return
                if time.monotonic() - beat >= _BEAT_S:
                    beat = time.monotonic()
                    yield _BEAT
                yield b""
                await self._rest()
        finally:
            self._orchestra.leave(self._run_id, self._hear)

    async def _page(self) -> Sequence[RunRecord]:
        found = await self._orchestra.records(self._run_id, self._caller, self._after, _PAGE)
        if found:
            self._after = found[-1].seq
        return found

    async def _last(self) -> RunRecord | None:
        """The last record of a run that has ended, and that the caller had before."""
        run = await self._orchestra.get(self._run_id, self._caller)
        if run.state not in FINAL or run.records - 1 > self._after:
            return None
        found = await self._orchestra.records(self._run_id, self._caller, run.records - 2, 1)
        return found[0]

    def _is_last(self, record: RunRecord) -> bool:
        if record.state in FINAL:
            return True
        return not self._to_its_end and record.kind == "paused"

    def _hear(self, entry: Entry) -> None:
        if entry.kind == "started" and "try" in entry.body and len(self._begun) < _PAGE:
            self._begun.append(entry)  # that a call begins is told, and not written down
        self._woken.set()

    def _take_begun(self) -> list[Entry]:
        taken, self._begun = self._begun, []
        return taken

    async def _rest(self) -> None:
        """Until something may have come."""
        self._orchestra.leave(self._run_id, self._hear)  # it may be performed anew by now
        self._orchestra.listen(self._run_id, self._hear)
        try:
            await asyncio.wait_for(self._woken.wait(), _LOOKS_EVERY_S)
            await asyncio.sleep(0.02)  # what was told is on its way to the store
        except TimeoutError:
            pass
        self._woken.clear()


def outcome_in(record: RunRecord) -> dict[str, Any]:
    """The outcome that a run's last record holds."""
    told: dict[str, Any] = msgspec.json.decode(record.body)
    return {"state": record.state, **told}


def event(name: str, data: object, id: int | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" + (f"id: {id}\n" if id is not None else "")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def _of_record(record: RunRecord) -> bytes:
    told = event_of(record)
    told.pop("hash")
    if len(record.body) > _SHORT:
        told["body"] = shortened(told["body"])
        size = len(msgspec.json.encode(told["body"]))
        if size > _LONG:
            told["body"] = {"left_out": f"{len(record.body):,} bytes"}
    return event(record.kind, told, record.seq)


def shortened(value: Json) -> Json:
    """``value`` with long texts and long lists cut, and said to be."""
    match value:
        case str():
            left = len(value) - _SHORT
            return value if left <= 0 else f"{value[:_SHORT]} … {left:,} more characters"
        case list():
            cut = [shortened(one) for one in value[:_ITEMS]]
            more = len(value) - _ITEMS
            return [*cut, f"… {more:,} more"] if more > 0 else cut
        case dict():
            return {name: shortened(one) for name, one in value.items()}
        case _:
            return value
