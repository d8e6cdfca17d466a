"""Vectors on their way to take the place of those on a shelf, all at once."""

import sqlite3
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from shoal.retrieval.shelf_rows import Former
from shoal.retrieval.shelf_tables import STORED, Vectors, next_change


def begin(conn: sqlite3.Connection) -> None:
    """Set up where they wait; what is left of an earlier time goes."""
    conn.execute("DROP TABLE IF EXISTS staged")
    conn.execute(
        """CREATE TABLE staged (
            number INTEGER PRIMARY KEY,
            passage INTEGER NOT NULL,
            vector BLOB NOT NULL)"""
    )
    conn.execute("CREATE INDEX staged_passage ON staged (passage)")


def waiting(conn: sqlite3.Connection, most: int) -> list[Any]:
    """Number, text and headings of passages that have none yet."""
    query = (
        "SELECT number, text, headings FROM passages "
        "WHERE number NOT IN (SELECT passage FROM staged) ORDER BY number LIMIT ?"
    )
    return conn.execute(query, (most,)).fetchall()


def add(conn: sqlite3.Connection, passages: Sequence[int], vectors: Sequence[Vectors]) -> None:
    """Keep the vectors (p, dim) of each of n passages."""
    rows = [
        (passage, vector.tobytes())
        for passage, parts in zip(passages, vectors, strict=True)
        for vector in parts.astype(STORED)
    ]
    conn.executemany("INSERT INTO staged VALUES (NULL, ?, ?)", rows)


def end(conn: sqlite3.Connection, encoder: str, dim: int) -> str:
    """Put them in the place of the others, under numbers of their own; the name of what the
    collection is now."""
    conn.execute("DELETE FROM vectors")
    conn.execute(
        "INSERT INTO vectors (passage, vector) SELECT passage, vector FROM staged "
        "WHERE passage IN (SELECT number FROM passages) ORDER BY passage, number"
    )
    conn.execute("CREATE TEMP TABLE spans (document INTEGER PRIMARY KEY, first, count)")
    conn.execute(
        "INSERT INTO spans SELECT p.document, min(v.number), count(*) "
        "FROM vectors v JOIN passages p ON p.number = v.passage GROUP BY p.document"
    )
    conn.execute(
        "UPDATE documents SET "
        "first_vector = coalesce((SELECT first FROM spans WHERE document = number), 1), "
        "vectors = coalesce((SELECT count FROM spans WHERE document = number), 0)"
    )
    made = uuid4().hex
    conn.execute("CREATE TABLE IF NOT EXISTS former (encoder TEXT NOT NULL, made TEXT NOT NULL)")
    conn.execute("INSERT INTO former SELECT encoder, made FROM collection")
    conn.execute("UPDATE collection SET encoder = ?, dim = ?, made = ?", (encoder, dim, made))
    next_change(conn)
    conn.execute("DROP TABLE spans")
    conn.execute("DROP TABLE staged")
    return made


def former(conn: sqlite3.Connection) -> list[Former]:
    """What the collection was before, oldest first."""
    return [Former(*row) for row in conn.execute("SELECT * FROM former")] if _has(conn) else []


def forget(conn: sqlite3.Connection, staged: bool = False) -> None:
    """Forget that; ``staged``: and the vectors of somebody who was stopped while encoding anew."""
    conn.execute("DROP TABLE IF EXISTS former")
    if staged:
        conn.execute("DROP TABLE IF EXISTS staged")


def _has(conn: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'former'"
    return bool(conn.execute(query).fetchone()[0])
