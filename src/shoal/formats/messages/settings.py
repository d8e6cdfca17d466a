"""All that a request says besides its conversation and its tools.

What changes the answer and has no equal is refused, by name; what does not (``_HINTS``) is left
out. A request that is written anew in its own format keeps every field it came with.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from shoal.errors import Untranslatable
from shoal.formats.json_text import join_members, members_of, members_or_none, word_of
from shoal.formats.messages.tools import read_choice, write_choice
from shoal.formats.untranslatable import UNTRANSLATABLE
from shoal.formats.wire_format import Target

OWN = "shoal:messages"
"""The member of ``Request.params`` that holds fields of Messages as they came."""

_READ = frozenset(("model", "messages", "system", "tools", "stream"))
_SAME = {
    "max_tokens": "max_completion_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}
_HINTS = frozenset(
    ("cache_control", "service_tier", "speed", "diagnostics", "user_profile_id", "metadata")
)
_NULL = Raw(b"null")
_LOW, _MEDIUM = 4_096, 16_384  # tokens of thinking that a low and a medium effort may take
_NAME = "answer"  # Chat Completions wants a name for a schema, Messages has none

_CHAT_HINTS = frozenset(
    (
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "seed",
        "service_tier",
        "store",
        "stream_options",
    )
)
_NEUTRAL: Mapping[str, object] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "presence_penalty": 0,
    "top_logprobs": 0,
    "verbosity": "medium",
}
_WRITTEN = frozenset(
    (
        "max_completion_tokens",
        "max_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "safety_identifier",
        "stop",
        "temperature",
        "tool_choice",
        "top_k",
        "top_p",
        "user",
    )
)
_EFFORTS_READ = {"max": "xhigh"}
_EFFORTS_WRITTEN = {"minimal": "low"}


class Settings(msgspec.Struct):
    """Settings on their way from Messages: Chat Completions' members, its response format, and the
    names of fields that it has not."""

    params: dict[str, bytes | Raw] = {}
    response_format: str = ""
    strange: list[str] = []

    def text(self, strange: list[str]) -> str:
        """``Request.params``; ``strange`` are names from elsewhere in the request."""
        names = [*strange, *self.strange]
        refused = {UNTRANSLATABLE: msgspec.json.encode(names)} if names else {}
        return join_members({**self.params, **refused}).decode()


def read_settings(fields: Mapping[str, Raw]) -> Settings:
    """Read every field but the conversation, the tools and the model."""
    settings = Settings()
    own: dict[str, bytes | Raw] = {}
    for name, value in fields.items():
        if name in _READ or bytes(value) == b"null":
            continue
        if name in _SAME:
            settings.params[_SAME[name]] = value
        elif not (name == "tool_choice" and _take(settings, read_choice(value))):
            own[name] = value
            if name not in _HINTS:
                settings.strange += _strange(settings, name, value)
    _take(settings, _user(fields.get("metadata", _NULL)))
    _take(settings, _effort(fields))
    if own:
        settings.params[OWN] = join_members(own)
    return settings


def _take(settings: Settings, members: Mapping[str, object] | None) -> bool:
    for name, value in (members or {}).items():
        settings.params[name] = msgspec.json.encode(value)
    return members is not None


def _strange(settings: Settings, name: str, value: Raw) -> list[str]:
    """The names of what a field asks for and Chat Completions has not."""
    if name == "thinking":
        return []
    if name == "output_format":
        return _read_format(settings, name, value)
    members = members_or_none(bytes(value)) if name == "output_config" else None
    if members is None:
        return [name]
    names = [f"{name}.{member}" for member in members if member not in ("effort", "format")]
    if bytes(members.get("format", _NULL)) != b"null":
        names += _read_format(settings, f"{name}.format", members["format"])
    return names


def _read_format(settings: Settings, place: str, value: Raw) -> list[str]:
    members = members_or_none(bytes(value)) or {}
    kind = word_of(members.get("type"))
    if kind != "json_schema" or "schema" not in members:
        return [f"{place} ({kind})"]
    schema = {"name": _NAME, "schema": members["schema"], "strict": True}
    wire = {"type": "json_schema", "json_schema": schema}
    settings.response_format = msgspec.json.encode(wire).decode()
    return []


def _user(metadata: Raw) -> dict[str, object]:
    user = (members_or_none(bytes(metadata)) or {}).get("user_id", _NULL)
    return {} if bytes(user) == b"null" else {"user": user}


def _effort(fields: Mapping[str, Raw]) -> dict[str, object]:
    """How much is to be thought: from ``thinking``, or from ``output_config.effort``."""
    thinking = members_or_none(bytes(fields.get("thinking", _NULL))) or {}
    output = members_or_none(bytes(fields.get("output_config", _NULL))) or {}
    kind, budget = word_of(thinking.get("type")), bytes(thinking.get("budget_tokens", _NULL))
    effort = word_of(output.get("effort"))
    if kind == "disabled":
        effort = "none"
    elif not effort and kind == "enabled" and budget.isdigit():
        tokens = int(budget)
        effort = "low" if tokens <= _LOW else "medium" if tokens <= _MEDIUM else "high"
    return {"reasoning_effort": _EFFORTS_READ.get(effort, effort)} if effort else {}


def write_settings(params: Mapping[str, Raw], target: Target, tools: bool) -> dict[str, object]:
    """Messages' fields for Chat Completions' ``params``; ``tools``: whether there are any.

    Raises:
        Untranslatable: one of them changes the answer and has no equal.
    """
    given = {name: value for name, value in params.items() if bytes(value) != b"null"}
    for name, value in given.items():
        if name not in _WRITTEN and name not in _CHAT_HINTS and not _neutral(name, value):
            raise Untranslatable(f"{name}: Messages has no such field", name)
    limit = given.get("max_completion_tokens", given.get("max_tokens"))
    fields: dict[str, object] = {"max_tokens": target.output_tokens if limit is None else limit}
    fields |= {name: given[name] for name in ("temperature", "top_p", "top_k") if name in given}
    _check_temperature(given.get("temperature", _NULL))
    if "stop" in given:
        stop = given["stop"]
        fields["stop_sequences"] = [stop] if bytes(stop).startswith(b'"') else stop
    choice = write_choice(given.get("tool_choice"), given.get("parallel_tool_calls"))
    if tools and choice is not None:
        fields["tool_choice"] = choice
    user = given.get("safety_identifier", given.get("user"))
    fields |= {} if user is None else {"metadata": {"user_id": user}}
    return fields | _thinking(given.get("reasoning_effort"))


def _neutral(name: str, value: Raw) -> bool:
    return name in _NEUTRAL and msgspec.json.decode(value) == _NEUTRAL[name]


def _check_temperature(value: Raw) -> None:
    temperature = msgspec.json.decode(value)
    if isinstance(temperature, int | float) and temperature > 1:
        said = f"temperature: {temperature:g} is more than 1, the most that Messages takes"
        raise Untranslatable(said, "temperature")


def _thinking(effort: Raw | None) -> dict[str, object]:
    if effort is None:
        return {}
    said = word_of(effort)
    if said == "none":
        return {"thinking": {"type": "disabled"}}
    written = _EFFORTS_WRITTEN.get(said) or effort
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": written}}


def own_settings(params: dict[str, Raw]) -> dict[str, Raw]:
    """The fields that a request of this format came with, taken out of ``params`` together with
    what was made of them for others."""
    if OWN not in params:
        return {}
    for name in ("reasoning_effort", "user"):
        params.pop(name, None)
    return members_of(params.pop(OWN))


def write_format(response_format: str) -> dict[str, object]:
    """The ``format`` of ``output_config`` for Chat Completions' response format.

    Raises:
        Untranslatable: it is no schema.
    """
    members = members_of(response_format.encode()) if response_format else {}
    kind = word_of(members.get("type"))
    if kind in ("", "text"):
        return {}
    schema = (members_or_none(bytes(members.get("json_schema", _NULL))) or {}).get("schema")
    if kind != "json_schema" or schema is None:
        said = f"response_format ({kind}): Messages takes a schema (json_schema) or nothing"
        raise Untranslatable(said, "response_format")
    return {"format": {"type": "json_schema", "schema": schema}}
