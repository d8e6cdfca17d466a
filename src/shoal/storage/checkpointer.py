"""The thread that merges the write-ahead log, so that no writer waits for the disk to do it.

Measured here, merging the 4 MB at which SQLite would have the writer do it takes 10 to 25 ms. The
log is begun anew once all of it is merged. Where writers never pause for that long, it grows to the
64 MiB at which a writer merges what is left.
"""

import threading
from contextlib import suppress

from shoal.errors import StoreError
from shoal.storage.database import Database

_LOG_BYTES = 4_000_000
_EVERY = 1.0  # seconds between two looks at the log's size


class Checkpointer:
    """Keeps the write-ahead log of a database short."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shoal-checkpointer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(_EVERY):
            if self._database.log_bytes() > _LOG_BYTES:
                with suppress(StoreError):  # the writer meets the same trouble, and reports it
                    self._database.checkpoint()
