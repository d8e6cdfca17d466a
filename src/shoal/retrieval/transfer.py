"""A collection as one file: written from one, and made a collection again, here or elsewhere.

The file is a copy of the shelf and, in a table that no shelf has, of what belongs to the collection
besides: what it was tuned to, with the certificate and the attempts that were spent, and what
callers of the API said of it and of its files. Each comes with its digest, and so does the shelf.
What is on its way in or out does not come along; nor do uploads, which belong to keys.
"""

import hashlib
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import ArtifactError, Conflict, NotFound, StoreDamaged, StoreError
from shoal.retrieval import shelf_staging as staging
from shoal.retrieval.attachments import Attachment, Attachments, Terms
from shoal.retrieval.collection import check_name
from shoal.retrieval.gain import replace_file
from shoal.retrieval.leftovers import finish, hidden, set_aside, sweep
from shoal.retrieval.qdrant_place import Places, in_folders
from shoal.retrieval.shelf import FILE, Shelf
from shoal.retrieval.shelf_tables import connect, remove, translated
from shoal.retrieval.tuned import FOLDER, RERANKER, files_of_tuned, verify
from shoal.retrieval.uploads import PREFIX

_SHELF, _SAID = "shelf", "said.json"
_ALL = (
    "SELECT * FROM documents ORDER BY number",
    "SELECT * FROM passages ORDER BY number",
    "SELECT * FROM vectors ORDER BY number",
)
_CARRIED = "SELECT name, digest, coalesce(CAST(data AS BLOB), x'') FROM carried"
_OURS = re.compile(rf"(?:{FOLDER}|{RERANKER})(?:/[\w-][\w.-]*){{1,4}}", re.ASCII)


class _Said(Struct, frozen=True):
    """What callers of the API said."""

    terms: Terms | None
    files: list[Attachment]


def export_collection(folder: Path, file: Path) -> None:
    """Write a collection into one file, as it is now.

    Raises:
        NotFound: there is none.
        StoreError: it cannot be read, or the file cannot be written, or is there already.
    """
    if file.exists() or not file.parent.is_dir():
        why = "is there already" if file.exists() else "its folder is not there"
        raise StoreError(f"{file}: cannot be written: {why}")
    writing, attachments = hidden(file, "exporting"), Attachments(folder)
    try:
        with closing(Shelf.open(folder)) as shelf:
            shelf.copy_to(writing)
        files = [one for one in attachments.said() if one.state == "completed"]
        said = msgspec.json.encode(_Said(attachments.terms(), files))
        carried = {_SAID: said, **_files(folder)}
        leaving = [one.removeprefix(PREFIX) for one in attachments.leaving()]
        with translated(writing), closing(connect(writing)) as conn:
            _finish(conn, carried, leaving)
        writing.rename(file)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written: {error}") from error
    finally:
        for left in file.parent.glob(f"{writing.name}*"):
            left.unlink(missing_ok=True)


def import_collection(file: Path, folder: Path, places: Places = in_folders) -> None:
    """Make a collection of a file that ``export_collection`` wrote.

    Raises:
        Conflict: there is one of this name.
        ConfigError: the name will not do.
        NotFound, StoreError: the file is not there, is no collection, or is damaged.
    """
    check_name(folder.name)
    if (folder / FILE).exists():
        raise _is_there(folder)
    if not file.is_file():
        raise NotFound(f"{file}: no such file" if not file.exists() else f"{file}: this is no file")
    sweep(folder.parent, places)
    waiting = hidden(folder)
    try:
        waiting.mkdir(parents=True)
        shutil.copyfile(file, waiting / FILE)
        _check(waiting, file)
        _unpack(waiting, file)
        with closing(Shelf.open(waiting)) as shelf:
            shelf.forget_sources()  # they are another machine's: files missing here are not gone
            shelf.forget_failures()
            shelf.make_anew()
        _take_name(waiting, folder, places)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def _files(folder: Path) -> dict[str, bytes]:
    """What lies beside the shelf and cannot be made again from it, by path."""
    kept = (folder / RERANKER).rglob("*")
    found = [*files_of_tuned(folder / FOLDER), *(path for path in kept if path.is_file())]
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in names.items() if _OURS.fullmatch(name)}


