"""What a shelf tells of itself, beside documents and passages."""

import sqlite3

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.retrieval.documents import Value


class Seal(Struct, frozen=True):
    """What a file was when it was last looked at; equal seals, equal files, as far as a look from
    outside tells."""

    size: int
    modified_ns: int


NO_SEAL = Seal(0, 0)
"""Of what could not be looked at: it is looked at again."""


class Source(Struct, frozen=True):
    """A file or folder that documents come from; ``device`` is what a folder was on, None of a
    file."""

    path: str
    device: int | None = None


class Failure(Struct, frozen=True):
    """A file that could not be taken in, and why."""

    name: str
    seal: Seal
    reason: str
    at: float


class Removal(Struct, frozen=True):
    """The passages ``first`` to ``last`` of a document are gone, and the vectors ``first_vector``
    to ``last_vector``; ``last < first``: it had none."""

    number: int
    document: int
    first: int
    last: int
    first_vector: int
    last_vector: int


class Former(Struct, frozen=True):
    """What a collection was before it was encoded anew: indexes elsewhere are known by that."""

    encoder: str
    made: str


class Ranges(Struct, frozen=True):
    """Of m documents, in the order of their passages: their numbers, and the numbers of their first
    passages and vectors with how many of these they have; (m,) each. ``changes`` is the count of
    changes as of which that is so."""

    changes: int
    documents: NDArray[np.int64]
    first: NDArray[np.int64]
    passages: NDArray[np.int64]
    first_vector: NDArray[np.int64]
    vectors: NDArray[np.int64]


class Added(Struct, frozen=True):
    """n passages that were added: their numbers (n,), and what is searched of them."""

    numbers: NDArray[np.int64]
    texts: list[str]


class Described(Struct, frozen=True):
    """A document's attributes, and the numbers of its vectors: ``last < first``, it has none."""

    number: int
    attributes: dict[str, Value]
    first_vector: int
    last_vector: int


def note_failure(conn: sqlite3.Connection, failure: Failure) -> None:
    """Write one down, in place of what was known of that file."""
    seal = failure.seal
    row = (failure.name, seal.size, seal.modified_ns, failure.reason, failure.at)
    conn.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)", row)
