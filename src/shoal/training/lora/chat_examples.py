"""What a generative model learns from: a conversation and the answer that it should get."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from shoal.chat import Answer, Message

THINKS, DONE = "<think>\n", "\n</think>\n\n"
_EXPLAIN = "Do not answer yet: say step by step how the answer is found."


class ChatExample(Struct, frozen=True):
    """An example as a generative model learns it.

    ``rationale`` is how the answer was found, where that is known; ``key`` names the example in
    reports (the call's id); ``tools`` is JSON text as in ``Request``.
    """

    messages: tuple[Message, ...]
    answer: Answer
    rationale: str = ""
    key: str = ""
    tools: str = ""


class Turn(Struct, frozen=True):
    """What the model is to write after these messages, both as chat templates take them."""

    messages: tuple[dict[str, Any], ...]
    reply: dict[str, Any]
    tools: str = ""


def as_asked(example: ChatExample) -> list[Turn]:
    """The answer, as it stands."""
    return [Turn(_said(example.messages), _reply(example.answer), example.tools)]


def step_by_step(example: ChatExample) -> list[Turn]:
    """The answer, and apart from it the rationale: a second target of the same model, which makes
    it learn from fewer examples and costs nothing when it serves (Hsieh et al. 2023).

    There each of the two has a prefix of its own; here the answer has none, so that the requests
    which are served need no change.
    """
    turns = as_asked(example)
    if not example.rationale.strip():
        return turns
    said = _said(example.messages)
    asked = said[-1] | {"content": f"{said[-1]['content']}\n\n{_EXPLAIN}"}
    reply = {"role": "assistant", "content": example.rationale.strip()}
    return [*turns, Turn((*said[:-1], asked), reply, example.tools)]


def thinking(example: ChatExample) -> list[Turn]:
    """The rationale, and after it the answer, in one reply: nothing where there is no rationale."""
    rationale = example.rationale.strip()
    if not rationale:
        return []
    reply = _reply(example.answer)
    reply["content"] = f"{THINKS}{rationale}{DONE}{reply['content']}"
    return [Turn(_said(example.messages), reply, example.tools)]


def after_thinking(text: str) -> str:
    """The answer in a reply of a model that learned to think first."""
    return text.rpartition(DONE.strip())[2].strip()


def digest(examples: Sequence[ChatExample]) -> str:
    """What tells these examples from others."""
    return hashlib.blake2b(msgspec.json.encode(examples), digest_size=16).hexdigest()


def _said(messages: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    return tuple(_as_dict(message) for message in messages)


def _as_dict(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        told["tool_calls"] = [_call(call.name, call.arguments) for call in message.tool_calls]
    if message.name:
        told["name"] = message.name
    return told


def _reply(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        told["tool_calls"] = [_call(call.name, call.arguments) for call in answer.tool_calls]
    return told


def _call(name: str, arguments: str) -> dict[str, Any]:
    try:
        parsed = json.loads(arguments)
    except ValueError:
        parsed = arguments
    return {"type": "function", "function": {"name": name, "arguments": parsed}}
