"""The pattern of texts made from one template: what is constant in nearly all of them.

Literals end where a piece of structure ends (a line, a sentence, a label, a tag, a quote): words
beyond that are left to the slot even if all texts seen so far share them, since a slot too wide
does no harm and a literal too long loses calls. Only text without structure keeps shared words.
"""

import random
import re
from collections.abc import Sequence

from shoal.tasks.template import Pattern
from shoal.tasks.units import word_count

SHARED = 0.97
"""Share of the texts that must hold a literal."""
SAMPLE = 200
MAX_PIECES = 400
MIN_SENTENCE = 4
"""Words of a clause that is a literal without standing on a line of its own."""

MAX_LABEL_WORDS = 6
MIN_LOOSE = 2
"""Words of a literal at an end of a message that has no structure at all."""

_PIECES = re.compile(
    r"(?=[ \t]{0,8}\n)(?<!\s)|(?<=[.?!;。？！：] )|(?<=[:=])(?=\S)|(?<=[:=] )(?=[^\"'`])"
    r"|(?<=[:=] [\"'`])|(?=</?[A-Za-z][\w-]*>)|(?<=>)"
)
_LABEL = re.compile(r"[\w'’()/#.-][\w '’()/#.\"-]{0,60}[:=]\s*[\"'`]?\Z|</?[\w-]+>\s*\Z")
_ENDS = re.compile(
    r"\n\s*|[.?!:;。？！：]\s+[\"'`]?|(?<=\s)[\"'`]|>\s*|[=:(,]\s?[\"'`]|\"\"\"\s*|```\w*\s|(?<=\w)=\s?|[:：]"
)
_STARTS = re.compile(r"[ \t]{0,8}\n|</?[A-Za-z]|[\"'`]|(?<=[.?!]\s)\S|[\])]|```|(?<=\s)[\[(]")


def pattern_of(role: str, texts: Sequence[str]) -> Pattern:
    """The pattern that at least 97 % of these texts match, more literal text where possible.

    ``texts`` are the distinct texts of one message of a group; their order does not matter.
    """
    if len(set(texts)) == 1:
        return Pattern(role, (texts[0],))
    sample = _sample(sorted(set(texts)))
    fixed = role in ("system", "developer")
    start = _prefix(sample, fixed)
    rest = [text[len(start) :] for text in sample if text.startswith(start)]
    end = _suffix(rest, fixed)
    middles = [text[: len(text) - len(end)] for text in rest if text.endswith(end)]
    return Pattern(role, (start, *_inner(middles, fixed), end))


def _sample(texts: list[str]) -> list[str]:
    if len(texts) <= SAMPLE:
        return texts
    return sorted(random.Random(len(texts)).sample(texts, SAMPLE))


def _prefix(texts: list[str], fixed: bool) -> str:
    """What nearly all texts begin with, up to a structural end."""
    shared = _whole_words(_majority_prefix(texts), texts)
    cut = max((end.end() for end in _ENDS.finditer(shared)), default=0)
    if fixed or word_count(shared[cut:]) >= (MIN_SENTENCE if cut else MIN_LOOSE):
        return shared
    return shared[:cut]


def _suffix(texts: list[str], fixed: bool) -> str:
    """What nearly all texts end with, from a structural start on."""
    shared = _majority_prefix(sorted(text[::-1] for text in texts))[::-1]
    before = {text[-len(shared) - 1 : len(text) - len(shared)] for text in texts}
    first = re.match(r"[\w.:/@-]+", shared)
    broken = first and (first[0][0].isalnum() or re.search(r"\d", first[0]))
    if first and broken and any(char.isalnum() for char in before):
        shared = shared[first.end() :]
    start = _STARTS.search(shared)
    cut = start.start() if start else len(shared)
    if fixed or word_count(shared[:cut]) >= (MIN_SENTENCE if start else MIN_LOOSE):
        return shared
    return shared[cut:]


def _whole_words(shared: str, texts: Sequence[str]) -> str:
    """Without the beginning of a word or a date at the end that goes on differently."""
    nexts = {text[len(shared) : len(shared) + 1] for text in texts if text.startswith(shared)}
    last = re.search(r"[\w.:/@-]+\Z", shared)
    broken = last and (last[0][-1].isalnum() or re.search(r"\d", last[0]))
    if last and broken and any(char.isalnum() for char in nexts):
        return shared[: last.start()]
    return shared


def _majority_prefix(texts: list[str]) -> str:
    """The longest beginning of the median text that nearly all of the sorted texts share."""
    reference = texts[len(texts) // 2]
    lengths = sorted(_common(reference, text) for text in texts)
    return reference[: lengths[int((1 - SHARED) * len(lengths))]]


def _common(a: str, b: str) -> int:
    """Length of the common beginning, by bisection."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a.startswith(b[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def _inner(texts: list[str], fixed: bool) -> list[str]:
    """The literals between the first and the last slot, in order."""
    if not texts:
        return []
    reference = min(texts, key=lambda text: (len(text), text))
    pieces = [piece for piece in _PIECES.split(reference) if piece][:MAX_PIECES]
    active = [(text, 0) for text in texts]
    least = SHARED * len(texts)
    literals: list[str] = []
    index = 0
    while index < len(pieces):
        literal, used = _longest(pieces[index:], active, least, fixed)
        if literal:
            literals.append(literal)
            active = _advance(active, literal)
        index += used
    return literals


Active = list[tuple[str, int]]
"""Texts, and how far into each the literals found so far reach."""


def _longest(pieces: Sequence[str], active: Active, least: float, fixed: bool) -> tuple[str, int]:
    """The longest literal that begins these pieces, and the pieces it uses up; "" if none does."""
    used = 0
    literal = ""
    for piece in pieces:
        if not _shared(literal + piece, active, least):
            break
        literal += piece
        used += 1
    if literal:
        return (literal if _solid(literal) else ""), used
    parts = (part for part in _parts(pieces[0], fixed) if _shared(part, active, least))
    return next(parts, ""), 1


def _shared(literal: str, active: Active, least: float) -> bool:
    return sum(text.find(literal, start) >= 0 for text, start in active) >= least


def _advance(active: Active, literal: str) -> Active:
    places = ((text, text.find(literal, start)) for text, start in active)
    return [(text, place + len(literal)) for text, place in places if place >= 0]


def _solid(literal: str) -> bool:
    """Whether it is structure, or a sentence, rather than words that happen to recur."""
    return bool(_LABEL.search(literal)) or word_count(literal) >= MIN_SENTENCE


def _parts(piece: str, fixed: bool) -> list[str]:
    """Labels at the end of a piece, longest first; in a system prompt also its first words."""
    ends = [match.start() for match in re.finditer(r"(?<=\s)\S", piece)][-MAX_LABEL_WORDS:]
    tails = [piece[start:] for start in ends if _LABEL.search(piece[start:])]
    if not fixed:
        return tails
    heads = [piece[: match.end()] for match in re.finditer(r"\S+\s+", piece)][:-1]
    return tails + [head for head in reversed(heads) if word_count(head) >= 2]
