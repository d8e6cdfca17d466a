"""Telephone numbers: international, and the common national ways to write one."""

import re
from collections.abc import Callable, Iterator

from shoal.routing.privacy.kinds import Finding

_CODES = """
    1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61
    62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 290 291 297 298 299
    350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 381 382
    383 385 386 387 389 420 421 423 670 800 808 850 852 853 855 856 870 880 883 886 960 961
    962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 992 993 994 995 996 998
"""
_RANGES = (*range(220, 270), *range(500, 510), *range(590, 600), *range(672, 693))
_CALLING_CODES = frozenset((*_CODES.split(), *map(str, _RANGES)))

_DIAL = r"(?:[ .\-/()]{0,2}[0-9])"
_PLUS = re.compile(rf"\+(?<![\w+]\+)[1-9]{_DIAL}{{7,14}}(?![\w@]|-[0-9])")
_PLUS_ONE = re.compile(
    r"\+(?<![\w+]\+)1[ .-]?\(?[2-9][0-9]{2}\)?[ .-]{0,2}[2-9][0-9]{2}[ .-]?[0-9]{4}(?!\w)"
)
_DOUBLE_ZERO = re.compile(
    rf"00(?<![\w.,#$/+-]00)(?<![0-9] 00)[1-9][0-9]{{0,2}}[ /-]\(?[0-9]{_DIAL}{{5,11}}(?!\w|-[0-9])"
)
_TRUNK = re.compile(
    r"0(?<![\w.,#$/+-]0)(?<![0-9] 0)[1-9][0-9]{0,4}[ /.-][0-9]{2,8}(?:[ .-][0-9]{2,5}){0,4}"
    r"(?![\w@:]|[-./ ]?[0-9])"
)
_PARENTHESES = re.compile(
    r"\((?<![\w+]\()(?:"
    r"[2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ][0-9]{4}|"  # (415) 555-0132
    r"0[1-9][0-9]{0,4}\) ?[0-9](?:[ /-]?[0-9]){4,9}|"  # (030) 1234 567
    r"[1-9][0-9]\) ?9?[0-9]{4}-[0-9]{4}"  # (11) 91234-5678
    r")(?!\w|-[0-9])"
)
_DATE = re.compile(r"[0-9]{1,2}([./-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2}(?![0-9]))|[12][09][0-9]{2}-")
_NOT_A_DIGIT = re.compile(r"[^0-9]+")

PHONE_SHAPES = (
    "999-999-9999",
    "999.999.9999",
    "999 999 9999",
    "9-999-999-9999",
    "9.999.999.9999",
    "9 999 999 9999",
)
"""North American numbers without a "+"; one digit stands for each 9."""


def phones(text: str) -> Iterator[Finding]:
    """Numbers that say so themselves: by a "+", "00", a trunk zero with separators, parentheses."""
    if "+" in text:
        yield from _international(text)
    if "0" in text:
        yield from _found(text, _DOUBLE_ZERO, lambda number: _is_international(number[2:]))
        yield from _found(text, _TRUNK, _is_trunk)
    if "(" in text:
        yield from _found(text, _PARENTHESES, lambda number: True)


def _international(text: str) -> Iterator[Finding]:
    for match in _PLUS.finditer(text):
        american = _PLUS_ONE.match(text, match.start())
        if american:
            yield Finding("phone", match.start(), american.end())
        elif match[0][1] != "1" and _is_international(match[0][1:]):
            yield Finding("phone", match.start(), match.end())


def _found(text: str, pattern: re.Pattern[str], check: Callable[[str], bool]) -> Iterator[Finding]:
    for match in pattern.finditer(text):
        if check(match[0]):
            yield Finding("phone", match.start(), match.end())


def _is_international(number: str) -> bool:
    digits = digits_of(number)
    known = any(digits[:length] in _CALLING_CODES for length in (1, 2, 3))
    return known and 8 <= len(digits) <= 15


def _is_trunk(number: str) -> bool:
    digits, groups = digits_of(number), len(_NOT_A_DIGIT.findall(number)) + 1
    if _DATE.match(number):
        return False
    return 10 <= len(digits) <= 12 or (len(digits) == 9 and groups >= 3)


def is_american(digits: str) -> bool:
    """Whether ten or, with the leading 1, eleven digits follow the North American plan."""
    if len(digits) == 11:
        if digits[0] != "1":
            return False
        digits = digits[1:]
    return len(digits) == 10 and digits[0] > "1" and digits[3] > "1" and digits[1:3] != "11"


def is_dialled(number: str) -> bool:
    """Whether what stands behind a word such as "phone" may be one: 7 to 15 digits, no date."""
    return 7 <= len(digits_of(number)) <= 15 and not _DATE.match(number)


def digits_of(number: str) -> str:
    """The digits alone."""
    return _NOT_A_DIGIT.sub("", number)