def _finish(conn: sqlite3.Connection, carried: dict[str, bytes], leaving: Iterable[str]) -> None:
    """Make of a copy of the shelf what is exported; ``leaving`` are ids of documents."""
    conn.execute("BEGIN IMMEDIATE")
    staging.forget(conn, staged=True)
    for known in leaving:
        rows = conn.execute("SELECT name FROM documents WHERE id = ?", (known,)).fetchall()
        for (name,) in rows:
            remove(conn, name)
    conn.execute("CREATE TABLE carried (name TEXT PRIMARY KEY, digest TEXT, data BLOB)")
    rows = [(name, hashlib.sha256(data).hexdigest(), data) for name, data in carried.items()]
    conn.executemany("INSERT INTO carried VALUES (?, ?, ?)", [*rows, (_SHELF, _digest(conn), b"")])
    conn.execute("COMMIT")
    conn.execute("VACUUM")  # nothing is left of what was removed just now
    conn.execute("PRAGMA journal_mode = DELETE")  # one file, not three


def _digest(conn: sqlite3.Connection) -> str:
    """Of all that the shelf has: documents, passages and vectors."""
    digest, encode = hashlib.sha256(), msgspec.msgpack.encode
    for query in _ALL:
        for row in conn.execute(query):
            digest.update(encode(row))
    return digest.hexdigest()


def _check(waiting: Path, file: Path) -> None:
    try:
        with closing(Shelf.open(waiting)) as shelf:
            shelf.check()
    except StoreDamaged as error:
        raise StoreDamaged(f"{file}: damaged, or nothing that `export` wrote") from error


def _unpack(waiting: Path, file: Path) -> None:
    """Put what was carried in its place; files of earlier Shoals carry nothing."""
    with translated(file), closing(connect(waiting / FILE)) as conn:
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'carried'"
        if not conn.execute(query).fetchone()[0]:
            return
        rows = conn.execute(_CARRIED).fetchall()
        for name, digest, data in rows:
            found = _digest(conn) if name == _SHELF else hashlib.sha256(data).hexdigest()
            if found != digest:
                raise StoreDamaged(f"{file}: damaged: its {name} is not what its digest says")
        conn.execute("DROP TABLE carried")
    carried = {name: data for name, _, data in rows}
    for name, data in carried.items():
        if name not in (_SHELF, _SAID):
            if _OURS.fullmatch(name) is None:
                raise StoreDamaged(f"{file}: {name[:40]!r}: a collection has no such thing")
            replace_file(waiting / name, data)
    try:
        verify(waiting / FOLDER)
        _say(waiting, msgspec.json.decode(carried.get(_SAID, b"null"), type=_Said | None))
    except (ArtifactError, msgspec.DecodeError) as error:
        raise StoreDamaged(f"{file}: damaged: {error}") from error


def _say(waiting: Path, said: _Said | None) -> None:
    """As if it had been said here; that it comes counts as use."""
    if said is None:
        return
    attachments = Attachments(waiting)
    if said.terms is not None:
        attachments.say(replace(said.terms, active_at=time.time()))
    if said.files:
        attachments.attach([replace(one, batch="") for one in said.files])


def _take_name(waiting: Path, folder: Path, places: Places) -> None:
    """Become the collection. What is there already, if it is none, is somebody's who was stopped
    while making one, or of a search that came too late to one that was removed."""
    if folder.is_dir() and not (folder / FILE).exists():
        going = set_aside(folder)
        if (going / FILE).exists():  # just now
            going.rename(folder)
        else:
            finish(going, places)
    if (folder / FILE).exists():
        raise _is_there(folder)
    waiting.rename(folder)


def _is_there(folder: Path) -> Conflict:
    return Conflict(f"there is a collection {folder.name} already")
