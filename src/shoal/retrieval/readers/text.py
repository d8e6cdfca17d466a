"""Plain text: paragraphs are what blank lines part, and headings what signs mark."""

import re
from collections.abc import Iterator

from shoal.retrieval.documents import Content
from shoal.retrieval.readers.marked import Marked, title_of

_BLANK = re.compile(r"\n[ \t]*\n")


def read_text(text: str) -> Content:
    """A block for each heading and each paragraph."""
    marked = Marked()
    blocks = [block for part in paragraphs(text) for block in marked.blocks(part)]
    return Content("text", tuple(blocks), title_of(blocks))


def paragraphs(text: str) -> Iterator[str]:
    """What blank lines part, without those lines."""
    for part in _BLANK.split(text):
        kept = part.strip("\n").rstrip()
        if kept.strip():
            yield kept


def one_line(text: str) -> str:
    """With a single space wherever there is any white space."""
    return " ".join(text.split())


def row(cells: list[str]) -> str:
    """A line of a table."""
    return " | ".join(one_line(cell) for cell in cells).strip()
