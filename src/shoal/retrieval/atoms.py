"""The smallest parts of a text that a passage may end at: sentences, rows, lines; else words, else
single characters."""

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from shoal.retrieval.documents import Block

Count = Callable[[Sequence[str]], list[int]]
"""Texts to how many tokens each has, the marks at its ends included."""

SIGNS = 8
"""Characters that count as a token at the least. No tokenizer makes fewer tokens of running text,
but some make one of a word without end, which must not become a passage without end."""

_SENTENCE = re.compile(
    r"[.!?…][\"'”’»)\]]{0,3}\s+"  # ends in these, with what closes after it
    r"|[。！？][\"'”’»)\]」』]{0,3}\s*"
    r"|\n\s*(?=[-*+•] |\d{1,3}[.)] )"  # before a point of a list
    r"|\n[ \t]*\n\s*"
)
_LINE = re.compile(r"\n\s*")
_WORD = re.compile(r"\s+")


class Atom(Struct):
    """Part of a block, with the white space that follows it. ``tokens`` are those of its text
    alone, without the marks at the ends of a text; ``good`` says that a cut after it is better than
    others: at the end of a sentence, a row, a definition."""

    text: str
    tokens: int = 0
    good: bool = True


def atoms_of(blocks: Sequence[Block], count: Count, most: int, overhead: int) -> list[list[Atom]]:
    """Of each block, atoms that together are its text, each of at most ``most`` tokens as far as
    that can be had; ``overhead`` is what ``count`` adds to each text."""
    longest = SIGNS * most
    parts = [[*_bounded(_parts(block), longest)] for block in blocks]
    flat = [atom for atoms in parts for atom in atoms]
    measure(flat, count, overhead)
    while any(atom.tokens > most and len(atom.text) > 1 for atom in flat):
        parts = [
            [finer for atom in atoms for finer in _halved_if(atom, atom.tokens > most)]
            for atoms in parts
        ]
        flat = [atom for atoms in parts for atom in atoms]
        measure([atom for atom in flat if atom.tokens < 0], count, overhead)
    return parts


def measure(atoms: Sequence[Atom], count: Count, overhead: int) -> None:
    """Count the tokens of atoms, all at once."""
    if atoms:
        for atom, found in zip(atoms, count([atom.text for atom in atoms]), strict=True):
            atom.tokens = max(0, found - overhead)
            if len(atom.text) > SIGNS * (atom.tokens + 1):
                atom.tokens = max(atom.tokens, len("".join(atom.text.split())) // SIGNS)


def halves(text: str) -> tuple[str, str]:
    """A text of two characters or more in two, at white space near its middle if there is any."""
    middle = len(text) // 2
    near = text[middle // 2 : middle + middle // 2]
    spaces = [found.end() for found in _WORD.finditer(near)]
    at = min(spaces, key=lambda end: abs(end - len(near) // 2), default=-1) + middle // 2
    at = at if spaces and 0 < at < len(text) else middle
    return text[:at], text[at:]


def _halved_if(atom: Atom, is_long: bool) -> Iterator[Atom]:
    if not is_long or len(atom.text) < 2:
        yield atom
    else:
        first, second = halves(atom.text)
        yield Atom(first, -1, False)
        yield Atom(second, -1, atom.good)


def _parts(block: Block) -> Iterator[tuple[str, bool]]:
    """Sentences, rows or lines, and whether it is good to cut after each."""
    if block.kind in ("text", "heading"):
        yield from ((part, True) for part in _cut(block.text, _SENTENCE))
        return
    lines = block.text.split("\n")
    for number, line in enumerate(lines, 1):
        is_last = number == len(lines)
        is_good = block.kind == "table" or is_last or not lines[number].strip()
        yield line if is_last else line + "\n", is_good


def _bounded(parts: Iterator[tuple[str, bool]], longest: int) -> Iterator[Atom]:
    """Atoms of at most ``longest`` characters: of what is longer, lines, words or characters."""
    for text, good in parts:
        if len(text) <= longest:
            yield Atom(text, 0, good)
            continue
        pieces = [*_packed(_cut(text, _LINE), longest)]
        for number, piece in enumerate(pieces, 1):
            yield Atom(piece, 0, good and number == len(pieces))


def _packed(parts: Iterator[str], longest: int, by_word: bool = True) -> Iterator[str]:
    """Neighbours put together up to ``longest`` characters; what is longer alone is cut."""
    held: list[str] = []
    size = 0
    for part in parts:
        if held and size + len(part) > longest:
            yield "".join(held)
            held, size = [], 0
        if len(part) <= longest:
            held.append(part)
            size += len(part)
        elif by_word:
            yield from _packed(_cut(part, _WORD), longest, False)
        else:
            yield from (part[at : at + longest] for at in range(0, len(part), longest))
    if held:
        yield "".join(held)


def _cut(text: str, boundary: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for found in boundary.finditer(text):
        if found.end() > start and text[start : found.end()].strip():
            yield text[start : found.end()]
            start = found.end()
    if start < len(text):
        yield text[start:]
