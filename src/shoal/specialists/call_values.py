"""Values in prose: identifiers, numbers, dates, addresses, names and quoted words.

One place may be read in several ways ("May 20th" as it stands, and as a date); which is meant, a
specialist has to learn.
"""

import datetime
import re
from collections.abc import Iterator

from shoal.specialists.call_schema import Json

WORD = re.compile(r"[^\W_]+")
_MARKED = re.compile(
    r"""(?P<email>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+)
    |(?P<quoted>"[^"\n]{1,120}"|“[^”\n]{1,120}”|‘[^’\n]{1,120}’|`[^`\n]{1,120}`
        |(?<!\w)'[^'\n]{1,120}'(?!\w)|\*\*[^*\n]{1,120}\*\*)
    |(?P<token>\#?\w(?:[\w/.-]*\w)?)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?(?![\w])")
_PROPER = r"[A-Z](?:\.|[\w&-]*(?:['’][A-Z]\w+)?)"
_NAME = re.compile(rf"\b{_PROPER}(?: (?:(?:of|the|de|la) )?(?:{_PROPER}|\d+\b))*")
_QUOTES = "\"“”‘’`'*"
_NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
}
_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_MONTH = "|".join(f"{name}|{name[:4]}|{name[:3]}" for name in _MONTHS)
_DATES = (
    re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b"),
    re.compile(
        rf"\b(?P<name>{_MONTH})\.? +(?:the +)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b"
        r"(?:,? +(?P<year>(?:19|20)\d\d)\b)?",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)? +(?:of +)?(?P<name>{_MONTH})\b\.?"
        r"(?:,? +(?P<year>(?:19|20)\d\d)\b)?",
        re.IGNORECASE,
    ),
    re.compile(r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>(?:19|20)\d\d)\b"),
)


def values_in(text: str, year: int) -> Iterator[tuple[int, int, Json]]:
    """(start, end, value) of everything that a text states; dates that name no year are of
    ``year``, and left out if it is 0."""
    yield from _dates(text, year)
    for match in _MARKED.finditer(text):
        yield from _marked(match, year)
    yield from _numbers(text)
    for match in _NAME.finditer(text):
        yield match.start(), match.end(), match[0]


def singular(word: str) -> str:
    """An English word without the plural's s."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _marked(match: re.Match[str], year: int) -> Iterator[tuple[int, int, Json]]:
    start, end, raw = match.start(), match.end(), match[0]
    if match.lastgroup == "email":
        yield start, end, raw
    elif match.lastgroup == "quoted":
        inner = raw.strip(_QUOTES)
        yield start, end, inner.strip()
        if raw[0] == "*" or " " not in inner:  # emphasis, or one word: it counts as prose too
            after = start + raw.find(inner)
            yield from ((after + s, after + e, value) for s, e, value in values_in(inner, year))
    elif any(sign.isdigit() for sign in raw) or raw.isupper() or "_" in raw:
        yield start, end, raw
        if raw.startswith("#"):
            yield start + 1, end, raw[1:]
    elif raw.lower() in _NUMBER_WORDS:
        yield start, end, _NUMBER_WORDS[raw.lower()]
    elif raw.lower() in ("true", "false"):
        yield start, end, raw.lower() == "true"


def _numbers(text: str) -> Iterator[tuple[int, int, Json]]:
    for match in _NUMBER.finditer(text):
        if len(match[0]) > 18:  # no number anybody reckons with, and int() takes a square of time
            continue
        number = float(match[0].replace(",", "").replace("−", "-"))
        yield match.start(), match.end(), int(number) if number.is_integer() else number


def _dates(text: str, year: int) -> Iterator[tuple[int, int, Json]]:
    for pattern in _DATES:
        for match in pattern.finditer(text):
            found = _iso(match.groupdict(), year)
            if found:
                yield match.start(), match.end(), found
                yield match.start(), match.end(), match[0]


def _iso(parts: dict[str, str | None], year: int) -> str:
    named = (parts.get("name") or "").lower()
    month = next((i for i, name in enumerate(_MONTHS, 1) if named and name.startswith(named)), 0)
    try:
        return datetime.date(
            int(parts.get("year") or year),
            month or int(parts.get("month") or 0),
            int(parts.get("day") or 0),
        ).isoformat()
    except ValueError:
        return ""
