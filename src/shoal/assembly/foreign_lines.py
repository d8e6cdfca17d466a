"""What other programs write about calls, a JSON object a line: where request and response stand.

- a log: ``{"request": {...}, "response": {...}}``;
- fine-tuning: ``{"messages": [...]}``, the last of which is the assistant's;
- OpenAI's batches: ``{"custom_id", "body": {...}}`` and ``{"custom_id", "response": {"body":
  {...}}}``, joined into one line, since each of them alone is half a call.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from shoal.errors import CallFileError

_NULL = Raw(b"null")
_CHAT = "/chat/completions"
_NOT_ASKED = frozenset(("id", "at", "created", "latency_ms", "answered_by", "receipt", "task"))
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_MESSAGES = msgspec.json.Decoder(list[Raw])


class Exchange(Struct, frozen=True):
    """A Chat Completions request and its completion, as JSON texts.

    ``traffic`` is false for what somebody selected or wrote, fine-tuning data for one: a specialist
    may learn from it, but it says nothing of how often the LLM and the specialist agree on traffic.
    """

    request: bytes
    response: bytes
    traffic: bool = True


class _Last(Struct):
    role: str = ""
    tool_calls: Raw = _NULL
    function_call: Raw = _NULL


class _Wrapped(Struct):
    """A batch's response: the completion is its body."""

    status_code: int | None = None
    body: Raw = _NULL
    choices: Raw = _NULL


def exchange_of(members: Mapping[str, Raw], model: str) -> Exchange:
    """Request and response of a line; ``model`` is put in where the request names none.

    Raises:
        CallFileError: one of them is missing, or the call failed.
    """
    if "messages" in members:
        return _tuning(members, model)
    _check_batch(members)
    request = _given(members, "request") or _given(members, "body")
    response = _completion(_given(members, "response"))
    if request and response:
        return Exchange(_named(request, model), response)
    if request:
        raise CallFileError("holds a request without its response")
    if response:
        joined = ""
        if "custom_id" in members:
            joined = (
                "; join each line of the batch's output with the input line of the same custom_id "
                'into one: {"custom_id", "body", "response"}'
            )
        raise CallFileError(f"holds a response without its request{joined}")
    found = ", ".join(members) or "nothing"
    raise CallFileError(
        "expected 'request' and 'response', or 'messages' of which the last is the assistant's; "
        f"found: {found}"
    )


def _tuning(members: Mapping[str, Raw], model: str) -> Exchange:
    """The last message is the answer to those before it."""
    try:
        *asked, last = _MESSAGES.decode(members["messages"])
        answer = msgspec.json.decode(last, type=_Last)
    except (msgspec.DecodeError, ValueError):
        raise CallFileError("messages: expected a list of messages") from None
    if answer.role != "assistant":
        raise CallFileError("messages: the last one is not the assistant's, so there is no answer")
    request = {name: value for name, value in members.items() if name not in _NOT_ASKED}
    calls = any(bytes(part) != b"null" for part in (answer.tool_calls, answer.function_call))
    choice = {"index": 0, "message": last, "finish_reason": "tool_calls" if calls else "stop"}
    response = {"model": _model(members) or model, "choices": [choice]}
    return Exchange(
        _named(msgspec.json.encode(request | {"messages": asked}), model),
        msgspec.json.encode(response),
        traffic=False,
    )


def _check_batch(members: Mapping[str, Raw]) -> None:
    url, error = _text(members, "url"), _given(members, "error")
    if url and not url.endswith(_CHAT):
        raise CallFileError(f"url: {url} is no chat completion")
    if error and not _given(members, "response"):
        raise CallFileError(f"the call failed: {_excerpt(error)}")


def _completion(response: bytes) -> bytes:
    """The completion itself, out of the wrapping of a batch."""
    try:
        wrapped = msgspec.json.decode(response or b"{}", type=_Wrapped)
    except msgspec.DecodeError:
        return response
    if bytes(wrapped.body) == b"null" or bytes(wrapped.choices) != b"null":
        return response
    if (wrapped.status_code or 200) >= 400:
        raise CallFileError(
            f"the call failed with status {wrapped.status_code}: {_excerpt(bytes(wrapped.body))}"
        )
    return bytes(wrapped.body)


def _named(request: bytes, model: str) -> bytes:
    """The request, naming ``model`` if it names none.

    Raises:
        CallFileError: there is no name at all.
    """
    try:
        members = _MEMBERS.decode(request)
    except msgspec.DecodeError:
        return request
    if _given(members, "model"):
        return request
    if not model:
        raise CallFileError("names no model; say whose answers these are with --model NAME")
    return msgspec.json.encode({**members, "model": model})


def _model(members: Mapping[str, Raw]) -> str:
    return _text(members, "model")


def _text(members: Mapping[str, Raw], name: str) -> str:
    try:
        return msgspec.json.decode(members.get(name, Raw(b'""')), type=str)
    except msgspec.DecodeError:
        return ""


def _given(members: Mapping[str, Raw], name: str) -> bytes:
    """The JSON text of a member; empty if it is missing or null."""
    value = bytes(members.get(name, _NULL))
    return b"" if value == b"null" else value


def _excerpt(value: bytes) -> str:
    return " ".join(value.decode(errors="replace").split())[:200]
