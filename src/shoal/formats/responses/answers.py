"""Whole Responses answers: to an ``Answer`` and back."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Alternatives, Answer, Reasoning, ToolCall
from shoal.errors import EngineUnreachable
from shoal.formats.alternatives import moved, near_the_ends, of_part
from shoal.formats.chat_completions import custom_tools
from shoal.formats.json_text import decode_reply, explain, join_members, members_or_none, word_of
from shoal.formats.responses.errors import WireError, refusal
from shoal.formats.responses.items import call_item
from shoal.formats.responses.reasoning import made_id, read_reasoning, write_reasoning
from shoal.formats.responses.usage import decode_usage, encode_usage
from shoal.formats.responses.wire_items import (
    CALL,
    CALLS,
    NULL,
    REASONING,
    WireCall,
    WireText,
    kind_of,
)
from shoal.formats.wire_format import Envelope

PREFIX = "resp_"  # of the ids of responses
_EXCERPT = 200  # characters of a reply that is no answer, shown in the error
_UNFINISHED = ("queued", "in_progress", "cancelled")
_CUT = {"content_filter": "content_filter", "steered": "stop"}  # any other cuts the answer short
_CUT_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHOED: Mapping[str, bytes] = {
    "instructions": b"null",
    "max_output_tokens": b"null",
    "metadata": b"{}",
    "parallel_tool_calls": b"true",
    "reasoning": b'{"effort":null,"summary":null}',
    "temperature": b"null",
    "text": b'{"format":{"type":"text"}}',
    "tool_choice": b'"auto"',
    "tools": b"[]",
    "top_p": b"null",
    "truncation": b'"disabled"',
    "user": b"null",
}
"""Fields of the request that its answer repeats, and what stands there if it had none."""


class _WireMessage(Struct):
    content: list[WireText] | None = None


class _Details(Struct):
    reason: str | None = None


class WireResponse(Struct):
    """A response, as replies and the events about the whole of one hold it."""

    output: list[Raw] | None = None
    status: str | None = None
    id: Raw = NULL
    model: str | None = None
    error: WireError | None = None
    incomplete_details: _Details | None = None
    usage: Raw = NULL

    def finish_reason(self, calls: bool) -> str:
        """Chat Completions' word for how it ended; ``calls`` says whether it calls tools."""
        if self.status == "incomplete":
            details = self.incomplete_details or _Details()
            return _CUT.get(details.reason or "", "length")
        return "tool_calls" if calls else "stop"


class _Reply(WireResponse, kw_only=True):
    output: list[Raw]


class Said(Struct):
    """What the items of an answer say."""

    text: str = ""
    refusal: str = ""
    calls: tuple[ToolCall, ...] = ()
    reasoning: tuple[Reasoning, ...] = ()
    alternatives: tuple[Alternatives, ...] = ()


_REPLY = msgspec.json.Decoder(_Reply)
_MESSAGE = msgspec.json.Decoder(_WireMessage)


def decode_answer(body: bytes) -> Answer:
    """Read a Responses reply; ``body`` is kept in it. One still in the works is not ``complete``.

    Raises:
        EngineRefused: the answer failed.
        EngineUnreachable: the reply is not JSON, or holds no answer.
    """
    try:
        reply = decode_reply(_REPLY, body)
        if reply.status == "failed":
            raise refusal(reply.error, taken=True)
        said = [read_item(item) for item in reply.output]
    except msgspec.ValidationError as error:
        raise _no_answer(explain(error, "")[0].removeprefix(": "), body) from None
    except ValueError:
        raise _no_answer("it is not JSON", body) from None
    calls = tuple(call for item in said for call in item.calls)
    return Answer(
        text="".join(item.text for item in said),
        tool_calls=calls,
        finish_reason=reply.finish_reason(bool(calls)),
        refusal="".join(item.refusal for item in said),
        model=reply.model or "",
        usage=decode_usage(reply.usage),
        body=body,
        complete=reply.status not in _UNFINISHED,
        reasoning=tuple(block for item in said for block in item.reasoning),
        format="responses",
        id=word_of(reply.id),
        alternatives=near_the_ends(_joined((item.text, item.alternatives) for item in said)),
    )


def read_item(item: Raw) -> Said:
    """What one item says; nothing if it is of a kind that is not read.

    Raises:
        msgspec.ValidationError: a known item of another shape.
    """
    kind = kind_of(item)
    if kind == "message":
        content = decode_reply(_MESSAGE, bytes(item)).content or ()
        parts = [part for part in content if part.type == "output_text" and part.text]
        refusals = [part.refusal for part in content if part.type == "refusal" and part.refusal]
        told = _joined((p.text or "", of_part(p.logprobs, p.text or "")) for p in parts)
        text = "".join(part.text or "" for part in parts)
        return Said(text, "".join(refusals), alternatives=tuple(told))
    if kind in CALLS:
        return Said(calls=(tool_call(decode_reply(CALL, bytes(item))),))
    if kind == "reasoning":
        block = read_reasoning(decode_reply(REASONING, bytes(item)))
        return Said(reasoning=(block,) if block else ())
    return Said()


