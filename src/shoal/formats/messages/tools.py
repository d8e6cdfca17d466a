"""Tools and the choice among them. Tools that the provider runs itself, or whose schema it keeps,
have no equal in another format: they stay the text they came in, and are named."""

import msgspec
from msgspec import Raw, Struct

from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats.json_text import members_or_none, word_of

_SAID = frozenset(("type", "name", "description", "input_schema", "strict"))
_HINTS = frozenset(("cache_control", "eager_input_streaming", "input_examples"))
_NOTHING = (b"null", b"false")
_ANY_OBJECT: dict[str, object] = {"type": "object", "properties": {}}


class _Function(Struct):
    name: str = ""
    description: str | None = None
    parameters: dict[str, Raw] | None = None
    strict: bool | None = None


class _Tool(Struct):
    type: str = "function"
    function: _Function | None = None


class _Choice(Struct):
    type: str = ""
    name: str = ""
    function: _Function | None = None
    disable_parallel_tool_use: bool | None = None


_RAWS = msgspec.json.Decoder(list[Raw])
_TOOL = msgspec.json.Decoder(_Tool)
_CHOICE = msgspec.json.Decoder(_Choice)
_WORDS = {"auto": "auto", "any": "required", "none": "none"}
_TYPES = {word: kind for kind, word in _WORDS.items()}


def read_tools(tools: str) -> tuple[str, list[str]]:
    """Chat Completions' list of these tools, and the names of those that stayed what they were.

    Raises:
        MalformedRequest: it is no list.
    """
    if not tools:
        return "", []
    read: list[object] = []
    strange: list[str] = []
    for index, raw in enumerate(_RAWS.decode(tools)):
        place = f"tools[{index}]"
        members = members_or_none(bytes(raw))
        if members is None:
            raise MalformedRequest(f"{place}: expected an object", place)
        odd = _oddity(members)
        strange += [f"{place} ({odd})"] if odd else []
        read.append(raw if odd else _function(members))
    return msgspec.json.encode(read).decode(), strange


def _oddity(members: dict[str, Raw]) -> str:
    """What about a tool no other format has; "" if it is a plain function."""
    if "type" in members and word_of(members["type"]) != "custom":
        return word_of(members["type"]) or "type"
    extra = members.keys() - _SAID - _HINTS
    return next((name for name in sorted(extra) if bytes(members[name]) not in _NOTHING), "")


def _function(members: dict[str, Raw]) -> dict[str, object]:
    names = {"name": "name", "description": "description", "input_schema": "parameters"}
    given = {name: members[own] for own, name in names.items() if own in members}
    if bytes(members.get("strict", Raw(b"null"))) == b"true":
        given["strict"] = members["strict"]
    return {"type": "function", "function": given}


def write_tools(tools: str, own: bool) -> list[object]:
    """Tools as Messages writes them. ``own``: the request came in this format.

    Raises:
        Untranslatable: one of them is no function.
    """
    raws = _RAWS.decode(tools) if tools else []
    return [_tool(raw, f"tools[{index}]", own) for index, raw in enumerate(raws)]


def _tool(raw: Raw, place: str, own: bool) -> object:
    try:
        tool = _TOOL.decode(raw)
    except msgspec.DecodeError:
        tool = _Tool("of this form")
    if tool.type == "function" and (function := tool.function) is not None:
        described = {} if function.description is None else {"description": function.description}
        schema = {**_ANY_OBJECT, **(function.parameters or {})}
        strict = {"strict": True} if function.strict else {}
        return {"name": function.name, **described, "input_schema": schema, **strict}
    if own:
        return raw
    raise Untranslatable(f"{place} ({tool.type}): Messages knows functions only", place)


def read_choice(choice: Raw) -> dict[str, object] | None:
    """The members that Chat Completions has for a choice of tools; None for an unknown choice."""
    try:
        wire = _CHOICE.decode(choice)
    except msgspec.DecodeError:
        return None
    chosen: object = _WORDS.get(wire.type)
    if wire.type == "tool":
        chosen = {"type": "function", "function": {"name": wire.name}}
    if chosen is None:
        return None
    parallel = {"parallel_tool_calls": False} if wire.disable_parallel_tool_use else {}
    return {"tool_choice": chosen, **parallel}


def write_choice(choice: Raw | None, parallel: Raw | None) -> dict[str, object] | None:
    """Messages' choice of tools; None if nothing is to be said.

    Raises:
        Untranslatable: Messages has no such choice.
    """
    one = parallel is not None and bytes(parallel) == b"false"
    wire = _written_choice(choice)
    if one and wire != {"type": "none"}:
        wire = {**(wire or {"type": "auto"}), "disable_parallel_tool_use": True}
    return wire


def _written_choice(choice: Raw | None) -> dict[str, object] | None:
    if choice is None or bytes(choice) == b"null":
        return None
    word = word_of(choice)
    if word in _TYPES:
        return {"type": _TYPES[word]}
    try:
        wire = _CHOICE.decode(choice)
    except msgspec.DecodeError:
        wire = _Choice(word or "of this form")
    if wire.type == "function" and wire.function is not None:
        return {"type": "tool", "name": wire.function.name}
    raise Untranslatable(f"tool_choice ({wire.type}): Messages has no such choice", "tool_choice")
