"""Finding what is personal or secret in a text: every kind in one pass, no finding over another."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from itertools import pairwise

from shoal.routing.privacy.addresses import addresses
from shoal.routing.privacy.emails import emails
from shoal.routing.privacy.ibans import ibans
from shoal.routing.privacy.kinds import KINDS, STRONGEST_FIRST, Finding, Kind
from shoal.routing.privacy.layouts import layouts
from shoal.routing.privacy.nearby import nearby
from shoal.routing.privacy.person_names import Analyzer, person_names, presidio
from shoal.routing.privacy.phones import phones
from shoal.routing.privacy.secret_values import secrets

_SHORTEST = 6  # a@b.co
_ALIKE = {  # characters that stand for a plain one, each for exactly one so that places stay
    **dict.fromkeys("\u00a0\u2007\u2009\u202f\u2002\u2003\u3000", " "),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"),
    **{
        chr(zero + digit): str(digit)
        for zero in (0x660, 0x6F0, 0x966, 0xFF10)
        for digit in range(10)
    },
    "\uff20": "@",
    "\uff0e": ".",
    "\uff0b": "+",
    "\uff1a": ":",
}
_ODD = re.compile("[" + "".join(map(re.escape, _ALIKE)) + "]")
_PLAIN = str.maketrans(_ALIKE)
_RANK = {kind: rank for rank, kind in enumerate(STRONGEST_FIRST)}
_LETTER = re.compile(r"[^\W\d_]")
_NUMBERS = frozenset(("phone", "card", "national_id"))


def find(
    text: str, kinds: Collection[Kind] = KINDS, analyzer: Analyzer | None = None
) -> tuple[Finding, ...]:
    """What ``text`` holds of ``kinds``, from left to right; where two overlap the longer is kept.

    Time is linear in the length. ``analyzer`` finds names in place of presidio's own.

    Raises:
        MissingExtra: names are asked for, and presidio is not installed.
    """
    if len(text) < _SHORTEST or not kinds:
        return ()
    plain = text
    if not text.isascii() and _ODD.search(text):
        plain = text.translate(_PLAIN)
    return _apart(list(_all(plain, text, kinds, analyzer)))


def _all(
    plain: str, text: str, kinds: Collection[Kind], analyzer: Analyzer | None
) -> Iterator[Finding]:
    lowered = plain.replace("\u0130", "i").lower()  # the one letter that grows in lower case
    lettered = _LETTER.search(lowered) is not None
    if "email" in kinds:
        yield from emails(plain)
    if "iban" in kinds and lettered:
        yield from ibans(plain)
    if "ip" in kinds:
        yield from addresses(plain)
    if "phone" in kinds:
        yield from phones(plain)
    if not _NUMBERS.isdisjoint(kinds):
        yield from layouts(plain, kinds)
    if lettered and not _NUMBERS.isdisjoint(kinds):
        yield from nearby(plain, lowered, kinds)
    if "secret" in kinds:
        yield from secrets(plain, lowered)
    if "name" in kinds:
        yield from person_names(text, analyzer or presidio())


def _apart(found: list[Finding]) -> tuple[Finding, ...]:
    """Drop what overlaps something longer, or something stronger of the same length."""
    if len(found) < 2:
        return tuple(found)
    found.sort(key=lambda finding: finding.start)
    if all(a.end <= b.start for a, b in pairwise(found)):
        return tuple(found)
    starts: list[int] = []
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda f: (f.start - f.end, _RANK[f.kind], f.start)):
        at = bisect_left(starts, finding.start)
        after_ends = at == 0 or kept[at - 1].end <= finding.start
        if after_ends and (at == len(starts) or finding.end <= starts[at]):
            starts.insert(at, finding.start)
            kept.insert(at, finding)
    return tuple(kept)