def _joined(pieces: Iterable[tuple[str, tuple[Alternatives, ...]]]) -> list[Alternatives]:
    """Those of pieces of text, as of one text."""
    found: list[Alternatives] = []
    length = 0
    for text, alternatives in pieces:
        found += moved(alternatives, length)
        length += len(text)
    return found


def tool_call(wire: WireCall) -> ToolCall:
    """A call of a function or of a custom tool as data."""
    arguments = wire.arguments if wire.input is None else wire.input
    return ToolCall(wire.call_id or "", wire.name, arguments or "")


def _no_answer(why: str, body: bytes) -> EngineUnreachable:
    start = " ".join(body[: 4 * _EXCERPT].decode(errors="replace").split())[:_EXCERPT]
    return EngineUnreachable(f"the reply is not a response: {why}; it starts {start!r}")


def encode_answer(answer: Answer, envelope: Envelope) -> bytes:
    """The answer as a Responses reply, built anew (``answer.body`` is not looked at)."""
    items = output_items(answer, envelope)
    return ResponseText(envelope).ended(answer, [msgspec.json.encode(item) for item in items])


def output_items(answer: Answer, envelope: Envelope) -> list[dict[str, object]]:
    """The items that the answer is made of."""
    items: list[dict[str, object]] = []
    for block in answer.reasoning:
        items.append(write_reasoning(block, made_id(envelope.id, len(items))))
    status = status_of(answer.finish_reason)
    if answer.text or answer.refusal or not answer.tool_calls:
        parts = [text_part(answer.text)] if answer.text or not answer.refusal else []
        parts += [refusal_part(answer.refusal)] if answer.refusal else []
        items.append(message_item(f"msg_{envelope.id}_{len(items)}", parts, status))
    custom = custom_tools(envelope.request.tools)
    for call in answer.tool_calls:
        index = len(items)
        items.append(call_of_answer(call, call.name in custom, envelope.id, index, status))
    return items


def status_of(finish_reason: str) -> str:
    """Of an answer that ended so, and of an item that it ended in."""
    return "incomplete" if finish_reason in _CUT_REASONS else "completed"


def text_part(text: str) -> dict[str, object]:
    """A part of a message."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def refusal_part(text: str) -> dict[str, object]:
    """A part of a message that refuses."""
    return {"type": "refusal", "refusal": text}


def message_item(item_id: str, parts: list[dict[str, object]], status: str) -> dict[str, object]:
    """A message of the assistant."""
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def call_of_answer(
    call: ToolCall, custom: bool, answer_id: str, index: int, status: str
) -> dict[str, object]:
    """A call as the item number ``index`` of an answer; it gets an id if it has none."""
    called = call if call.id else ToolCall(f"call_{answer_id}_{index}", call.name, call.arguments)
    prefix = "ctc" if custom else "fc"
    head = {"id": f"{prefix}_{answer_id}_{index}", "status": status}
    return {**head, **call_item(called, custom)}


class ResponseText:
    """Writes the response that an answer comes in, with what it repeats of its request."""

    def __init__(self, envelope: Envelope) -> None:
        request = envelope.request
        asked = members_or_none(request.body) if request.format == "responses" else None
        given = {
            name: msgspec.json.format(bytes(value), indent=-1)  # an event's data is one line
            for name, value in (asked or {}).items()
            if name in _ECHOED and bytes(value) != b"null"
        }
        kept = asked is not None and bytes(asked.get("store", NULL)) != b"false"
        self._head: dict[str, bytes | Raw] = {
            "id": msgspec.json.encode(PREFIX + envelope.id),
            "object": b'"response"',
            "created_at": msgspec.json.encode(envelope.created),
            "background": b"false",
            "previous_response_id": b"null",
            "store": b"true" if kept else b"false",
            **_ECHOED,
            **given,
        }

    def begun(self, model: str) -> bytes:
        """While nothing has been said."""
        return self._written("in_progress", model, ())

    def ended(self, answer: Answer, items: Iterable[bytes]) -> bytes:
        """With the ``items`` (JSON texts) of ``answer``; of that the rest is read."""
        reason = _CUT_REASONS.get(answer.finish_reason)
        details = msgspec.json.encode({"reason": reason} if reason else None)
        usage = msgspec.json.encode(encode_usage(answer.usage))
        status = status_of(answer.finish_reason)
        return self._written(status, answer.model, items, incomplete_details=details, usage=usage)

    def failed(self, answer: Answer, items: Iterable[bytes], why: str) -> bytes:
        """With the ``items`` of what came of ``answer`` before it failed."""
        error = msgspec.json.encode({"code": "server_error", "message": why})
        return self._written("failed", answer.model, items, error=error)

    def _written(self, status: str, model: str, items: Iterable[bytes], **others: bytes) -> bytes:
        return join_members(
            {
                **self._head,
                "status": msgspec.json.encode(status),
                "error": b"null",
                "incomplete_details": b"null",
                "model": msgspec.json.encode(model),
                "output": b"[%s]" % b",".join(items),
                "usage": b"null",
                **others,
            }
        )
