"""Whole Messages answers: to an ``Answer`` and back."""

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from shoal.chat import Answer, Reasoning, ToolCall
from shoal.errors import EngineUnreachable
from shoal.formats.json_text import decode_reply, explain
from shoal.formats.messages.calls import call_block
from shoal.formats.messages.turns import thought_blocks
from shoal.formats.messages.usage import decode_counts, encode_usage, ending_of, finish_reason
from shoal.formats.wire_format import Envelope

_EXCERPT = 200  # characters of a reply that is no answer, shown in the error
_NULL = Raw(b"null")


class _Block(Struct):
    """A block of any type; only members of the types that are read."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")


class _StopDetails(Struct):
    explanation: str | None = None


class _Reply(Struct):
    content: list[Raw]
    model: str | None = None
    stop_reason: str | None = None
    stop_details: Raw = _NULL
    usage: Raw = _NULL


class _Kind(Struct):
    type: str = ""


_REPLY = msgspec.json.Decoder(_Reply)
_KIND = msgspec.json.Decoder(_Kind)
_BLOCK = msgspec.json.Decoder(_Block)
_DETAILS = msgspec.json.Decoder(_StopDetails | None)
_KNOWN = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))


def decode_answer(body: bytes) -> Answer:
    """Read a Messages reply; ``body`` is kept in it.

    Texts are joined as they are: an answer with citations comes in many.

    Raises:
        EngineUnreachable: the reply is not JSON, or holds no answer.
    """
    try:
        reply = decode_reply(_REPLY, body)
        blocks = [_BLOCK.decode(raw) for raw in reply.content if _KIND.decode(raw).type in _KNOWN]
    except msgspec.ValidationError as error:
        raise _no_answer(explain(error, "")[0].removeprefix(": "), body) from None
    except ValueError:
        raise _no_answer("it is not JSON", body) from None
    reason = finish_reason(reply.stop_reason)
    return Answer(
        text="".join(block.text or "" for block in blocks if block.type == "text"),
        tool_calls=tuple(_call(block) for block in blocks if block.type == "tool_use"),
        finish_reason=reason,
        refusal=explanation(reply.stop_details) if reason == "content_filter" else "",
        model=reply.model or "",
        usage=decode_counts(reply.usage).usage(),
        body=body,
        reasoning=tuple(_thought(b) for b in blocks if b.type not in ("text", "tool_use")),
        format="messages",
    )


def _no_answer(why: str, body: bytes) -> EngineUnreachable:
    start = " ".join(body[: 4 * _EXCERPT].decode(errors="replace").split())[:_EXCERPT]
    return EngineUnreachable(f"the reply is not a message: {why}; it starts {start!r}")


def _call(block: _Block) -> ToolCall:
    return ToolCall(block.id or "", block.name or "", bytes(block.input).decode())


def _thought(block: _Block) -> Reasoning:
    if block.type == "redacted_thinking":
        return Reasoning(signature=block.data or "", sealed=True)
    return Reasoning(block.thinking or "", block.signature or "")


def explanation(stop_details: Raw) -> str:
    """What a refusal says of itself; "" if nothing."""
    try:
        details = _DETAILS.decode(stop_details)
    except msgspec.DecodeError:
        return ""
    return (details.explanation if details else None) or ""


def encode_answer(answer: Answer, envelope: Envelope) -> bytes:
    """The answer as a Messages reply, built anew (``answer.body`` is not looked at)."""
    content: list[object] = [*thought_blocks(answer.reasoning, unsigned=True)]
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content += [call_block(named(call, n, envelope)) for n, call in enumerate(answer.tool_calls)]
    model = answer.model or envelope.request.model
    return msgspec.json.encode(
        {
            **head_of(envelope, model),
            "content": content,
            **ending_of(answer),
            "usage": encode_usage(answer.usage),
        }
    )


def head_of(envelope: Envelope, model: str) -> dict[str, object]:
    """The members that a message begins with."""
    return {
        "id": f"msg_{envelope.id}",
        "type": "message",
        "role": "assistant",
        "model": model,
    }


def named(call: ToolCall, number: int, envelope: Envelope) -> ToolCall:
    """The call with an id, made up if the provider gave it none."""
    return call if call.id else replace(call, id=f"toolu_{envelope.id}_{number}")
