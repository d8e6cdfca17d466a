"""Tools, the choice among them, and the form of the text: flat here, nested in Chat Completions."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from shoal.formats.json_text import members_of, members_or_none
from shoal.formats.responses.parts import cannot_say
from shoal.formats.responses.wire_items import kind_of

IDLE = frozenset((b"null", b"false", b"0", b"0.0", b'""', b"[]", b"{}"))
"""Values of a field that ask for nothing."""

_LIST = msgspec.json.Decoder(list[Raw])
_FUNCTION = ("name", "description", "parameters")
_CUSTOM = ("name", "description")

Members = dict[str, object]


def idle(value: Raw) -> bool:
    """Whether a field of this value asks for nothing."""
    return bytes(value) in IDLE


def read_tools(tools: str, missing: list[str]) -> str:
    """The list of tools; those that Chat Completions has not stay as they came."""
    if not tools:
        return ""
    read = [
        _read_tool(tool, f"tools[{at}]", missing) for at, tool in enumerate(_LIST.decode(tools))
    ]
    return msgspec.json.encode(read).decode()


def _read_tool(tool: Raw, path: str, missing: list[str]) -> object:
    kind, members = kind_of(tool), members_or_none(bytes(tool)) or {}
    if kind not in ("function", "custom"):
        missing.append(f"{path} ({kind or 'of no type'})")
        return tool
    names = _FUNCTION if kind == "function" else _CUSTOM
    inner: Members = {
        name: members[name] for name in names if name in members and not _null(members[name])
    }
    read = {"type", *names}
    if kind == "function":
        read.add("strict")
        if bytes(members.get("strict", b"")) == b"true":  # false is what nested tools begin with
            inner["strict"] = True
    elif "format" in members:
        read.add("format")
        inner["format"] = _nested_grammar(members["format"])
    missing += [f"{path}.{name}" for name, value in members.items() if _more(name, value, read)]
    return {"type": kind, kind: inner}


def _more(name: str, value: Raw, read: set[str]) -> bool:
    """Whether a member asks for something that is not read."""
    return name not in read and not idle(value) and bytes(value) != b'["direct"]'


def _null(value: Raw) -> bool:
    return bytes(value) == b"null"


def _nested_grammar(form: Raw) -> object:
    members = members_or_none(bytes(form)) or {}
    if kind_of(form) != "grammar":
        return form
    grammar = {name: value for name, value in members.items() if name != "type"}
    return {"type": "grammar", "grammar": grammar}


def write_tools(tools: str) -> list[object]:
    """The tools of a chat request, flat.

    Raises:
        Untranslatable: a tool that is neither a function nor custom.
    """
    return [_write_tool(tool, f"tools[{at}]") for at, tool in enumerate(_LIST.decode(tools))]


def _write_tool(tool: Raw, path: str) -> Members:
    kind = kind_of(tool)
    inner = _inner(tool, kind)
    if kind == "function" and inner is not None:
        return {"type": kind, "parameters": None, "strict": False, **inner}
    if kind == "custom" and inner is not None:
        if "format" in inner:
            inner["format"] = _flat_grammar(inner["format"])
        return {"type": kind, **inner}
    raise cannot_say(f"{path} ({kind or 'of no type'})")


def _inner(value: Raw, kind: str) -> Members | None:
    """The members of the object that an object holds under the name of its own type."""
    members = members_or_none(bytes(value)) or {}
    inner = members_or_none(bytes(members[kind])) if kind in members else None
    return None if inner is None else dict(inner)


def _flat_grammar(form: object) -> object:
    assert isinstance(form, Raw)
    grammar = _inner(form, "grammar")
    return form if grammar is None else {"type": "grammar", **grammar}


def read_choice(choice: Raw, missing: list[str]) -> object:
    """The choice among tools; None if Chat Completions has it not."""
    kind, members = kind_of(choice), members_or_none(bytes(choice))
    if members is None:
        return choice  # "auto", "none", "required"
    if kind in ("function", "custom") and "name" in members:
        return {"type": kind, kind: {"name": members["name"]}}
    if kind == "allowed_tools":
        unknown: list[str] = []
        tools = [read_choice(tool, unknown) for tool in _listed(members)]
        if tools and not unknown:
            inner = {"mode": members.get("mode", "auto"), "tools": tools}
            return {"type": kind, kind: inner}
    missing.append(f"tool_choice ({kind or 'of no type'})")
    return None


def _listed(members: Mapping[str, object]) -> list[Raw]:
    tools = members.get("tools")
    try:
        return _LIST.decode(tools) if isinstance(tools, Raw) else []
    except msgspec.ValidationError:
        return []


def write_choice(choice: Raw) -> object:
    """The choice of a chat request, flat.

    Raises:
        Untranslatable: it is none of those known.
    """
    if members_or_none(bytes(choice)) is None:
        return choice
    kind = kind_of(choice)
    inner = _inner(choice, kind)
    if kind in ("function", "custom") and inner is not None:
        return {"type": kind, **inner}
    if kind == "allowed_tools" and inner is not None:
        tools = [write_choice(tool) for tool in _listed(inner)]
        return {"type": kind, **inner, "tools": tools}
    raise cannot_say(f"tool_choice ({kind or 'of no type'})")


def read_text_format(form: Raw) -> str:
    """``text.format`` as a ``response_format``, "" for plain text."""
    kind = kind_of(form)
    if _null(form) or kind == "text":
        return ""
    if kind != "json_schema":
        return bytes(form).decode()
    schema = {name: value for name, value in members_of(bytes(form)).items() if name != "type"}
    return msgspec.json.encode({"type": kind, kind: schema}).decode()


def write_text_format(response_format: str) -> Mapping[str, object]:
    """A ``response_format`` as ``text.format``.

    Raises:
        Untranslatable: it is neither text nor JSON.
    """
    form = Raw(response_format.encode())
    kind = kind_of(form)
    inner = _inner(form, kind) if kind == "json_schema" else {}
    if kind not in ("text", "json_object", "json_schema") or inner is None:
        raise cannot_say(f"response_format ({kind or 'of no type'})")
    return {"type": kind, **inner}
