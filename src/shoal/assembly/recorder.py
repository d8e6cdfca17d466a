"""Has calls recorded, and waits for the disk where that is asked for."""

import asyncio
import logging
from contextlib import suppress

from shoal.assembly.spending import Recorded
from shoal.errors import StoreError
from shoal.storage import CallRecord, Store

log = logging.getLogger(__name__)

WRITE_S = 2.0
"""A store that takes longer to write fails: nobody waits for it, and health says so."""

_LAG_S = 0.02  # of the 50 ms that may be lost; when all is well the writer is 10 to 15 ms behind


class Recorder:
    """The calls of one store, on their way to the disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, record: CallRecord, held: float = 0.0) -> Recorded:
        """Have a call recorded, and what is ``held`` for it if its cost is unknown."""
        try:
            return self._store.record(record, held)
        except StoreError as failure:
            log.warning("call %s is not recorded: %s", record.id, failure)
            return None

    async def kept(self, recorded: Recorded, call_id: str) -> None:
        """Wait until a call is written where a durable store is asked for, or where the writing is
        behind: what is acknowledged meanwhile would be lost with the process."""
        store = self._store
        late = _LAG_S < store.writer.lag() < WRITE_S
        if recorded is None or not (store.options.durable or late) or not store.writer.health().ok:
            return
        try:
            await asyncio.wait_for(asyncio.wrap_future(recorded), WRITE_S)
        except (StoreError, TimeoutError) as failure:
            why = str(failure) or "the store is slow"
            log.warning("call %s is not on disk yet: %s", call_id, why)

    async def written(self) -> None:
        """Wait until what was recorded so far is written, or the store is found to fail."""
        done = self._store.writer.submit(lambda conn: None, urgent=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(done), WRITE_S)
