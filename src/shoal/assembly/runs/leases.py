"""Which runs this process has, and for how long: see ``storage.runs``."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import uuid_utils
from msgspec import Struct
from sqlalchemy import Connection

from shoal.errors import ShoalError, StoreError
from shoal.storage import Store

T = TypeVar("T")

_PROCESSES = Path("/proc/self/ns/pid")  # by its inode processes of one machine know each other


def _place() -> str:
    """Where process ids mean the same: this machine, and on it these processes; "" for the latter
    where the system does not tell."""
    try:
        own = str(_PROCESSES.stat().st_ino)
    except OSError:
        own = ""
    return f"{os.uname().nodename}:{own}"


_HERE = _place()
_LOCK_OUT = 10  # leases for which a run that is taken from another process is kept from others


class Watch(Struct, frozen=True):
    """For how long a run belongs to a process that does not say that it still has it, how often
    that is said, and others' lapsed runs are looked for, and for how long who begins or takes a run
    waits for a store that takes nothing; how long after its end a run is left whole for those who
    follow it; seconds."""

    lease_s: float = 30.0
    every_s: float = 5.0
    patience_s: float = 10.0
    grace_s: float = 60.0


class Leases:
    """The leases of one process, ``owner``."""

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store, self.watch = store, watch
        self.owner = f"{_HERE}:{os.getpid()}:{uuid_utils.uuid7()}"

    async def claim(self, run_id: str, by_force: bool = False) -> bool:
        """Have a run; false if another has it, unless ``by_force`` or that process is no more, or
        it has ended."""
        if await self._claim(run_id, by_force):
            return True
        run = await asyncio.to_thread(self._store.runs.get, run_id)
        return _is_dead(run.owner) and await self._claim(run_id, by_force=True)

    async def _claim(self, run_id: str, by_force: bool) -> bool:
        runs, owner, lease_s = self._store.runs, self.owner, self.watch.lease_s
        now = time.time() + (_LOCK_OUT * lease_s if by_force else 0.0)
        return await self.write(lambda conn: runs.claim(conn, run_id, owner, lease_s, now))

    async def renew(self, names: Sequence[str]) -> list[str]:
        """Have runs for longer; returns those that this process has no longer."""
        if not names:
            return []
        runs, owner, lease_s, now = self._store.runs, self.owner, self.watch.lease_s, time.time()
        kept = await self.write(
            lambda conn: [runs.renew(conn, one, owner, lease_s, now) for one in names]
        )
        gone = [name for name, is_kept in zip(names, kept, strict=True) if not is_kept]
        return [name for name in gone if await asyncio.to_thread(self._is_lost, name)]

    def _is_lost(self, run_id: str) -> bool:
        """Whether somebody else has a run, or has ended it. One that has just ended by itself is
        nobody's either, and may not have told so yet."""
        run = self._store.runs.get(run_id)
        return run.owner not in ("", self.owner) or run.state == "cancelled"

    def release(self, run_id: str) -> None:
        """Let others have a run soon, if this process has it."""
        runs, owner = self._store.runs, self.owner
        with suppress(ShoalError):  # the store is closed: the lease lapses
            self._store.writer.submit(lambda conn: runs.release(conn, run_id, owner), urgent=True)

    async def write(self, operation: Callable[[Connection], T]) -> T:
        """What an operation of the writer returns.

        Raises:
            StoreError: it is not written for so long; it will be when the store takes it.
        """
        written = asyncio.wrap_future(self._store.writer.submit(operation, urgent=True))
        await asyncio.wait((written,), timeout=self.watch.patience_s)
        if written.done():
            return written.result()
        written.add_done_callback(lambda late: late.cancelled() or late.exception())
        why = self._store.writer.health().last_error or "it is slow"
        raise StoreError(f"the store takes nothing now: {why}; ask again when it does")


def _is_dead(owner: str) -> bool:
    """Whether an owner was a process of this place that is no more; false where nobody knows."""
    place, _, rest = owner.rpartition(":")[0].rpartition(":")
    if place != _HERE or _HERE.endswith(":") or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
