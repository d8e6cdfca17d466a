"""Values in prose: identifiers, numbers, dates, addresses, names and quoted words.

One place may be read in several ways ("May 20th" as it stands, and as a date); which is meant, a
specialist has to learn.
"""

import datetime
import re
from collections.abc import Iterator

from shoal.formats.json_schema import Json

WORD = re.compile(r"[^\W_]+")
_MARKED = re.compile(
    r"""(?P<email>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+)
    |(?P<quoted>"[^"\n]{1,120}"|“[^”\n]{1,120}”|‘[^’\n]{1,120}’|`[^`\n]{1,120}`
        |(?<!\w)'[^'\n]{1,120}'(?!\w)|\*\*[^*\n]{1,120}\*\*)
    |(?P<token>\#?\w(?:[\w/.-]*\w)?)""",
    re.VERBOSE,
)
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?(?!\d)"
    r"(?: ?(?P<percent>%|percent\b)| (?P<scale>hundred|thousand|million|billion)\b)?"
)
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
# Everything that may repeat is bounded, and begins where a word does: a long text of one kind would
# else be gone through again from each of its signs.
_PROPER = r"[A-Z](?:\.|[\w&-]{0,40}(?:['’][A-Z]\w{1,40})?)(?![\w&-])"
_NAME = re.compile(
    rf"(?<![\w&-]){_PROPER}(?: (?:(?:of|the|de|la) )?(?:{_PROPER}|\d{{1,18}}\b)){{0,5}}"
)
_ITEM = (
    r"(?:(?<![\w.])[-+]?\d{1,18}(?:\.\d{1,18})?"
    rf"|'[^'\n]{{1,60}}'|\"[^\"\n]{{1,60}}\"|{_NAME.pattern})"
)
_ENUMERATION = re.compile(rf"{_ITEM}(?:, ?(?:and |or )?{_ITEM}| (?:and|or) {_ITEM}){{1,50}}")
_PLAIN_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_PLACE = re.compile(rf"{_NAME.pattern}, {_NAME.pattern}")
_LOWER = re.compile(r"(?<![\w'’])[a-z][a-z-]{2,}(?![\w'’])")
_STOP = frozenset(
    WORD.findall(
        "the and for with from that this these those what which who whose whom how when where "
        "why are was were been being have has had does did doing would could should will can "
        "may might must not but than then there here its his her their our your mine you she "
        "him they them also into over under between per each any all some such please give "
        "find get tell show calculate compute determine want need like using use given about "
        "more most other out let"
    )
)
_SHORT = 600  # characters of a text that is read word by word
_QUOTES = "\"“”‘’`'*"
_NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        WORD.findall(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen twenty"
        )
    )
}
_MONTHS = WORD.findall(
    "january february march april may june july august september october november december"
)
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
    for match in (*_NAME.finditer(text), *_PLACE.finditer(text)):
        if match[0].lower() not in _STOP:
            yield match.start(), match.end(), match[0]
    yield from _lists(text)
    if len(text) < _SHORT:
        yield from _plain_words(text)


def singular(word: str) -> str:
    """An English word without the plural's s."""
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


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
        if len(match[0]) > 30:  # no number anybody reckons with
            continue
        number = float(re.sub(r"[^\d.+-]", "", match[0].replace("−", "-")))
        yield match.start(), match.end(), whole(number)
        if match["percent"]:
            yield match.start(), match.end(), whole(round(number / 100, 12))
        elif match["scale"]:
            yield match.start(), match.end(), whole(number * _SCALES[match["scale"]])


def _plain_words(text: str) -> Iterator[tuple[int, int, Json]]:
    """Words without any mark, and pairs of them."""
    before: re.Match[str] | None = None
    for match in _LOWER.finditer(text):
        if match[0] in _STOP:
            before = None
            continue
        yield match.start(), match.end(), match[0]
        if before and match.start() == before.end() + 1:
            yield before.start(), match.end(), f"{before[0]} {match[0]}"
        before = match


def _lists(text: str) -> Iterator[tuple[int, int, Json]]:
    """Enumerations: of numbers, of names, of quoted texts."""
    for match in _ENUMERATION.finditer(text):
        items = [item.strip(" ,") for item in re.split(r",? (?:and|or) |, ?", match[0])]
        numbers = [float(item) for item in items if _PLAIN_NUMBER.fullmatch(item)]
        if len(numbers) == len(items):
            yield match.start(), match.end(), [whole(number) for number in numbers]
        elif not numbers:
            yield match.start(), match.end(), [item.strip(_QUOTES) for item in items if item]


def whole(number: float) -> int | float:
    """The number as an int where it is one."""
    return int(number) if number.is_integer() else number


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
