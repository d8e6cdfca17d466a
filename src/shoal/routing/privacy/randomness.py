"""Telling values that a machine drew from words, names and placeholders."""

import math
import re
from collections import Counter

_KINDS_OF_CHARACTER = re.compile(r"[a-z]+|[A-Z]+|[0-9]+|[^A-Za-z0-9]+")
_PLACEHOLDER = re.compile(
    r"example|your|placeholder|changeme|redacted|dummy|xxxx|\*\*\*|\.\.\.|1234567890"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[A-Za-z_]+(?:[-.][A-Za-z_]+)*")
_LEAST = 16  # characters of a key
_BITS = 3.0  # a hex digit has 4, a base64 character 6; words in a row have under 3.5


def is_random(value: str) -> bool:
    """Whether the value looks drawn: long, letters and digits mixed, many different characters."""
    digits = sum(character.isdigit() for character in value)
    if len(value) < _LEAST or digits < 2 or digits == len(value):
        return False
    runs = len(_KINDS_OF_CHARACTER.findall(value))
    return runs * 4 >= len(value) and _bits(value) >= _BITS and not _stands_for_one(value)


def is_password(value: str) -> bool:
    """Whether people may have chosen the value: no mere word, name in code or placeholder."""
    if len(value) < 6 or _NAME.fullmatch(value) or _stands_for_one(value):
        return False
    return any(not character.isalpha() for character in value)


def is_uuid(value: str) -> bool:
    """Whether it is a UUID, which names things more often than it opens them."""
    return _UUID.fullmatch(value) is not None


def _bits(value: str) -> float:
    """Shannon entropy of the characters, bits a character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def _stands_for_one(value: str) -> bool:
    return _PLACEHOLDER.search(value.lower()) is not None
