"""What retrieval searches: documents, the passages that they are cut into, and what a search finds.

Data only. A reader makes ``Content`` of a file, chunking makes ``Piece`` of that, and the store
gives both numbers.
"""

from typing import Literal

from msgspec import Struct

Value = str | float | bool
"""Of an attribute. Numbers are floats; a date is text like 2025-01-31, which compares as such."""

BlockKind = Literal["heading", "text", "table", "code"]


class Block(Struct, frozen=True):
    """A part of a document that a reader tells from its neighbours: a heading (``level`` 1 to 6), a
    paragraph or list, a table (one line a row), or code. ``page`` counts from 1, 0 if there are no
    pages."""

    kind: BlockKind
    text: str
    level: int = 0
    page: int = 0


class Content(Struct, frozen=True):
    """What a reader makes of a file; ``kind`` is what the file is ("pdf", "markdown" …), and
    ``attributes`` what it says of itself (author, date …)."""

    kind: str
    blocks: tuple[Block, ...]
    title: str = ""
    attributes: dict[str, Value] = {}


class Piece(Struct, frozen=True):
    """A passage as it is cut from a document: its ``text``, and the ``headings`` above it, the
    document's title first."""

    text: str
    headings: tuple[str, ...] = ()
    page: int = 0

    @property
    def searched(self) -> str:
        """What words and vectors are made of: the headings tell what the text is about."""
        return "\n".join((*self.headings, self.text))


class Passage(Piece, frozen=True, kw_only=True):
    """A stored passage: its ``number`` in the collection is never given twice; ``position`` counts
    within its document, from 0."""

    number: int
    document: int
    position: int


class Document(Struct, frozen=True, kw_only=True):
    """A document of a collection.

    ``number`` is never given twice, ``id`` (UUIDv7) stays when the content changes, and ``name``
    (the path of a file) is its alone. ``digest`` is the SHA-256 of its bytes, ``size`` their count,
    ``modified_ns`` and ``at`` when the file was changed and when it was taken in (unix time),
    ``passages`` how many it has.
    """

    number: int
    id: str
    name: str
    title: str
    kind: str
    digest: bytes
    size: int
    modified_ns: int
    attributes: dict[str, Value]
    passages: int
    at: float


class Hit(Struct, frozen=True, kw_only=True):
    """A passage that a search found, with its ``score`` (higher is better; comparable within one
    search only), and what that is made of: BM25 by ``words``, cosine by ``meaning``; None where the
    passage was not among the best by that. ``chance`` is how likely it answers by a reranker; None
    where none was asked. ``before`` and ``after`` are its neighbours, if asked for."""

    passage: Passage
    document: Document
    score: float
    words: float | None = None
    meaning: float | None = None
    chance: float | None = None
    before: tuple[Passage, ...] = ()
    after: tuple[Passage, ...] = ()
