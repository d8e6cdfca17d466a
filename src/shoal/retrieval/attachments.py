"""What callers of the API said of a collection: its title and terms, and the files to be attached.

A table beside the shelf, made when it is first needed. The shelf alone says what is in the
collection; this says what is to come, what failed, and which attributes were given.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import uuid_utils
from msgspec import Struct

from shoal.errors import NotFound
from shoal.retrieval.documents import Value
from shoal.retrieval.shelf_tables import connect, to_json, translated

FILE = "store.db"
State = Literal["in_progress", "completed", "cancelled", "failed"]
# Beside these a row may be 'detached', which nobody is shown: the file was taken out of the store
# while it may have been being attached, so whoever attaches is still to take it out.
_BATCH = "vsfb_"
_TABLES = (
    """CREATE TABLE IF NOT EXISTS terms (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        title TEXT,
        description TEXT,
        metadata TEXT NOT NULL,
        days INTEGER,
        active_at REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS attachments (
        file TEXT PRIMARY KEY,
        at REAL NOT NULL,
        state TEXT NOT NULL,
        attributes TEXT NOT NULL,
        max_tokens INTEGER NOT NULL,
        overlap INTEGER NOT NULL,
        batch TEXT NOT NULL,
        code TEXT NOT NULL,
        reason TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS attachments_state ON attachments (state)",
    """CREATE TABLE IF NOT EXISTS batches (
        id TEXT PRIMARY KEY,
        at REAL NOT NULL,
        cancelled INTEGER NOT NULL)""",
)
_ROW = (
    "SELECT file, at, state, attributes, max_tokens, overlap, batch, code, reason FROM attachments "
    "WHERE state != 'detached'"
)
_UNSETTLED = "unsettled"  # of one that was cancelled: it may be there, and is to be taken out
_ACTIVE_S = 60.0  # finer than this it is not written when a store was last used
_DAY = 86_400.0


class Terms(Struct, frozen=True, kw_only=True):
    """What was said of a store: ``title`` "" for none, and after how many ``days`` without use it
    expires (None: never). ``active_at`` is when it was last used."""

    title: str = ""
    description: str = ""
    metadata: dict[str, str] = {}
    days: int | None = None
    active_at: float = 0.0

    @property
    def expires_at(self) -> float | None:
        """The unix time from which it is expired."""
        return None if self.days is None else self.active_at + self.days * _DAY


class Attachment(Struct, frozen=True, kw_only=True):
    """A file of the store, or on its way into it; cut into passages of ``max_tokens`` of which
    neighbours share up to ``overlap``. Of one that failed ``code`` and ``reason`` say why."""

    file: str
    at: float
    state: State = "in_progress"
    attributes: dict[str, Value] = {}
    max_tokens: int = 0
    overlap: int = 0
    batch: str = ""
    code: str = ""
    reason: str = ""


class Batch(Struct, frozen=True):
    """Files that were attached together."""

    id: str
    at: float
    cancelled: bool


class Attachments:
    """What was said of the collection in one folder. Safe to use from several threads and
    processes; each question opens the file for itself, and does not make it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def terms(self) -> Terms | None:
        """What was said of the store; None if nothing was."""
        rows = self._all("SELECT title, description, metadata, days, active_at FROM terms")
        if not rows:
            return None
        title, description, metadata, days, active = rows[0]
        return Terms(
            title=title,
            description=description,
            metadata=json.loads(metadata),
            days=days,
            active_at=active,
        )

    def say(self, terms: Terms) -> None:
        """Say all of it anew."""
        row = (terms.title, terms.description, to_json(terms.metadata), terms.days, terms.active_at)
        with self._writing() as conn:
            conn.execute("INSERT OR REPLACE INTO terms VALUES (1, ?, ?, ?, ?, ?)", row)

    def used(self, terms: Terms) -> None:
        """The store, of which that was said, is used now."""
        now = time.time()
        if now - terms.active_at > _ACTIVE_S:
            with self._writing() as conn:
                conn.execute("UPDATE terms SET active_at = ?", (now,))

    def attach(self, files: Sequence[Attachment], together: bool = False) -> str:
        """Files are to be attached, each in place of itself; the id of their batch, "" unless they
        come ``together``. When this returns it is on disk."""
        batch = _BATCH + uuid_utils.uuid7().hex if together else ""
        with self._writing() as conn:
            if together:
                conn.execute("INSERT INTO batches VALUES (?, ?, 0)", (batch, time.time()))
            conn.executemany(
                "INSERT OR REPLACE INTO attachments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_row_of(one, batch) for one in files],
            )
        return batch

    def find(self, file: str) -> Attachment | None:
        """One file; None if nothing was said of it."""
        rows = self._all(f"{_ROW} AND file = ?", (file,))
        return _attachment(rows[0]) if rows else None

    def said(self, batch: str = "") -> list[Attachment]:
        """All files, or those of a batch, in the order in which they were attached."""
        which = "AND (batch = ?1 OR ?1 = '')"
        return [_attachment(row) for row in self._all(f"{_ROW} {which} ORDER BY at", (batch,))]

    def unfinished(self) -> list[tuple[str, State]]:
        """The files that are not in the store (yet), and why not."""
        query = "SELECT file, state FROM attachments WHERE state NOT IN ('completed', 'detached')"
        return list(self._all(query))

    def given(self, files: Iterable[str]) -> dict[str, dict[str, Value]]:
        """The attributes that were given to those of these files of which something was said."""
        query = (
            "SELECT file, attributes FROM attachments "
            "WHERE file IN (SELECT value FROM json_each(?))"
        )
        rows = self._all(query, (to_json(list(files)),))
        return {file: json.loads(text) for file, text in rows}

    def waiting(self) -> Attachment | None:
        """The file that is to be attached next."""
        rows = self._all(f"{_ROW} AND state = 'in_progress' ORDER BY at, file LIMIT 1")
        return _attachment(rows[0]) if rows else None

    def settle(self, one: Attachment, state: State, code: str = "", reason: str = "") -> bool:
        """A file that waited is attached, or cannot be; false if it was cancelled, removed or
        attached anew meanwhile."""
        query = (
            "UPDATE attachments SET state = ?, code = ?, reason = ? "
            "WHERE file = ? AND at = ? AND state = 'in_progress'"
        )
        with self._writing() as conn:
            return conn.execute(query, (state, code, reason, one.file, one.at)).rowcount > 0

    def describe(self, one: Attachment) -> None:
        """Remember the attributes that a file is given now."""
        with self._writing() as conn:
            conn.execute(
                "INSERT INTO attachments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (file) DO UPDATE SET attributes = excluded.attributes",
                _row_of(one, one.batch),
            )

    def detach(self, file: str) -> bool:
        """A file is in the store no longer. One that waited may be being attached just now, so it
        is kept in mind, unseen, until whoever attaches has taken it out; whether that is so."""
        if not self.path.is_file():
            return False
        with self._writing() as conn:
            conn.execute(
                "UPDATE attachments SET state = 'detached' "
                "WHERE file = ? AND state = 'in_progress'",
                (file,),
            )
            query = "DELETE FROM attachments WHERE file = ? AND state != 'detached'"
            conn.execute(query, (file,))
            query = "SELECT count(*) FROM attachments WHERE file = ?"
            return bool(conn.execute(query, (file,)).fetchone()[0])

    def detached(self) -> list[str]:
        """The files that are still to be taken out."""
        query = "SELECT file FROM attachments WHERE state = 'detached'"
        return [file for (file,) in self._all(query)]

    def leaving(self) -> list[str]:
        """The files that are to be found no more: those, and those that were cancelled while they
        may have been being attached."""
        return [*self.detached(), *(one.file for one in self.cancelled())]

    def cancelled(self) -> list[Attachment]:
        """The files that were cancelled while they may have been being attached."""
        query = f"{_ROW} AND state = 'cancelled' AND code = ?"
        return [_attachment(row) for row in self._all(query, (_UNSETTLED,))]

    def settle_cancelled(self, one: Attachment) -> None:
        """Nothing is left of a file that was cancelled."""
        query = "UPDATE attachments SET code = '' WHERE file = ? AND at = ? AND code = ?"
        with self._writing() as conn:
            conn.execute(query, (one.file, one.at, _UNSETTLED))

    def forget(self, file: str) -> None:
        """A file that was detached has been taken out."""
        query = "DELETE FROM attachments WHERE file = ? AND state = 'detached'"
        with self._writing() as conn:
            conn.execute(query, (file,))

    def batch(self, id: str) -> Batch:
        """A batch.

        Raises:
            NotFound: there is none.
        """
        for found, at, cancelled in self._all("SELECT * FROM batches WHERE id = ?", (id,)):
            return Batch(found, at, bool(cancelled))
        raise NotFound(f"no batch with id {id[:100]!r}")

    def cancel(self, batch: str) -> None:
        """Attach no more files of a batch. One of them may be being attached just now, so they are
        kept in mind until whoever attaches has taken that out."""
        with self._writing() as conn:
            conn.execute("UPDATE batches SET cancelled = 1 WHERE id = ?", (batch,))
            conn.execute(
                "UPDATE attachments SET state = 'cancelled', code = ? "
                "WHERE batch = ? AND state = 'in_progress'",
                (_UNSETTLED, batch),
            )

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        if not self.path.is_file():
            return []
        with translated(self.path), closing(self._connection()) as conn:
            return conn.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path), closing(self._connection()) as conn:
            conn.execute("BEGIN IMMEDIATE")
            yield conn
            conn.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        conn = connect(self.path, "rwc")
        for table in _TABLES:
            conn.execute(table)
        return conn


def _attachment(row: Sequence[Any]) -> Attachment:
    file, at, state, attributes, max_tokens, overlap, batch, code, reason = row
    return Attachment(
        file=file,
        at=at,
        state=state,
        attributes=json.loads(attributes),
        max_tokens=max_tokens,
        overlap=overlap,
        batch=batch,
        code=code,
        reason=reason,
    )


def _row_of(one: Attachment, batch: str) -> tuple[object, ...]:
    return (
        one.file,
        one.at,
        one.state,
        to_json(one.attributes),
        one.max_tokens,
        one.overlap,
        batch,
        one.code,
        one.reason,
    )
