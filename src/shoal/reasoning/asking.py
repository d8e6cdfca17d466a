"""Requests as strategies change them: another sample, another limit, one more turn.

What is changed is written anew by whoever asks (``body`` is emptied); a request that is sent as it
came keeps its bytes.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Message, Request
from shoal.formats.json_text import join_members, members_of

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_WARM = 0.7  # the temperature of samples where the caller's would make them all alike


class _Asked(Struct):
    temperature: float | None = None
    seed: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None


_asked = msgspec.json.Decoder(_Asked)


def limit_of(request: Request) -> int | None:
    """The tokens that a request allows an answer; None if it does not say."""
    asked = _read(request)
    found = (asked.max_completion_tokens, asked.max_tokens, asked.max_output_tokens)
    return next((one for one in found if one is not None and one >= 0), None)


def choices_of(request: Request) -> int:
    """How many answers a request asks for."""
    return _read(request).n or 1


def is_formal(request: Request, room: int) -> bool:
    """Whether the answer must have a form that leaves no room for thoughts of ``room`` tokens."""
    limit = limit_of(request)
    stops = bool(_read(request).stop)
    short = limit is not None and limit < room
    return bool(request.response_format or request.tools or stops or short)


def with_limit(request: Request, tokens: int) -> Request:
    """The request with an answer of so many tokens at most, if it does not say less already."""
    limit = limit_of(request)
    if limit is not None and limit <= tokens:
        return request
    found = [name for name in _LIMITS if name in members_of(request.params.encode())]
    return with_params(request, {(found or _LIMITS)[0]: tokens})


def varied(request: Request, at: int) -> Request:
    """The request as sample ``at`` of several: neither frozen (temperature 0) nor with the same
    seed as the others."""
    asked, changes = _read(request), dict[str, object]()
    if asked.temperature == 0:
        changes["temperature"] = _WARM
    if asked.seed is not None and at:
        changes["seed"] = asked.seed + at
    return with_params(request, changes)


def with_params(request: Request, changes: Mapping[str, object], without: str = "") -> Request:
    """The request with other parameters, and not the one ``without``."""
    members = members_of(request.params.encode())
    if not changes and without not in members:
        return request
    kept = {name: value for name, value in members.items() if name != without}
    told = {name: msgspec.json.encode(value) for name, value in changes.items()}
    return replace(request, params=join_members({**kept, **told}).decode(), body=b"")


def with_turns(request: Request, *messages: Message) -> Request:
    """The request with more messages at its end."""
    return replace(request, messages=(*request.messages, *messages), body=b"")


def with_words(request: Request, words: str) -> Request:
    """The request with these words at the end of what the user says: in the last message where that
    is the user's and plain text, for not every model takes two of them in a row."""
    *before, last = request.messages
    if last.role == "user" and not last.parts:
        last = replace(last, text=f"{last.text}\n\n{words}")
        return replace(request, messages=(*before, last), body=b"")
    return with_turns(request, Message("user", words))


def freely(request: Request, tokens: int) -> Request:
    """The request for thoughts of so many tokens: no form of the answer, no calls of tools."""
    plain = replace(request, response_format="", tools="", body=b"")
    members = members_of(plain.params.encode())
    dropped = (*_LIMITS, "stop", "tool_choice", "parallel_tool_calls")
    kept = {name: value for name, value in members.items() if name not in dropped}
    plain = replace(plain, params=join_members(kept).decode())
    return with_params(plain, {_LIMITS[0]: tokens})


def said(answer: Answer) -> str:
    """What an answer says, in words; calls of tools as text, for a conversation that goes on
    without their results."""
    calls = [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    return "\n".join(filter(None, (answer.text, *calls)))


def _read(request: Request) -> _Asked:
    try:
        return _asked.decode(request.params)
    except msgspec.DecodeError:  # a field of another type: whoever answers will say so
        return _Asked()
