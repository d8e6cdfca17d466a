"""The fields of a request besides its input and its tools, to Chat Completions' names and back."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from shoal.chat import Request
from shoal.formats.json_text import join_members, members_or_none
from shoal.formats.responses.parts import cannot_say
from shoal.formats.responses.tools import idle, read_choice, write_choice
from shoal.formats.responses.wire_items import NULL
from shoal.formats.untranslatable import translatable_params

_HINTS = frozenset(
    (
        "store",
        "metadata",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "stream_options",
    )
)
"""Change nothing about the answer; left out between formats, both ways."""

OWN = "shoal:responses"
"""The member of ``Request.params`` that marks a request of Responses, and holds what its answer
repeats and nothing else tells."""

_REPEATED = ("store", "metadata", "truncation", "reasoning")
_READ_ELSEWHERE = frozenset(("model", "input", "instructions", "tools", "stream"))
# `truncation` and `max_tool_calls` concern what a request without built-in tools, and within the
# model's window, never comes to; the others how it is run
_OWN_HINTS = frozenset(
    ("truncation", "max_tool_calls", "background_options", "access_programs", "image")
)
_OWN = frozenset(
    (
        "previous_response_id",
        "conversation",
        "prompt",
        "background",
        "context_management",
        "top_logprobs",
    )
)
_MAY_INCLUDE = frozenset(
    (
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
        "file_search_call.results",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "message.input_image.image_url",
    )
)
_ZERO = (b"0", b"0.0")
_CHAT_ONLY: Mapping[str, tuple[bytes, ...]] = {
    "audio": (),
    "modalities": (b'["text"]',),
    "frequency_penalty": _ZERO,
    "presence_penalty": _ZERO,
    "logit_bias": (b"{}",),
    "logprobs": (b"false",),
    "top_logprobs": _ZERO,
    "n": (b"1",),
    "seed": (),
    "stop": (b"[]", b'""'),
    "functions": (b"[]",),
    "function_call": (b'"auto"', b'"none"'),
    "web_search_options": (),
}
"""Fields of Chat Completions that have no counterpart, and the values that ask for nothing."""

_CALLERS_NAMES = {("messages", "stop"): "stop_sequences"}

Params = dict[str, bytes | Raw]


def read_params(fields: Mapping[str, Raw], missing: list[str]) -> Params:
    """The fields in Chat Completions' names; what it has not is added to ``missing``."""
    params: Params = {}
    for name, value in fields.items():
        if name in _READ_ELSEWHERE or name in _HINTS or name in _OWN_HINTS:
            continue
        if bytes(value) == b"null":
            continue
        if name in _OWN:
            missing += [] if idle(value) else [name]
        elif name in _READERS:
            _READERS[name](value, params, missing)
        else:
            params[name] = value
    return params


def own_params(fields: Mapping[str, Raw]) -> bytes:
    """What stands under ``OWN``; ``instructions`` only tells that there are some."""
    kept: Params = {name: fields[name] for name in _REPEATED if name in fields}
    if bytes(fields.get("instructions", NULL)) not in (b"null", b'""'):
        kept["instructions"] = b"true"
    return join_members(kept)


def _read_reasoning(value: Raw, params: Params, missing: list[str]) -> None:
    members = _object(value, "reasoning", missing)
    _move(members, "effort", params, "reasoning_effort")
    for name in ("summary", "generate_summary"):  # what is shown of it, not what is thought
        members.pop(name, None)
    _drop_default(members, "mode", b'"standard"')
    _drop_default(members, "context", b'"auto"')
    missing += _left("reasoning", members)


def _read_text(value: Raw, params: Params, missing: list[str]) -> None:
    members = _object(value, "text", missing)
    members.pop("format", None)  # is the response format
    _move(members, "verbosity", params, "verbosity")
    missing += _left("text", members)


def _read_include(value: Raw, params: Params, missing: list[str]) -> None:
    try:
        asked = msgspec.json.decode(value, type=list[str])
    except msgspec.DecodeError:
        missing.append("include")
        return
    unknown = [(at, name) for at, name in enumerate(asked) if name not in _MAY_INCLUDE]
    missing += [f"include[{at}] ({name})" for at, name in unknown]


def _read_choice(value: Raw, params: Params, missing: list[str]) -> None:
    choice = read_choice(value, missing)
    if choice is not None:
        params["tool_choice"] = msgspec.json.encode(choice)


def _read_limit(value: Raw, params: Params, missing: list[str]) -> None:
    params["max_completion_tokens"] = value


_READERS: Mapping[str, Callable[[Raw, Params, list[str]], None]] = {
    "reasoning": _read_reasoning,
    "text": _read_text,
    "include": _read_include,
    "tool_choice": _read_choice,
    "max_output_tokens": _read_limit,
}


def _object(value: Raw, name: str, missing: list[str]) -> dict[str, Raw]:
    members = members_or_none(bytes(value))
    if members is None:
        missing.append(name)
    return members or {}


def _move(members: dict[str, Raw], name: str, params: Params, new_name: str) -> None:
    value = members.pop(name, NULL)
    if bytes(value) != b"null":
        params[new_name] = value


def _drop_default(members: dict[str, Raw], name: str, default: bytes) -> None:
    if bytes(members.get(name, NULL)) == default:
        del members[name]


def _left(name: str, members: Mapping[str, Raw]) -> list[str]:
    return [f"{name}.{member}" for member, value in members.items() if not idle(value)]


def write_params(request: Request) -> dict[str, Any]:
    """The fields in Responses' names; ``text`` without its format.

    Raises:
        Untranslatable: a field that this format has not.
    """
    params = translatable_params(request.params)
    written: dict[str, Any] = {}
    for name, value in params.items():
        if name in _HINTS or name == "prediction" or bytes(value) == b"null":
            continue
        if name in _CHAT_ONLY:
            _check_chat_only(name, value, request)
        elif name == "reasoning_effort":
            written["reasoning"] = {"effort": value}
        elif name == "verbosity":
            written["text"] = {"verbosity": value}
        elif name == "tool_choice":
            written["tool_choice"] = write_choice(value)
        elif name not in ("max_tokens", "max_completion_tokens"):
            written[name] = value
    for name in ("max_completion_tokens", "max_tokens"):
        if bytes(params.get(name, NULL)) != b"null":
            return written | {"max_output_tokens": params[name]}
    return written


def _check_chat_only(name: str, value: Raw, request: Request) -> None:
    if bytes(value).translate(None, b" \t\r\n") not in _CHAT_ONLY[name]:
        raise cannot_say(_CALLERS_NAMES.get((request.format, name), name))
