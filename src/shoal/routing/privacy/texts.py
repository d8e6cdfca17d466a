"""Every text of a request or an answer that may hold what somebody wrote, and where it stands."""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from shoal.chat import Answer, Message, Reasoning, Request, ToolCall
from shoal.routing.privacy.json_strings import JsonStrings, is_json

Look = Callable[[str, str, str], str]
"""(place, text, the key it stands behind or "") -> the text to put in its place."""

_OF_SCHEMAS = frozenset(("name", "type", "$ref", "required", "format", "strict"))
_READ = frozenset(
    ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal")
)


class _Body(Struct):
    messages: list[dict[str, Raw]]


_BODY = msgspec.json.Decoder(_Body)


def rewrite_request(request: Request, look: Look) -> Request:
    """The request with every text as ``look`` wants it; ``body`` is left as it is.

    Names of tools and of their parameters stay, and so do roles and ids.
    """
    schema = partial(_schema, look)
    return replace(
        request,
        messages=tuple(
            _message(message, partial(look, f"messages[{at}]"))
            for at, message in enumerate(request.messages)
        ),
        tools=schema("tools", request.tools),
        response_format=schema("response_format", request.response_format),
        params=_data(request.params, partial(look, "parameters")),
        headers=tuple((name, look(f"headers.{name}", said, "")) for name, said in request.headers),
    )


def rewrite_answer(answer: Answer, look: Look) -> Answer:
    """The answer with every text as ``look`` wants it; ``body`` is left as it is."""
    own = partial(look, "answer")
    return replace(
        answer,
        text=own(answer.text, ""),
        refusal=own(answer.refusal, ""),
        tool_calls=_calls(answer.tool_calls, own),
        reasoning=_reasoning(answer.reasoning, own),
    )


def unread_fields(request: Request) -> Iterator[tuple[str, str]]:
    """(place, JSON text) of what only ``body`` may hold: fields of messages, and in other formats
    than Chat Completions anything."""
    if not request.body:
        return
    if request.format != "chat":
        yield "body", request.body.decode(errors="replace")
        return
    try:
        messages = _BODY.decode(request.body).messages
    except msgspec.DecodeError:
        return
    for at, message in enumerate(messages):
        for name in message.keys() - _READ:
            yield f"messages[{at}].{name}", bytes(message[name]).decode()


def _message(message: Message, look: Callable[[str, str], str]) -> Message:
    return replace(
        message,
        text=look(message.text, ""),
        parts=_data(message.parts, look),
        name=look(message.name, ""),
        tool_calls=_calls(message.tool_calls, look),
        reasoning=_reasoning(message.reasoning, look),
    )


def _reasoning(
    blocks: tuple[Reasoning, ...], look: Callable[[str, str], str]
) -> tuple[Reasoning, ...]:
    return tuple(replace(block, text=look(block.text, "")) for block in blocks)


def _calls(calls: tuple[ToolCall, ...], look: Callable[[str, str], str]) -> tuple[ToolCall, ...]:
    return tuple(replace(call, arguments=_arguments(call.arguments, look)) for call in calls)


def _arguments(text: str, look: Callable[[str, str], str]) -> str:
    """JSON as a rule; the input of a custom tool, or JSON that is none, is a text like others."""
    if is_json(text):
        return JsonStrings(look, numbers=True).rewrite(text)
    return look(text, "")


def _data(text: str, look: Callable[[str, str], str]) -> str:
    return JsonStrings(look).rewrite(text)


def _schema(look: Look, place: str, text: str) -> str:
    return JsonStrings(partial(look, place), fixed=_OF_SCHEMAS, keep_keys=True).rewrite(text)
