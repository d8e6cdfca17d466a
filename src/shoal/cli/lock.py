"""One learner a store: two would spend the error budgets twice and undo each other's work."""

import fcntl
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from shoal.errors import StoreError

log = logging.getLogger(__name__)

_AGAIN_S = 1.0


@contextmanager
def only_learner(folder: Path, stop: threading.Event | None = None) -> Iterator[None]:
    """Hold the learner's lock of a data folder; the system lets go of it if the process dies.

    With ``stop``, stand by until whoever holds it lets go, or until that is set: then the lock is
    not held, and there is nothing to be done.

    Raises:
        StoreError: another learner holds it, and ``stop`` is None.
    """
    path = folder / "learner.lock"
    with path.open("w") as file:
        if not _locked(file):
            if stop is None:
                raise StoreError(
                    f"{path}: another learner works on this store; `shoal serve` starts one, "
                    "unless told --no-learn"
                )
            _stand_by(file, stop)
        yield


def _stand_by(file: IO[str], stop: threading.Event) -> None:
    log.info("another learner works on this store: standing by")
    while not stop.wait(_AGAIN_S):
        if _locked(file):
            log.info("the other learner has ended: taking over")
            return


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
