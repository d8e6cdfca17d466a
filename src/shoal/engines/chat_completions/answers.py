"""Chat Completions answers, whole or as server-sent events: to an ``Answer`` and back."""

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Answer, ToolCall, Usage
from shoal.engines.chat_completions.json_text import decode_reply, explain
from shoal.engines.chat_completions.requests import (
    WireCall,
    WireFunction,
    WirePart,
    text_of,
    wire_calls,
)
from shoal.errors import EngineUnreachable

DONE = b"data: [DONE]\n\n"
_EXCERPT = 200  # characters of a reply that is no answer, shown in the error


class _Message(Struct):
    content: str | list[WirePart] | None = None
    refusal: str | None = None
    tool_calls: list[WireCall] | None = None
    function_call: WireFunction | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Reply(Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: Raw = Raw(b"null")


class _InputDetails(Struct):
    cached_tokens: int | None = None


class _OutputDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


_REPLY = msgspec.json.Decoder(_Reply)
_USAGE = msgspec.json.Decoder(_Usage | None)


def decode_answer(body: bytes) -> Answer:
    """Read a Chat Completions reply (its first choice); ``body`` is kept in it.

    Raises:
        EngineUnreachable: the reply is not JSON, or holds no answer.
    """
    try:
        reply = decode_reply(_REPLY, body)
    except msgspec.ValidationError as error:
        raise _no_answer(explain(error, "")[0].removeprefix(": "), body) from None
    except ValueError:
        raise _no_answer("it is not JSON", body) from None
    if not reply.choices:
        raise _no_answer("it holds no choices", body)
    choice = reply.choices[0]
    calls = [call.call() for call in choice.message.tool_calls or ()]
    if function := choice.message.function_call:
        calls.append(ToolCall("", function.name, function.arguments))
    return Answer(
        text=text_of(choice.message.content),
        tool_calls=tuple(calls),
        finish_reason=choice.finish_reason or "stop",
        refusal=choice.message.refusal or "",
        model=reply.model or "",
        usage=decode_usage(reply.usage),
        body=body,
    )


def _no_answer(why: str, body: bytes) -> EngineUnreachable:
    start = " ".join(body[: 4 * _EXCERPT].decode(errors="replace").split())[:_EXCERPT]
    return EngineUnreachable(f"the reply is not a chat completion: {why}; it starts {start!r}")


def decode_usage(raw: Raw) -> Usage | None:
    """Counts of tokens; None where the provider gave none, or none that can be read."""
    try:
        wire = _USAGE.decode(raw)
    except msgspec.DecodeError:
        return None
    if wire is None or (wire.prompt_tokens is None and wire.completion_tokens is None):
        return None
    inputs = wire.prompt_tokens_details or _InputDetails()
    outputs = wire.completion_tokens_details or _OutputDetails()
    return Usage(
        input_tokens=wire.prompt_tokens or 0,
        output_tokens=wire.completion_tokens or 0,
        cached_tokens=inputs.cached_tokens or 0,
        reasoning_tokens=outputs.reasoning_tokens or 0,
    )


def encode_usage(usage: Usage) -> dict[str, object]:
    """Counts of tokens as Chat Completions writes them."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def encode_answer(answer: Answer, id: str, created: int) -> bytes:
    """The answer as a Chat Completions reply, built anew (``answer.body`` is not looked at).

    ``id`` is the completion's id, ``created`` its time in seconds since 1970.
    """
    message: dict[str, object] = {
        "role": "assistant",
        "content": _content(answer),
        "refusal": answer.refusal or None,
    }
    if answer.tool_calls:
        message["tool_calls"] = wire_calls(answer.tool_calls)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    reply = _head(answer, id, created, "chat.completion") | {"choices": [choice]}
    if answer.usage is not None:
        reply["usage"] = encode_usage(answer.usage)
    return msgspec.json.encode(reply)


def encode_stream(answer: Answer, id: str, created: int, include_usage: bool) -> list[bytes]:
    """The answer as server-sent events, the last of which is ``data: [DONE]``."""
    head = _head(answer, id, created, "chat.completion.chunk")
    blank: dict[str, object] = {"usage": None} if include_usage else {}
    first: dict[str, object] = {
        "role": "assistant",
        "content": None if _content(answer) is None else "",
    }
    deltas = [first]
    if answer.text:
        deltas.append({"content": answer.text})
    if answer.refusal:
        deltas.append({"refusal": answer.refusal})
    for index, call in enumerate(wire_calls(answer.tool_calls)):
        deltas.append({"tool_calls": [{"index": index, **call}]})
    reasons = [None] * len(deltas) + [answer.finish_reason]
    chunks = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} | blank
        for delta, reason in zip([*deltas, {}], reasons, strict=True)
    ]
    if include_usage and answer.usage is not None:
        chunks.append(head | {"choices": [], "usage": encode_usage(answer.usage)})
    return [b"data: %s\n\n" % msgspec.json.encode(chunk) for chunk in chunks] + [DONE]


def _content(answer: Answer) -> str | None:
    return None if not answer.text and (answer.tool_calls or answer.refusal) else answer.text


def _head(answer: Answer, id: str, created: int, kind: str) -> dict[str, object]:
    return {"id": id, "object": kind, "created": created, "model": answer.model}
