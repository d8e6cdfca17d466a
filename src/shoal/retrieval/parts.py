"""A passage in parts of a few sentences, each of which gets a vector of its own.

One vector of 256 tokens says what a passage is about, and loses what is told in one sentence of it.
The headings stand above every part: what "she" or "the ship" is, only they may say. How much this
does is measured in ``benchmarks/retrieval.py``; encoding a passage in parts costs the CPU of
encoding it whole. To find candidates among many passages one vector each is enough, the mean of its
parts' (of length 1): ranked by their parts afterwards they are the same.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from shoal.retrieval.documents import Piece

MOST_TOKENS = 64  # of a part, headings not counted; 40 and 96 find less

_END = re.compile(r"\n+|(?<=[.!?])[\"”’)\]]*\s+")  # of a line, or of a sentence
_SHORT = 50  # characters: what is no longer is not halved, however many tokens it has

Span = tuple[int, int]


class Counter(Protocol):
    """What counts tokens: ``shoal.encoder.Encoder``."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, both ends' marks included; may stop counting at some number."""
        ...


def parts_of(piece: Piece, counter: Counter, most: int = MOST_TOKENS) -> list[str]:
    """The texts to encode for a passage, at least one, in order: headings, then a part of it."""
    spans = cut(piece.text, counter, most) or [(0, 0)]
    return ["\n".join((*piece.headings, piece.text[start:end].strip())) for start, end in spans]


def cut(text: str, counter: Counter, most: int) -> list[Span]:
    """Cut ``text`` into spans of at most ``most`` tokens, at the ends of sentences and, where that
    leaves none under half as long as it may be, of lines.

    The spans (start, end) are in order and do not overlap; outside them is white space only. A
    sentence longer than two thirds of ``most`` is halved between words, again and again. Raises
    ``ValueError`` if ``most`` is less than 2.
    """
    if most < 2:
        raise ValueError(f"most: expected 2 or more, found {most}")
    spans: list[Span] = []
    size = 0
    for line in _lines(text, _units(text, counter, most)):
        whole = sum(tokens for _, _, tokens in line)
        fresh = size > most // 2 and size + whole > most
        for start, end, tokens in line:
            if fresh or not spans or size + tokens > most:
                spans.append((start, end))
                size = tokens
            else:
                spans[-1] = (spans[-1][0], end)
                size += tokens
            fresh = False
    return spans


Unit = tuple[int, int, int]  # start, end, tokens


def _lines(text: str, units: Sequence[Unit]) -> list[list[Unit]]:
    lines: list[list[Unit]] = [[]]
    for unit in units:
        lines[-1].append(unit)
        if "\n" in text[unit[0] : unit[1]]:
            lines.append([])
    return lines


def _units(text: str, counter: Counter, most: int) -> list[Unit]:
    """Sentences, and halves of what is too long, with their tokens."""
    spans = sentences(text)
    units: list[Unit] = []
    for span, tokens in zip(spans, _tokens(text, spans, counter), strict=True):
        todo = [(*span, tokens)]
        while todo:
            start, end, tokens = todo.pop()
            if tokens * 3 <= most * 2 or end - start <= _SHORT:
                units.append((start, end, tokens))
                continue
            middle = (start + end) // 2
            space = text.rfind(" ", start + 1, middle)
            middle = space if space > 0 else middle
            halves = [(start, middle), (middle, end)]
            counted = _tokens(text, halves, counter)
            todo += [(*half, n) for half, n in zip(halves, counted, strict=True)][::-1]
    return units


def _tokens(text: str, spans: Sequence[Span], counter: Counter) -> list[int]:
    counted = counter.lengths([text[start:end] for start, end in spans])
    return [tokens - 2 for tokens in counted]  # without the marks at both ends


def sentences(text: str) -> list[Span]:
    """Sentences and lines of ``text`` with the white space after them; blank ones are left out."""
    spans: list[Span] = []
    start = 0
    for end in [match.end() for match in _END.finditer(text)] + [len(text)]:
        if text[start:end].strip():
            spans.append((start, end))
            start = end
    return spans
