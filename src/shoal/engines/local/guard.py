"""From a request to what llama.cpp is sent: only what it knows, within bounds that it stands.

A field that changes nothing of what a local model does is left out; one that it could not obey is
refused, so that nobody is answered as if it had been.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from shoal.chat import Answer, Request
from shoal.engines.local.schemas import Held, check_grammar, check_schema, held_to
from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats import FORMATS
from shoal.formats.json_text import members_of
from shoal.formats.wire_format import Target

_MOST_STOPS, _LONGEST_STOP = 64, 1_000
_MOST_BIASES, _MOST_ALTERNATIVES = 1_000, 20
_MOST_TOOLS = 256
_WHOLE = 2**31 - 1
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repeat_penalty": (0.1, 10),
}
_KEPT = ("messages", "tools", "tool_choice", "parallel_tool_calls", "stream")


class _Params(Struct):
    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repeat_penalty: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    parallel_tool_calls: bool | None = None
    ignore_eos: bool | None = None
    grammar: str | UnsetType = UNSET
    chat_template_kwargs: dict[str, bool | int | float | str | None] | None = None


class _Function(Struct):
    name: str
    parameters: Raw = Raw(b"{}")


class _Tool(Struct):
    function: _Function | None = None
    type: str = "function"


class _Schema(Struct):
    schema: Raw = Raw(b"{}")


class _ResponseFormat(Struct):
    type: str
    json_schema: _Schema | None = None
    schema: Raw | UnsetType = UNSET


class _Kind(Struct):
    type: str = ""


_PARAMS = msgspec.json.Decoder(_Params)
_TOOLS = msgspec.json.Decoder(list[_Tool])
_FORMAT = msgspec.json.Decoder(_ResponseFormat)
_PARTS = msgspec.json.Decoder(list[_Kind])


class Asked(Struct, frozen=True):
    """A request, read and checked: its parameters, and what its answer is to be held to."""

    request: Request
    params: "_Params"
    held: Held | None = None


def breaks(asked: Asked, answer: Answer) -> bool:
    """Whether an answer breaks the schema that it should have been held to."""
    if asked.held is None or answer.tool_calls:
        return False
    return not asked.held.keeps(answer.text, answer.finish_reason == "length")


def read_asked(request: Request) -> Asked:
    """A request as a local model is asked it.

    Raises:
        MalformedRequest: a field is of the wrong type, or beyond its bounds.
        Untranslatable: it asks for what a local model cannot do.
    """
    params = read_params(request)
    _check_messages(request)
    held = _held(request.response_format) if request.response_format else None
    if held is not None and params.grammar is not UNSET:
        raise MalformedRequest("grammar: not together with response_format", "grammar")
    if held is not None and request.tools:
        raise Untranslatable("response_format: not together with tools", "response_format")
    _check_tools(request)
    return Asked(request, params, held)


def local_body(asked: Asked, adapters: int, adapter: int | None, scale: float = 1.0) -> bytes:
    """What llama.cpp is sent: of the ``adapters`` that it has loaded the one numbered ``adapter``
    is in force, none for None."""
    fields: dict[str, Any] = dict(_sampling(asked.params))
    if asked.held is not None:
        fields["grammar"] = asked.held.grammar
    fields["lora"] = [
        {"id": index, "scale": scale if index == adapter else 0.0} for index in range(adapters)
    ]
    fields["cache_prompt"] = adapters == 0  # what an adapter has read the base would read wrong
    if asked.request.stream:
        fields["stream_options"] = {"include_usage": True}
    whole = members_of(FORMATS["chat"].encode_request(asked.request, Target("m", False)))
    kept = {name: whole[name] for name in _KEPT if name in whole}
    return msgspec.json.encode(kept | fields)


def read_params(request: Request) -> _Params:
    """The parameters that a local model obeys, checked.

    Raises:
        MalformedRequest: one is of the wrong type, or beyond its bounds.
        Untranslatable: more than one answer is asked for.
    """
    try:
        params = _PARAMS.decode(request.params)
    except msgspec.ValidationError as error:
        raise MalformedRequest(f"a parameter is of the wrong type: {error}", None) from None
    for name, (least, most) in _RANGES.items():
        value = getattr(params, name)
        if value is not None and not least <= value <= most:
            raise _beyond(name, f"from {least:g} to {most:g}")
    if params.n not in (None, 1):
        raise Untranslatable("n: a local model gives one answer at a time", "n")
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(params, name)
        if value is not None and not 1 <= value <= _WHOLE:
            raise _beyond(name, f"from 1 to {_WHOLE:,}")
    if params.top_k is not None and not 0 <= params.top_k <= _WHOLE:
        raise _beyond("top_k", f"from 0 to {_WHOLE:,}")
    if params.top_logprobs is not None and not 0 <= params.top_logprobs <= _MOST_ALTERNATIVES:
        raise _beyond("top_logprobs", f"from 0 to {_MOST_ALTERNATIVES}")
    if isinstance(params.grammar, str):
        check_grammar(params.grammar, "grammar")
    _check_lists(params)
    return params


def _check_lists(params: _Params) -> None:
    stops = [params.stop] if isinstance(params.stop, str) else params.stop or []
    if len(stops) > _MOST_STOPS or any(not 0 < len(stop) <= _LONGEST_STOP for stop in stops):
        raise _beyond("stop", f"at most {_MOST_STOPS} texts of 1 to {_LONGEST_STOP:,} characters")
    for token, bias in (params.logit_bias or {}).items():
        if (
            not (token.isascii() and token.isdecimal() and len(token) < 10)
            or not -100 <= bias <= 100
        ):
            raise _beyond("logit_bias", "numbers of tokens, each with a number from -100 to 100")
    if len(params.logit_bias or {}) > _MOST_BIASES:
        raise _beyond("logit_bias", f"at most {_MOST_BIASES:,} tokens")


def _sampling(params: _Params) -> dict[str, object]:
    """The parameters in llama.cpp's words."""
    plain = (*_RANGES, "top_k", "ignore_eos", "chat_template_kwargs")
    found = {name: getattr(params, name) for name in plain}
    found["seed"] = None if params.seed is None else params.seed & _WHOLE
    found["max_tokens"] = params.max_completion_tokens or params.max_tokens
    found["stop"] = [params.stop] if isinstance(params.stop, str) else params.stop
    if params.logprobs:
        found |= {"logprobs": True, "top_logprobs": params.top_logprobs or 1}
    if params.logit_bias:
        found["logit_bias"] = [[int(token), bias] for token, bias in params.logit_bias.items()]
    if isinstance(params.grammar, str):
        found["grammar"] = params.grammar
    return {name: value for name, value in found.items() if value is not None}


