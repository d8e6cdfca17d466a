"""International bank account numbers (ISO 13616): length by country, check digits mod 97."""

import re
from collections.abc import Iterator
from functools import cache

from shoal.routing.privacy.kinds import Finding

_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
# Begins at the first check digit: in prose that is rarer than two letters.
_HEAD = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9_][A-Za-z]{2}[0-9])[0-9]")


def ibans(text: str) -> Iterator[Finding]:
    """Every IBAN, together or in groups of any size parted by single blanks or hyphens."""
    for head in _HEAD.finditer(text):
        start = head.start() - 2
        country = text[start : start + 2].upper()
        if country not in _LENGTHS:
            continue
        rest = _rest(_LENGTHS[country] - 4).match(text, head.end())
        if rest and _checks(rest[0] + country + head[0]):
            yield Finding("iban", start, rest.end())


@cache
def _rest(length: int) -> re.Pattern[str]:
    return re.compile(rf"(?:[ -]?[A-Za-z0-9]){{{length}}}(?![A-Za-z0-9_])")


def _checks(turned: str) -> bool:
    """Whether the number with its first four characters put last is 1 mod 97 (ISO 7064)."""
    if not turned.isascii():
        return False
    compact = turned.replace(" ", "").replace("-", "")
    return int("".join(str(int(character, 36)) for character in compact)) % 97 == 1
