"""Rewriting the strings of a JSON text; every other byte of it stays as it came."""

import json
import re
from collections.abc import Callable, Collection

import msgspec

Change = Callable[[str, str], str]
"""(string, the key it stands behind or "") -> the string to put in its place."""

_SHOWN = r'(?P<string>"(?:[^"\\]++|\\.)*+")(?P<colon>\s*+:)?|(?P<number>-?[0-9]{9,}+(?![0-9.eE]))'
_TOKEN = re.compile(_SHOWN, re.DOTALL)
_NESTED = re.compile(_SHOWN + r"|(?P<open>[\[{])|(?P<close>[\]}])", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]{1024}")
_DATA_URL = re.compile(r"data:[\w.+/-]{0,100}(?:;[\w=-]{1,60}){0,4};base64,")


def is_json(text: str) -> bool:
    """Whether the text is JSON: msgspec is quick, and what it refuses Python's reader decides."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
    return True


class JsonStrings:
    """Rewrites strings and keys by ``change``.

    Strings behind one of the ``fixed`` keys stay, but not inside of what stands behind one of the
    ``data`` keys; and all keys if ``keep_keys``. With ``numbers`` long whole numbers are shown to
    ``change``, too; one that it changes becomes a string.
    """

    def __init__(
        self,
        change: Change,
        fixed: Collection[str] = (),
        keep_keys: bool = False,
        numbers: bool = False,
        data: Collection[str] = (),
    ) -> None:
        self._change = change
        self._fixed, self._keep_keys, self._numbers = fixed, keep_keys, numbers
        self._data, self._in_data = data, False
        self._around = list[tuple[str, bool]]()  # the key of what is open, and whether it is data
        self._key = ""
        self._changed_keys: dict[str, str] = {}

    def rewrite(self, text: str) -> str:
        """``text`` must be JSON, and the result is."""
        return (_NESTED if self._data else _TOKEN).sub(self._token, text)

    def _token(self, match: re.Match[str]) -> str:
        if self._data and (match["open"] or match["close"]):
            return self._bracket(match[0])
        if match["number"]:
            return self._number(match["number"])
        value = _unquoted(match["string"])
        if match["colon"]:
            return self._named(match, value)
        if self._is_fixed() or _is_blob(value):
            return match[0]
        changed = self._change(value, self._key)
        return match[0] if changed == value else _quoted(changed)

    def _bracket(self, found: str) -> str:
        if found in "[{":
            self._around.append((self._key, self._in_data))
            self._in_data = self._in_data or self._key in self._data
        elif self._around:
            self._key, self._in_data = self._around.pop()
        return found

    def _is_fixed(self) -> bool:
        return self._key in self._fixed and not self._in_data

    def _named(self, match: re.Match[str], key: str) -> str:
        self._key = key
        changed = key if self._keep_keys else self._change(key, "")
        if changed == key:
            return match[0]
        wanted, count = changed, 2
        while self._changed_keys.setdefault(changed, key) != key:  # or one would hide the other
            changed, count = f"{wanted} {count}", count + 1
        return _quoted(changed) + match["colon"]

    def _number(self, number: str) -> str:
        if not self._numbers or self._is_fixed():
            return number
        changed = self._change(number, self._key)
        return number if changed == number else _quoted(changed)


def _unquoted(token: str) -> str:
    return str(json.loads(token, strict=False)) if "\\" in token else token[1:-1]


def _quoted(text: str) -> str:
    whole = not any("\ud800" <= character <= "\udfff" for character in text)
    return json.dumps(text, ensure_ascii=not whole)


def _is_blob(value: str) -> bool:
    """Whether it holds an image, a sound or a file, not words."""
    return len(value) > 1024 and bool(_BASE64.match(value) or _DATA_URL.match(value))
