"""The small file that says what of a vector index's files counts.

Data is appended and synced first, then this file is replaced: whenever a process dies, the old
state or the new one is there, and both are whole.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.retrieval.cursor import Cursor

FORM = 1  # of the files; another form is rebuilt, not read
NAME = "state.json"


class State(Struct, frozen=True, kw_only=True):
    """``rows`` and ``removals`` (ranges of numbers) count in the files of ``generation``; ``cells``
    is how many centroids there are, 0 before the rows are shared out among any."""

    digest: str
    dim: int
    form: int = FORM
    generation: int = 0
    rows: int = 0
    removals: int = 0
    cells: int = 0
    cursor: Cursor = Cursor()

    def fits(self, digest: str, dim: int) -> bool:
        """Whether vectors of that encoder belong here, and the numbers can be true."""
        sound = min(self.generation, self.rows, self.removals, self.cells) >= 0
        return sound and (self.form, self.digest, self.dim) == (FORM, digest, dim)


def read_state(folder: Path) -> State | None:
    """The state in ``folder``; None if there is none, or it cannot be read as one."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=State)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_state(folder: Path, state: State) -> None:
    """Replace it, and return when the disk has it. Raises ``OSError``; the old one then stays."""
    written = folder / f"{NAME}.new"
    with written.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make names given and replaced in ``folder`` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seen(folder: Path) -> tuple[int, int, int] | None:
    """What changes whenever the state does; None if there is no state."""
    try:
        found = (folder / NAME).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
