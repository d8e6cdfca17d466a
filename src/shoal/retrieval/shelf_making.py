"""Makes the file of a new shelf: it is there whole, or not at all."""

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from shoal.errors import Conflict, StoreError
from shoal.retrieval.shelf_tables import APPLICATION, TABLES, VERSION, connect

_MADE_WITHIN_S = 60.0  # after so long nobody is still at it: it takes milliseconds


def make_shelf(path: Path, encoder: str, dim: int, max_tokens: int) -> None:
    """Make an empty one at ``path``, and its folder.

    Raises:
        Conflict: there is one already.
        StoreError: the file cannot be written.
    """
    folder, making = path.parent, path.parent / f".{uuid4().hex}.making"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with closing(connect(making, "rwc")) as conn:
            conn.execute("BEGIN IMMEDIATE")
            for statement in TABLES:
                conn.execute(statement)
            conn.execute(
                "INSERT INTO collection VALUES (1, ?, ?, ?, 0, ?, ?)",
                (encoder, dim, max_tokens, time.time(), uuid4().hex),
            )
            conn.execute(f"PRAGMA application_id = {APPLICATION}")
            conn.execute(f"PRAGMA user_version = {VERSION}")
            conn.execute("COMMIT")
        os.link(making, path)  # unlike a renaming, this does not replace one
    except FileExistsError as error:
        raise Conflict(f"{folder}: there is a collection already") from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: cannot be made: {error}") from error
    finally:
        for left in folder.glob(f"{making.name}*"):
            left.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Throw away what is left of somebody who was stopped while making one here."""
    before = time.time() - _MADE_WITHIN_S
    for left in folder.glob(".*.making*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < before:
                left.unlink()
