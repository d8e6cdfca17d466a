"""One learner a store: two would spend the error budgets twice and undo each other's work."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shoal.errors import StoreError
from shoal.storage import Store
from shoal.storage.database import Lock

log = logging.getLogger(__name__)

_AGAIN_S = 1.0


@contextmanager
def only_learner(store: Store, stop: threading.Event, stand_by: bool) -> Iterator[None]:
    """Hold the learner's lock of a store; the system lets go of it if the process dies.

    To ``stand_by`` is to wait until whoever holds it lets go, or until ``stop`` is set: then the
    lock is not held, and there is nothing to be done. ``stop`` is also set if the lock is lost,
    which a server that is started anew may do.

    Raises:
        StoreError: another learner holds it and this one does not stand by, or the lock was lost.
    """
    lock, place = store.database.learner_lock(), store.database.place
    if not lock.take():
        if not stand_by:
            raise StoreError(
                f"{place}: another learner works on this store; `shoal serve` starts one, "
                "unless told --no-learn"
            )
        _stand_by(lock, stop)
    ended = threading.Event()
    lost = threading.Event()
    guard = threading.Thread(target=_guard, args=(lock, ended, lost, stop), daemon=True)
    guard.start()
    try:
        yield
    finally:
        ended.set()
        guard.join(_AGAIN_S)  # it may be asking a server that hangs
        lock.release()
    if lost.is_set():
        raise StoreError(f"{place}: the learner's lock was lost; another learner may work now")


def _stand_by(lock: Lock, stop: threading.Event) -> None:
    log.info("another learner works on this store: standing by")
    while not stop.wait(_AGAIN_S):
        try:
            taken = lock.take()
        except StoreError as error:
            log.warning("standing by: %s", error)
            continue
        if taken:
            log.info("the other learner has ended: taking over")
            return


def _guard(
    lock: Lock, ended: threading.Event, lost: threading.Event, stop: threading.Event
) -> None:
    while not (stop.is_set() or ended.wait(_AGAIN_S)):
        if not lock.held():
            log.error("the learner's lock was lost: this learner stops")
            lost.set()
            stop.set()
