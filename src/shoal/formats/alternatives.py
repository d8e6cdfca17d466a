"""Log-probabilities of an answer's tokens, as Chat Completions and Responses both tell them.

Of each token there may be twenty alternatives, which would make an answer a hundred times as long.
Kept is what tells something: places where something else was likely, and those near the ends of the
text, for that is where a label stands.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from shoal.chat import Alternatives

T = TypeVar("T")

_LEAST = -6.9  # a log-probability, of 0.1 %: what is less likely tells nothing
_MOST_TOKENS = 20  # of a place
_AT_EACH_END = 16  # places


class _Possible(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Token(_Possible):
    top_logprobs: list[_Possible] | None = None


class _Tokens(Struct):
    content: list[_Token] | None = None


_CHOICE = msgspec.json.Decoder(_Tokens | None)
_LIST = msgspec.json.Decoder(list[_Token] | None)


def of_choice(logprobs: Raw, text: str) -> tuple[Alternatives, ...]:
    """Those of a choice of Chat Completions, or of its part in a chunk. Nothing if there are none,
    or none that fit ``text``."""
    if not text or len(memoryview(logprobs)) < 5:  # null, or none
        return ()
    try:
        read = _CHOICE.decode(logprobs)
    except msgspec.DecodeError:
        return ()
    return _of_tokens(read.content or (), text) if read else ()


def of_part(logprobs: Raw, text: str) -> tuple[Alternatives, ...]:
    """Those of a part of a message of Responses, or of a piece of one, likewise."""
    if not text or len(memoryview(logprobs)) < 5:  # null, [] or none
        return ()
    try:
        return _of_tokens(_LIST.decode(logprobs) or (), text)
    except msgspec.DecodeError:
        return ()


def near_the_ends(found: Sequence[T]) -> tuple[T, ...]:
    """Of what stands at places of a text, those at the first and the last, in their order."""
    if len(found) <= 2 * _AT_EACH_END:
        return tuple(found)
    return (*found[:_AT_EACH_END], *found[-_AT_EACH_END:])


def moved(found: Sequence[Alternatives], by: int) -> tuple[Alternatives, ...]:
    """The same places of a text that has ``by`` characters more before them."""
    return tuple(replace(one, at=one.at + by) for one in found) if by else tuple(found)


def _of_tokens(tokens: Sequence[_Token], text: str) -> tuple[Alternatives, ...]:
    """A token may be part of a character: places are counted in bytes first."""
    pieces = [_bytes_of(token) for token in tokens]
    whole = b"".join(pieces)
    if whole != text.encode("utf-8", "surrogatepass"):
        return ()
    found, start = [], 0
    for token, piece in zip(tokens, pieces, strict=True):
        likely = [other for other in token.top_logprobs or () if other.logprob > _LEAST]
        others = [other for other in likely if other.token != token.token]
        if others:
            found.append((start, token, others[: _MOST_TOKENS - 1]))
        start += len(piece)
    return tuple(
        Alternatives(
            len(whole[:start].decode("utf-8", "ignore")),
            token.token,
            tuple((one.token, min(0.0, one.logprob)) for one in (token, *others)),
        )
        for start, token, others in near_the_ends(found)
    )


def _bytes_of(token: _Token) -> bytes:
    if token.bytes is None:
        return token.token.encode("utf-8", "surrogatepass")
    return bytes(byte & 0xFF for byte in token.bytes)
