"""JSON texts: checked strictly, taken apart at the top without touching the values, and rewritten.

Values that Shoal does not read are handled as the text they came in, so that nothing is lost or
reformatted on the way through.
"""

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import msgspec
from msgspec import Raw

from shoal.errors import MalformedRequest

T = TypeVar("T")

_ANY = msgspec.json.Decoder(Raw)
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_STRING = msgspec.json.Decoder(str)
_KEY = re.compile(rb'\s*,?\s*"[^"\\]*(?:\\.[^"\\]*)*"\s*:\s*')
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_WORDS = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise MalformedRequest(f"the key {name!r} is given twice in one object", name)
        seen.add(name)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"{name} is not JSON; leave the field out or send a number")


_STRICT = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse_constant)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's cycle collector from running while JSON is read: it has no cycles.

    While millions of small lists are made it would look through them all again and again, three
    quarters of the time that 8 MB of them take. They should be gone again when this ends.
    """
    running = gc.isenabled()
    if running:
        gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def parse_strictly(body: bytes) -> object:
    """The value of a JSON text that somebody sent.

    Raises:
        MalformedRequest: compressed, not UTF-8, not JSON (NaN is not), a key twice in one object,
            half a surrogate pair, or nested too deeply to be read.
    """
    if body[:2] == b"\x1f\x8b":
        raise MalformedRequest("the body is gzip-compressed; send it uncompressed")
    try:
        value: object = _STRICT.decode(body.decode())
    except UnicodeDecodeError as error:
        raise MalformedRequest(
            f"the body is not UTF-8: byte {error.start} is {body[error.start]:#04x}"
        ) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequest(f"the body is not JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise MalformedRequest(f"the body holds a number that cannot be read: {error}") from None
    if b"\\ud" in body or b"\\uD" in body:  # the only way to write one
        _refuse_halves(body)
    return value


def _refuse_halves(body: bytes) -> None:
    """Python's own decoder takes half a surrogate pair, which nothing can encode again."""
    try:
        _ANY.decode(body)
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except msgspec.DecodeError:
        half = "a string holds half of a surrogate pair (one \\ud83d without its \\ude00)"
        raise MalformedRequest(f"the body is not Unicode text: {half}") from None


def encodable(text: str) -> str:
    """``text`` with halves of surrogate pairs, which callers may send, as escapes."""
    return text.encode(errors="backslashreplace").decode()


def decode_reply(decoder: msgspec.json.Decoder[T], reply: bytes) -> T:
    """Decode what an upstream sent, more leniently than what a caller sends.

    NaN and infinite numbers are read as null, half a surrogate pair as "?".

    Raises:
        msgspec.ValidationError: JSON, but of another shape.
        ValueError: not JSON, or not UTF-8.
    """
    reply.decode()  # msgspec looks for what is not UTF-8 only where it makes a string
    try:
        return decoder.decode(reply)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        try:
            value = json.loads(reply, parse_constant=lambda _: None)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return decoder.decode(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


@no_collection()
def canonical_json(text: str) -> str:
    """A JSON text with sorted keys and no blanks, so that equal values have equal texts; what is no
    JSON that can be read, or empty, stays as it is."""
    if not text:
        return ""
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


def members_of(text: bytes) -> dict[str, Raw]:
    """The members of a JSON object, each value as the text it came in.

    Raises:
        msgspec.DecodeError: not a JSON object.
    """
    return _MEMBERS.decode(text)


def members_or_none(text: bytes) -> dict[str, Raw] | None:
    """As ``members_of``; None if it is no JSON object."""
    try:
        text.decode()
        return _MEMBERS.decode(text)
    except (ValueError, RecursionError):
        return None


def word_of(value: Raw | None) -> str:
    """The string that a JSON text holds; "" if it holds something else, or there is none."""
    try:
        return _STRING.decode(value) if value is not None else ""
    except msgspec.DecodeError:
        return ""


def join_members(members: Mapping[str, bytes | Raw]) -> bytes:
    """A JSON object of values that are JSON texts already."""
    return b"{%s}" % b",".join(
        msgspec.json.encode(name) + b":" + bytes(value) for name, value in members.items()
    )


def replace_members(text: bytes, changes: Mapping[str, bytes]) -> bytes:
    """A JSON object with some values replaced, or added at its end; every other byte stays.

    ``text`` must be an object without repeated keys, ``changes`` maps names to JSON texts.
    """
    edits: list[tuple[int, int, bytes]] = []
    at = text.index(b"{") + 1
    added = dict(changes)
    for name, value in members_of(text).items():
        key = _KEY.match(text, at)
        assert key is not None
        at = key.end() + memoryview(value).nbytes
        if name in added:
            edits.append((key.end(), at, added.pop(name)))
    if added:
        comma = b"," if members_of(text) else b""
        edits.append((at, at, comma + join_members(added)[1:-1]))
    for start, end, new in reversed(edits):
        text = text[:start] + new + text[end:]
    return text


def explain(error: msgspec.ValidationError, prefix: str, expected: str = "") -> tuple[str, str]:
    """What msgspec found wrong, in plain words: (message, path of the field).

    ``prefix`` names the value that was decoded; ``expected`` replaces msgspec's own list of types.
    """
    text = str(error)
    place = _PATH.search(text)
    path = prefix + (place["path"] if place else "")
    path = path.removeprefix(".")
    if missing := _MISSING.search(text):
        return f"{path}: {missing['field']!r} is missing", path
    if wrong := _EXPECTED.search(text):
        wanted = expected or _in_words(wrong["expected"])
        return f"{path}: expected {wanted}, got {_in_words(wrong['got'])}", path
    return f"{path}: {_PATH.sub('', text)}", path


def _in_words(types: str) -> str:
    names = [_WORDS.get(name, name) for name in types.split(" | ") if name != "null"]
    return " or ".join(dict.fromkeys(names)) or "null"
