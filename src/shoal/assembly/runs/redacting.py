"""What the journals of runs that have ended keep of personal values: as the privacy rules say.

While a run goes on, waits or is stuck its values stay as they are: it goes on from them.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from functools import partial

import msgspec

from shoal.assembly.runs.leases import Leases
from shoal.assembly.runs.order import Order, order_of
from shoal.errors import NotFound, ShoalError, StoreDamaged
from shoal.routing.privacy.journals import JournalScrub
from shoal.storage import RunRecord, Store

log = logging.getLogger(__name__)

_PAGE = 500  # records
_LEFT_OUT = "[left out]"


class Redacting:
    """``scrub`` gives what finds and replaces what is not to be kept, None where all is."""

    def __init__(
        self, store: Store, leases: Leases, scrub: Callable[[], JournalScrub | None]
    ) -> None:
        self._store, self._leases, self._scrub = store, leases, scrub
        self._failed = set[str]()

    async def all_ended(self) -> None:
        """Redact every run that ended a while ago, so that who follows one hears its end whole.

        Raises:
            StoreError: the store cannot be read or written; what was redacted is.
        """
        async for run_id in self._whole(time.time() - self._leases.watch.grace_s):
            await self._one(run_id)

    async def at_once(self, names: Collection[str]) -> None:
        """Redact those of these runs that have ended: nobody follows them any more. Where the
        store cannot be written that is left to whoever looks after runs next."""
        try:
            async for run_id in self._whole(math.inf):
                if run_id in names:
                    await self._one(run_id)
        except ShoalError as error:
            log.warning("runs that ended are not redacted yet: %s", error)

    async def _whole(self, until: float) -> AsyncIterator[str]:
        after = ""
        while self._scrub() is not None:
            page = await asyncio.to_thread(self._store.runs.whole, until, after)
            for run_id in page:
                yield run_id
                after = run_id
            if not page:
                return

    async def _one(self, run_id: str) -> None:
        scrub = self._scrub()
        if scrub is None or run_id in self._failed:
            return
        try:
            goal, bodies = await asyncio.to_thread(self._less, run_id, scrub)
            runs, now = self._store.runs, time.time()
            await self._leases.write(partial(runs.redact, run_id=run_id, goal=goal, bodies=bodies,
                                             at=now))  # fmt: skip
        except NotFound:  # it has expired
            return
        except StoreDamaged as error:  # however often it is tried
            self._failed.add(run_id)
            log.error("run %s cannot be redacted, and keeps its values: %s", run_id, error)

    def _less(self, run_id: str, scrub: JournalScrub) -> tuple[str, dict[int, bytes]]:
        """The goal and the bodies as they may be kept, the latter where they are others."""
        goal = msgspec.json.encode(self._store.runs.get(run_id).goal).decode()
        scrub.look(goal)
        for one in self._records(run_id):
            scrub.look(one.body.decode())
        bodies = dict[int, bytes]()
        for one in self._records(run_id):
            less = scrub.apply(one.body.decode()).encode()
            if less != one.body:
                bodies[one.seq] = less if one.seq else _readable(one, less)
        return msgspec.json.decode(scrub.apply(goal), type=str), bodies

    def _records(self, run_id: str) -> Iterator[RunRecord]:
        after = -1
        while page := self._store.runs.records(run_id, after, _PAGE):
            yield from page
            after = page[-1].seq


def _readable(first: RunRecord, less: bytes) -> bytes:
    """The order as it may be kept; the least of it, should what is left be none."""
    try:
        order_of(msgspec.structs.replace(first, body=less))
    except StoreDamaged:
        order = order_of(first)
        return msgspec.json.encode(Order(agent=order.agent, goal=_LEFT_OUT, by=order.by))
    return less
