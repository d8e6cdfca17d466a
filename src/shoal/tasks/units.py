"""Clauses: the pieces of a text that a template shares or does not share with another.

A text falls into clauses at line ends, sentence ends, colons and tags. What differs from call to
call within a template's own words (dates, numbers, addresses, names) is masked, so that "Today is
2026-11-21." and "Today is 2026-11-22." are one clause.
"""

import re
from collections import Counter
from functools import lru_cache

MAX_CLAUSES = 800
"""Of longer texts the first and the last 400 clauses are looked at."""
EDGE_SIZES = (2, 4, 12)
"""So many first and last words and signs of a message count as clauses of their own."""
LONG_EDGE = 12

MIN_FRAMED = 6
"""Words of a clause that may have a slot inside, between ..."""
FRAME_WORDS = 2
"""... so many words at either end."""

FRAME = "\x05"
"""Marks the name of the frame of a clause."""
EDGE = "\x02"
"""Marks the side of a clause that is the beginning or the end of the message, twice if long."""
AGAIN = "\x04"
"""Before the number of a clause that the text has had before."""
PAIR = "\x03"
"""Marks the name of a unit that is two neighbouring clauses."""

_BOUNDARY = re.compile(r"(?<=[.?!:;。？！：])\s+|\n+|(?=</?[A-Za-z])|(?<=>)|\"\"\"|```")
_CALENDAR = (
    "monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|may|"
    "june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sep|oct|"
    "nov|dec"
)
_SIGNS = r"[\w$€£.:/,+%-]"
_VARYING = re.compile(
    rf"(?<!\S)(?:https?://\S+|\S{{1,64}}@\S{{1,255}})|(?<!{_SIGNS}){_SIGNS}*\d(?:{_SIGNS}*\w)?"
    rf"|\b(?:{_CALENDAR})\b",
    re.IGNORECASE,
)
_SIGN = re.compile(r"[\d@]|://")
_STEMS = ("day", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = re.compile(r"(?<=[a-z,:(] )[A-Z][\w'-]*(?: [A-Z][\w'-]*)*")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_PERSONA = re.compile(r"you are\b|you're\b|act as\b|du bist\b", re.IGNORECASE)
_REASONING = re.compile(
    r"(?:let'?s|please|first|now|take a deep breath|work|explain|think|show|reason)\b[^.:]{0,40}?"
    r"\b(?:step[ -]by[ -]step|your (?:reasoning|work|thinking)|carefully|aloud)\b"
    r"|denk\w* .*schritt",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"(?:[^,:]{0,40},\s)?(?:the\s)?(?:final\s)?answer\b[^.!?]{0,40}(?:\bis)?:?\Z", re.IGNORECASE
)


def clauses(text: str) -> list[str]:
    """The clauses of a text in order, without the whitespace around them."""
    pieces = [piece.strip() for piece in _BOUNDARY.split(text)]
    found = [piece for piece in pieces if piece]
    if len(found) <= MAX_CLAUSES:
        return found
    return found[: MAX_CLAUSES // 2] + found[-MAX_CLAUSES // 2 :]


def edges(text: str) -> list[str]:
    """The first and the last words of a text in several lengths, none that are all of it."""
    head, tail = _TOKEN.findall(text[:200]), _TOKEN.findall(text[-200:])
    found: list[str] = []
    for size in EDGE_SIZES:
        if len(head) > size:
            mark = EDGE if size < LONG_EDGE else EDGE + EDGE
            found += (mark + " ".join(head[:size]), " ".join(tail[-size:]) + mark)
    return found


def frame(clause: str) -> str:
    """The words a clause begins and ends with, for one with a slot inside; "" if it is short."""
    words = clause.split()
    if len(words) < MIN_FRAMED:
        return ""
    return " ".join((FRAME, *words[:FRAME_WORDS], "…", *words[-FRAME_WORDS:]))


def masked(clause: str) -> str:
    """The clause with what varies by itself replaced by "#"."""
    return _NAME.sub("#", _VARYING.sub("#", clause) if _may_vary(clause) else clause)


def _may_vary(clause: str) -> bool:
    """Whether the costly expression may find something."""
    lower = clause.lower()
    return bool(_SIGN.search(lower)) or any(stem in lower for stem in _STEMS)


_masked = lru_cache(maxsize=1 << 15)(masked)


def numbered(text: str) -> list[str]:
    """The clauses of a text, masked, each that comes again marked with how often it came before:
    a question behind three examples is not the same question without them."""
    seen: Counter[str] = Counter()
    names = []
    for clause in clauses(text):
        name = _masked(clause)
        count = seen[name]
        names.append(f"{name}{AGAIN}{count}" if count else name)
        seen[name] = count + 1
    return names


def without_rows(text: str) -> str:
    """The text without the JSON objects that end its lines, as tools give results."""
    if '{"' not in text:
        return text
    return "\n".join(map(_without_row, text.split("\n")))


def _without_row(line: str) -> str:
    at = line.find('{"')
    return line[:at] if at >= 0 and line.rstrip(" \t\r,]").endswith("}") else line


def word_count(text: str) -> int:
    """Words of at least two letters."""
    return len(_WORD.findall(text))


def is_framing(clause: str) -> bool:
    """Whether a clause says how to answer, or who does, but not what is asked: a persona, "Let's
    think step by step.", "The answer (yes or no) is"."""
    framing = is_persona(clause) or _REASONING.match(clause) or _CUE.match(clause)
    return bool(framing) and word_count(clause) <= 12


def is_persona(clause: str) -> bool:
    """Whether a clause only says who the model is ("You are a helpful assistant.")."""
    return bool(_PERSONA.match(clause)) and word_count(clause) <= 12
