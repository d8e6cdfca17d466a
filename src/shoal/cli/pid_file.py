"""How ``shoal reload`` finds the gateways of a store: each has a file in the data folder.

A gateway holds a lock on its file, which the system lets go of when it ends, however it ends; so a
file that is left over never names a process that is something else by now.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_PREFIX = "serve-"


@contextmanager
def pid_file(folder: Path) -> Iterator[None]:
    """Name this process as a gateway of the data folder."""
    for path, pid in _files(folder):
        if not pid:
            path.unlink(missing_ok=True)
    path = folder / f"{_PREFIX}{os.getpid()}.pid"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # a store in Postgres makes none
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{os.getpid()}\n")  # locked first: an empty one is about to be
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def gateways(folder: Path) -> list[int]:
    """The process ids of the gateways that run on a data folder."""
    return [pid for _, pid in _files(folder) if pid]


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Each file and the process that holds it, 0 if none does any more."""
    for path in sorted(folder.glob(f"{_PREFIX}*.pid")):
        try:
            with path.open() as file:
                held = not (text := file.read()) or _is_locked(file)
        except FileNotFoundError:
            continue
        yield path, int(text or path.stem.removeprefix(_PREFIX)) if held else 0


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