def _check_messages(request: Request) -> None:
    for index, message in enumerate(request.messages):
        if not message.parts:
            continue
        for kind in {part.type for part in _PARTS.decode(message.parts)} - {"text", "refusal"}:
            place = f"messages[{index}].content"
            raise Untranslatable(f"{place}: a local model reads text, and no {kind}", place)


def _check_tools(request: Request) -> None:
    if not request.tools:
        return
    try:
        tools = _TOOLS.decode(request.tools)
    except msgspec.ValidationError as error:
        raise MalformedRequest(f"tools: {error}", "tools") from None
    if len(tools) > _MOST_TOOLS:
        raise _beyond("tools", f"at most {_MOST_TOOLS}")
    for index, tool in enumerate(tools):
        if tool.function is None:
            raise Untranslatable(f"tools[{index}]: a local model has functions alone", "tools")
        check_schema(bytes(tool.function.parameters), f"tools[{index}].function.parameters")


def _held(text: str) -> Held | None:
    """What a response format holds an answer to; None for any text."""
    try:
        asked = _FORMAT.decode(text)
    except msgspec.ValidationError as error:
        raise MalformedRequest(f"response_format: {error}", "response_format") from None
    if asked.type == "json_schema":
        if asked.json_schema is None:
            raise MalformedRequest("response_format.json_schema is missing", "response_format")
        place = "response_format.json_schema.schema"
        return held_to(bytes(asked.json_schema.schema), place)
    if asked.type == "json_object":
        schema = b'{"type":"object"}' if isinstance(asked.schema, UnsetType) else asked.schema
        return held_to(bytes(schema), "response_format.schema")
    if asked.type != "text":
        raise Untranslatable(f"response_format.type: no {asked.type!r} here", "response_format")
    return None


def _beyond(name: str, expected: str) -> MalformedRequest:
    return MalformedRequest(f"{name}: expected {expected}", name)
