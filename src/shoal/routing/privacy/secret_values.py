"""Secrets: keys of providers, private keys, tokens, passwords in URLs and behind words."""

import re
from collections.abc import Iterator

from shoal.routing.privacy.kinds import Finding
from shoal.routing.privacy.provider_keys import PROVIDER_KEYS
from shoal.routing.privacy.randomness import is_password, is_random, is_uuid

_KEYS = {
    prefix: re.compile(rf"(?<![A-Za-z0-9_.-]){re.escape(prefix)}{rest}(?![A-Za-z0-9])")
    for prefix, rest in PROVIDER_KEYS.items()
}
_MARKS = "_-."
_BY_MARK = {  # keys with an underscore are sought where there is one, and so on
    mark: {p: k for p, k in _KEYS.items() if next((m for m in _MARKS if m in p), "") == mark}
    for mark in ("", *_MARKS)
}
_SHORTEST_KEY = 15  # characters: xoxb- and what follows at least
_MIXED = frozenset(("sk-", "fw_", "tvly-"))  # ordinary words begin like these: they must look drawn
_JWT = re.compile(
    r"eyJ(?<![\w-]eyJ)[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?(?![\w-])"
)
_BEARER = re.compile(r"earer\s{1,4}([A-Za-z0-9._~+/-]{16,2048}+=*+)")
_BASIC = re.compile(r"uthorization['\"]?\s?[:=]\s?['\"]?Basic\s{1,4}([A-Za-z0-9+/]{8,2048}+=*+)")
_LOGIN = re.compile(r"://[^\s:/@\"'<>]{0,64}:([^\s@/\"'<>]{1,128})@(?=[\w\[])")
_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s]|\\[nr])*+")

_WORDS = re.compile(
    r"passw(?:or)?d|passwort|passphrase|pwd|kennwort|contraseña|mot de passe|credential|"
    r"secret|token"
)
_KEY_WORDS = re.compile(
    r"(?:api|access|account|private|encryption|signing|license|shared|storage|secret)[ _-]?key"
)
_STEMS = (  # what every such word begins with, and with "key" what some end with
    "passw",
    "passphrase",
    "pwd",
    "kennwort",
    "contraseña",
    "mot de passe",
    "credential",
    "secret",
    "token",
    "key",
)
_BEFORE_KEY = len("encryption_")
_VALUE = re.compile(
    r"[\w-]{0,24}+['\"\]]{0,2}(?:\s{0,3}(?:=>|:=|==?|:|>)|\s(?:is|ist|lautet|est|es)\b|(?=\s))\s{0,4}"
    r"[\"'`]{0,3}([^\s\"'`<>,;&(\[{$%*|\\][^\s\"'`<>,;&|\\]{5,255}+)"
)
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[{]|\w+://|/\w|\.{1,2}/")  # code, a URL or a path
_QUOTES = ("'", '"', "`")
_OF_PEOPLE = ("passw", "passphrase", "pwd", "kennwort", "contrase", "mot de")


def secrets(text: str, lowered: str) -> Iterator[Finding]:
    """Secrets, without what surrounds them: of a connection string only the password."""
    yield from _provider_keys(text)
    if "eyJ" in text:
        yield from _groups(_JWT, text, 0)
    if "earer " in text:
        for match in _BEARER.finditer(text):
            if is_random(match[1]):
                yield Finding("secret", *match.span(1))
    if "Basic " in text:
        yield from _groups(_BASIC, text, 1)
    if "://" in text:
        yield from _groups(_LOGIN, text, 1)
    if "PRIVATE KEY" in text:
        yield from _private_keys(text)
    yield from _assigned(text, lowered)


def _provider_keys(text: str) -> Iterator[Finding]:
    long_words = " ".join([word for word in text.split() if len(word) >= _SHORTEST_KEY])
    for mark, keys in _BY_MARK.items():
        if not long_words or mark not in long_words:
            continue
        for prefix, pattern in keys.items():
            for match in pattern.finditer(text) if prefix in long_words else ():
                if prefix not in _MIXED or is_random(match[0]):
                    yield Finding("secret", match.start(), match.end())


def _groups(pattern: re.Pattern[str], text: str, group: int) -> Iterator[Finding]:
    for match in pattern.finditer(text):
        yield Finding("secret", *match.span(group))


def _private_keys(text: str) -> Iterator[Finding]:
    """Each block up to its end; of one that was cut short, as far as the key's characters go."""
    begin = _BEGIN.search(text)
    more = True  # whether an end may still follow: it is not sought again once there is none
    while begin:
        end = _END.search(text, begin.end()) if more else None
        more = end is not None
        body = _KEY_BODY.match(text, begin.end())
        stop = end.end() if end else body.end() if body else begin.end()
        yield Finding("secret", begin.start(), stop)
        begin = _BEGIN.search(text, stop)


def _assigned(text: str, lowered: str) -> Iterator[Finding]:
    """Values behind words that announce a secret. Each word costs a bounded look ahead, and words
    inside a value that was looked at are passed over, so that the whole is linear."""
    for stem in _STEMS:
        at = lowered.find(stem)
        while at >= 0:
            if stem == "key":
                word = _KEY_WORDS.search(lowered, max(0, at - _BEFORE_KEY), at + len(stem))
            else:
                word = _WORDS.match(lowered, at)
            found, next_at = _behind(text, lowered, word) if word else (None, 0)
            if found:
                yield found
            at = lowered.find(stem, max(next_at, at + len(stem)))


def _behind(text: str, lowered: str, word: re.Match[str]) -> tuple[Finding | None, int]:
    """The secret behind a word that announces one, and where to go on."""
    match = _VALUE.match(lowered, word.end())
    if match is None:
        return None, 0
    start, stop = match.span(1)
    value = text[start:stop]
    if text[stop : stop + 1] not in _QUOTES:
        value = value.rstrip(".:?)]}")
    apart = lowered[word.end() : start].isspace()
    if _CALL.match(value) or not _is_secret(word[0], value, apart):
        return None, stop
    return Finding("secret", start, start + len(value)), stop


def _is_secret(word: str, value: str, apart: bool) -> bool:
    """``apart``: nothing but blanks stands between the word and the value."""
    if apart and ("=" in value.rstrip("=") or ":" in value):
        return False  # it announces a value of its own
    if word.startswith(_OF_PEOPLE) and not apart:
        return is_password(value)
    return is_random(value) and not (is_uuid(value) and (apart or word == "token"))
