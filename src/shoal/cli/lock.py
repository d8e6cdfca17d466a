"""One learner a store: two would spend the error budgets twice and undo each other's work."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import StoreError


@contextmanager
def only_learner(folder: Path) -> Iterator[None]:
    """Hold the learner's lock of a data folder; the system lets go of it if the process dies.

    Raises:
        StoreError: another learner holds it.
    """
    path = folder / "learner.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(
                f"{path}: another learner works on this store; `shoal serve` starts one, "
                "unless told --no-learn"
            ) from None
        yield
