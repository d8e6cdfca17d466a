"""What stands at the edge of page after page: running titles and page numbers."""

import re
from collections import Counter
from collections.abc import Sequence

from shoal.retrieval.documents import Block

_EDGE = 2  # blocks at the top and at the bottom of a page
_LONGEST = 120  # characters
_LEAST_PAGES = 3
_NUMBER = re.compile(r"\d+|\b[ivxlc]{1,6}\b")


def without_furniture(pages: Sequence[Sequence[Block]]) -> list[Block]:
    """The blocks of all pages, but what is at the edge of at least half of them, and of three, is
    kept on the first of these only. Texts that differ in numbers alone count as the same."""
    found = Counter(key for page in pages for key in {_key(page[at]) for at in _edges(page)})
    found.pop("", None)
    least = max(_LEAST_PAGES, len(pages) / 2)
    told = set[str]()
    kept: list[Block] = []
    for page in pages:
        edges = _edges(page)
        for at, block in enumerate(page):
            key = _key(block) if at in edges else ""
            if found[key] < least:
                kept.append(block)
            elif key not in told:
                told.add(key)
                kept.append(block)
    return kept


def _edges(page: Sequence[Block]) -> set[int]:
    return {at for at in range(len(page)) if at < _EDGE or at >= len(page) - _EDGE}


def _key(block: Block) -> str:
    """What must be the same; "" for what is no furniture anywhere."""
    is_short = block.kind in ("text", "heading") and len(block.text) <= _LONGEST
    return _NUMBER.sub("#", block.text.strip().lower()) if is_short else ""
