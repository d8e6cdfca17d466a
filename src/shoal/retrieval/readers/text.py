"""Plain text: paragraphs are what blank lines part."""

import re
from collections.abc import Iterator

from shoal.retrieval.documents import Block, Content

_BLANK = re.compile(r"\n[ \t]*\n")


def read_text(text: str) -> Content:
    """A block for each paragraph."""
    return Content("text", tuple(Block("text", part) for part in paragraphs(text)))


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
