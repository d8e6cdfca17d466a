"""Looks after runs: keeps the leases of those that are performed here, ends those whose key is in
force no longer, goes on with those that other processes left behind, and has those that ended
keep no more of personal values than they may."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Self

from shoal.assembly.runs.callers import caller_of
from shoal.assembly.runs.ensemble import Ensemble
from shoal.assembly.runs.leases import Leases
from shoal.assembly.runs.performance import PLANNING, write_end
from shoal.assembly.runs.redacting import Redacting
from shoal.assembly.runs.story import RESUMED, order_in
from shoal.errors import Conflict, LeaseLost, NotAllowed, ShoalError, StoreDamaged
from shoal.planning.outcome import Outcome
from shoal.storage import Run, RunRecord, Store

log = logging.getLogger(__name__)

Resume = Callable[[str], Awaitable[None]]
"""Goes on with the run of that id, on behalf of who began it."""

_MOST_RESUMED = 10  # times in a row that a run may be broken off before it comes any further
_LOOKED_AT = 1_000  # records
_NO_STEP_ON = (RESUMED, PLANNING, "started")


class Keeper:
    """``resume`` None: what others left behind is left to others. Use it with ``async with``."""

    def __init__(
        self,
        store: Store,
        leases: Leases,
        ensemble: Ensemble,
        redacting: Redacting,
        resume: Resume | None,
    ) -> None:
        self._store, self._leases, self._ensemble = store, leases, ensemble
        self._redacting, self._resume = redacting, resume
        self._tasks = list[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        # Leases wait for nothing else: a run that takes long to stop must not cost others theirs.
        duties = [self._renew, self._stop_refused]
        duties += [self._pick_up, self._redacting.all_ended] if self._resume else []
        self._tasks = [asyncio.create_task(self._again(duty)) for duty in duties]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _again(self, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
            except Exception as error:  # whatever it is: without leases, others take the runs
                bug = not isinstance(error, ShoalError)
                log.error("runs are not looked after now: %s", error, exc_info=bug)
            await asyncio.sleep(self._leases.watch.every_s)

    async def _renew(self) -> None:
        before = dict(self._ensemble.active)
        for name in await self._leases.renew(list(before)):
            active = before[name]
            if self._ensemble.active.get(name) is active:  # else it has ended meanwhile
                log.warning("run %s is another process's by now", name)
                active.cancel()

    async def _stop_refused(self) -> None:
        """End runs whose key is in force no longer."""
        refused = list[tuple[Run, Outcome]]()
        for active in list(self._ensemble.active.values()):
            try:
                await asyncio.to_thread(caller_of, self._store, active.run)
            except NotAllowed as error:
                refused.append((active.run, _failed(error)))
        await asyncio.gather(*(self._end(*one) for one in refused))

    async def _end(self, run: Run, outcome: Outcome) -> None:
        if active := self._ensemble.active.get(run.id):
            await active.stop(outcome)
        await self._set_aside(run, outcome)

    async def _pick_up(self) -> None:
        """Go on with what others left behind: all of it, page after page, so that runs which this
        process cannot take up do not stand before the others."""
        runs, after = self._store.runs, ""
        while page := await asyncio.to_thread(runs.unfinished, time.time(), after):
            for run in page:
                if run.id not in self._ensemble.active:
                    await self._try_to_go_on(run)
            after = page[-1].id

    async def _try_to_go_on(self, run: Run) -> None:
        try:
            await self._go_on(run)
        except Conflict:  # another gateway was quicker
            return
        except NotAllowed as error:
            await self._set_aside(run, _failed(error))
        except StoreDamaged as error:  # no gateway can, however often it is tried
            await self._set_aside(run, Outcome(state="stuck", error=str(error)))
        except ShoalError as error:  # one that cannot go on must not keep the others
            log.warning("run %s cannot be gone on with: %s", run.id, error)

    async def _go_on(self, run: Run) -> None:
        order = await asyncio.to_thread(order_in, self._store, run.id)
        if order.by != "gateway":
            return
        if await asyncio.to_thread(self._came_no_further, run):
            told = f"it was broken off {_MOST_RESUMED} times before it came any further"
            hint = "see what ends the process that performs it, then resume it"
            return await self._set_aside(run, Outcome(state="stuck", error=told, hint=hint))
        log.info("going on with run %s", run.id)
        assert self._resume is not None
        await self._resume(run.id)

    def _came_no_further(self, run: Run) -> bool:
        """Whether it was begun again and again in vain: it may be what kills the processes."""
        found = self._store.runs.records(run.id, run.records - 1 - _LOOKED_AT, _LOOKED_AT)
        return _resumed_in_vain(found) >= _MOST_RESUMED

    async def _set_aside(self, run: Run, outcome: Outcome) -> None:
        """Write down that nobody goes on with a run, unless it has ended."""
        with suppress(LeaseLost):
            if await self._leases.claim(run.id, by_force=True):
                await write_end(self._ensemble.journal(run.id), outcome)
                self._leases.release(run.id)


def _resumed_in_vain(records: Sequence[RunRecord]) -> int:
    count = 0
    for one in reversed(records):
        if one.kind not in _NO_STEP_ON:
            break
        count += one.kind == RESUMED
    return count


def _failed(error: ShoalError) -> Outcome:
    return Outcome(state="failed", error=str(error))
