"""The journal of one run in the store, written through the store's writer, and read back."""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import msgspec

from shoal.errors import LeaseLost, StoreError
from shoal.planning import journal as planned
from shoal.planning.journal import Decision, Past, written_in
from shoal.storage import Store
from shoal.storage.run_records import Entry, RunRecord, RunState

DECIDED = "decided"
_UNIT = 100  # entries in one operation of the writer
_MOST_UNKEPT = 8_000_000  # bytes that wait before steps do
_MOST_WRITTEN = 1_000_000_000  # bytes of one performance of a run


class RunJournal:
    """Writes entries in their order; those of one turn of the event loop together."""

    def __init__(self, store: Store, run_id: str, owner: str) -> None:
        self._store, self._run_id, self._owner = store, run_id, owner
        self._waiting = list[Entry]()
        self._flushing = False
        self._last: Future[Any] | None = None
        self._trouble: Exception | None = None
        self._added_bytes = self._kept_bytes = 0

    @property
    def presses(self) -> bool:
        """Whether more waits than should: see ``Journal``. The store drops the oldest of what
        waits where that is too much, of others too."""
        return self._added_bytes - self._kept_bytes > _MOST_UNKEPT

    def note(self, entry: planned.Entry) -> None:
        """Keep an entry soon: see ``Journal``.

        Raises:
            StoreError: the run has written so much that it has to end.
        """
        if self._added_bytes > _MOST_WRITTEN:
            most = f"{_MOST_WRITTEN / 1e9:g} GB"
            raise StoreError(f"the run has written {most} into its journal, the most it may")
        self.add(entry.kind, entry.step, dict(entry.body), None, entry.cost, entry.tokens)

    def add(
        self,
        kind: str,
        step: str = "",
        body: dict[str, Any] | None = None,
        state: RunState | None = None,
        cost: float = 0.0,
        tokens: int = 0,
    ) -> None:
        """Keep an entry of any kind soon.

        Raises:
            StoreError, LeaseLost: an earlier one could not be kept.
        """
        self._raise()
        told = msgspec.json.encode(body or {})
        self._added_bytes += len(told)
        self._waiting.append(
            Entry(
                kind=kind,
                at=time.time(),
                step=step,
                body=told,
                state=state,
                cost=cost,
                tokens=tokens,
            )
        )
        if len(self._waiting) >= _UNIT:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def kept(self) -> None:
        """Return when all is safe: see ``Journal``."""
        self._flush()
        all_so_far = self._added_bytes
        last = self._last
        if last is not None:
            if not last.done():
                written = asyncio.wrap_future(last)
                await asyncio.wait([written])
                written.exception()  # looked at, so that nobody complains; told below
            self._written(last)  # its callback may still be on its way in the writer's thread
        self._kept_bytes = max(self._kept_bytes, all_so_far)
        self._raise()

    def _flush(self) -> None:
        self._flushing = False
        if not self._waiting:
            return
        entries, self._waiting = tuple(self._waiting), []
        size = sum(len(one.body) for one in entries)
        runs, run_id, owner = self._store.runs, self._run_id, self._owner
        try:
            self._last = self._store.writer.submit(
                lambda conn: runs.extend(conn, run_id, owner, entries), urgent=True, size=size
            )
        except StoreError as error:
            self._trouble = self._trouble or error
            return
        self._last.add_done_callback(self._written)

    def _written(self, done: "Future[Any]") -> None:
        error = done.exception()
        if isinstance(error, Exception):
            self._trouble = self._trouble or error

    def _raise(self) -> None:
        if self._trouble is None:
            return
        if isinstance(self._trouble, LeaseLost | StoreError):
            raise self._trouble
        raise StoreError(f"the run cannot be written down: {self._trouble}") from self._trouble


def past_of(records: Iterable[RunRecord]) -> Past:
    """What a run did, by its records."""
    entries, decisions, seconds = list[planned.Entry](), dict[str, Decision](), 0.0
    usd, tokens, wrote = 0.0, 0, 0
    for one in records:
        body = msgspec.json.decode(one.body)
        usd, tokens = usd + one.cost, tokens + one.tokens  # what planning took as well
        wrote += written_in(body) if one.tokens else 0  # an outcome tells of all once more
        if one.kind == DECIDED:
            decisions[one.step] = msgspec.convert(body, Decision)
        elif one.kind in ("started", "finished", "failed", "waiting"):
            entries.append(
                planned.Entry(one.kind, one.step, body, one.cost, one.tokens)  # type: ignore[arg-type]
            )
        elif one.kind == "paused":
            seconds = max(seconds, body.get("seconds", 0.0))  # what was before counts in it
    found = planned.past_of(entries, decisions)
    return msgspec.structs.replace(
        found, seconds=seconds, usd=usd, tokens=tokens, output_tokens=wrote
    )
