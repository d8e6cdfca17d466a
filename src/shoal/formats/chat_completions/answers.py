"""Whole Chat Completions answers: to an ``Answer`` and back."""

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Answer, ToolCall, Usage
from shoal.errors import EngineUnreachable
from shoal.formats.alternatives import of_choice
from shoal.formats.chat_completions.reasoning import (
    ReasoningDetail,
    read_reasoning,
    write_reasoning,
)
from shoal.formats.chat_completions.requests import (
    WireCall,
    WireFunction,
    WirePart,
    custom_tools,
    text_of,
    wire_calls,
)
from shoal.formats.json_text import decode_reply, explain
from shoal.formats.wire_format import Envelope

_EXCERPT = 200  # characters of a reply that is no answer, shown in the error


class _Message(Struct):
    content: str | list[WirePart] | None = None
    refusal: str | None = None
    tool_calls: list[WireCall] | None = None
    function_call: WireFunction | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: Raw = Raw(b"null")


class _Reply(Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: Raw = Raw(b"null")


class _InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


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
    message = choice.message
    calls = [call.call() for call in message.tool_calls or ()]
    if function := message.function_call:
        calls.append(ToolCall("", function.name, function.arguments))
    text = text_of(message.content)
    return Answer(
        text=text,
        tool_calls=tuple(calls),
        finish_reason=choice.finish_reason or "stop",
        refusal=message.refusal or "",
        model=reply.model or "",
        usage=decode_usage(reply.usage),
        body=body,
        reasoning=read_reasoning(
            message.reasoning_content or message.reasoning, message.reasoning_details
        ),
        alternatives=of_choice(choice.logprobs, text),
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
        cache_write_tokens=inputs.cache_write_tokens or 0,
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


def encode_answer(answer: Answer, envelope: Envelope) -> bytes:
    """The answer as a Chat Completions reply, built anew (``answer.body`` is not looked at)."""
    message: dict[str, object] = {
        "role": "assistant",
        "content": _content(answer),
        "refusal": answer.refusal or None,
        **write_reasoning(answer.reasoning),
    }
    if answer.tool_calls:
        message["tool_calls"] = wire_calls(answer.tool_calls, custom_tools(envelope.request.tools))
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    reply: dict[str, object] = {
        "id": completion_id(envelope),
        "object": "chat.completion",
        "created": envelope.created,
        "model": answer.model,
        "choices": [choice],
    }
    if answer.usage is not None:
        reply["usage"] = encode_usage(answer.usage)
    return msgspec.json.encode(reply)


def completion_id(envelope: Envelope) -> str:
    """The id of a completion, whole or streamed."""
    return f"chatcmpl-{envelope.id}"


def _content(answer: Answer) -> str | None:
    return None if not answer.text and (answer.tool_calls or answer.refusal) else answer.text
