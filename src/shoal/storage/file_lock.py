"""A lock that the system lets go of when its process dies, however that ends."""

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import IO


class FileLock:
    """The lock on one file, for the processes of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Take the lock, without waiting; false if another process has it."""
        file = self._path.open("w")
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = file
            return True
        file.close()
        return False

    def held(self) -> bool:
        """Whether the lock was taken: nobody can take it away."""
        return self._file is not None

    def release(self) -> None:
        """Let go of the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
