"""What is known of the model files that ``shoal models add`` brought: where each came from, its
digest, and how fast it was here."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.errors import ArtifactError, NotFound

INDEX = "models.json"


class Speed(Struct, frozen=True):
    """Tokens a second that a model read and wrote when it was last tried, with so many threads."""

    reading: float
    writing: float
    threads: int
    at: float


class KeptModel(Struct, frozen=True, kw_only=True):
    """One model: its file, and what it was when it was added. ``own``: the files lie in the data
    folder, and go with the model; ``files`` are all of them. ``block`` is what was written into the
    settings for it."""

    name: str
    path: str
    files: tuple[str, ...]
    source: str
    revision: str = ""
    sha256: str
    size: int
    changed_at: float
    own: bool = False
    added_at: float = msgspec.field(default_factory=time.time)
    block: str = ""
    speed: Speed | None = None

    @property
    def state(self) -> str:
        """ "" if the file is as it was, else what became of it."""
        try:
            now = Path(self.path).stat()
        except OSError:
            return "its file is gone"
        same = now.st_size == self.size and now.st_mtime == self.changed_at
        return "" if same else "its file has changed since it was added"


class KeptModels:
    """The models of one data folder, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> dict[str, KeptModel]:
        """Every model, in the order in which they were added.

        Raises:
            ArtifactError: the list of them is damaged.
        """
        path = self.folder / INDEX
        try:
            rows = msgspec.json.decode(path.read_bytes(), type=list[KeptModel])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise ArtifactError(f"{path}: cannot be read: {error}") from None
        return {row.name: row for row in rows}

    def get(self, name: str) -> KeptModel:
        """The model of this name.

        Raises:
            NotFound: there is none.
            ArtifactError: the list of them is damaged.
        """
        rows = self.all()
        if name not in rows:
            raise NotFound(
                f"no model {name!r} was added; `shoal models list` shows those there are"
            )
        return rows[name]

    def put(self, model: KeptModel) -> None:
        """Keep what is known of a model, in place of what was.

        Raises:
            ArtifactError: the list cannot be read or written.
        """
        with self._alone():
            self._write(self.all() | {model.name: model})

    def forget(self, name: str) -> None:
        """Drop what is known of a model; its files stay.

        Raises:
            ArtifactError: the list cannot be read or written.
        """
        with self._alone():
            self._write({key: row for key, row in self.all().items() if key != name})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes the list."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise ArtifactError(f"{self.folder}: cannot be written: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, rows: dict[str, KeptModel]) -> None:
        content = msgspec.json.format(msgspec.json.encode(list(rows.values())))
        try:
            fresh = self.folder / f"{INDEX}.new"
            with fresh.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.folder / INDEX)
        except OSError as error:
            raise ArtifactError(f"{self.folder / INDEX}: cannot be written: {error}") from None
