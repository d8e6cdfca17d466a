"""Recorded calls of tools as canonical text, whatever format a model writes them in."""

import ast
import json
import re
from typing import Any

_TAGGED = re.compile(r"<(?:tool_call|functioncall|function_call)>\s*(\{.*?\})\s*(?:</|$|<)", re.S)
_FENCE = re.compile(r"```(?:json|python)?\s*(.*?)```", re.S)

Call = tuple[str, dict[str, Any]]


def calls_in(text: str) -> tuple[Call, ...] | None:
    """The calls that an answer makes, () for none, None where they cannot be read.

    Models write JSON objects (name and arguments, or the name as the key), tagged JSON, or Python;
    prose without any of these makes no call.
    """
    text = text.strip()
    if text in ("", "[]", "[ ]"):
        return ()
    tagged = _TAGGED.findall(text)
    if tagged:
        return _from_json("[" + ",".join(tagged) + "]")
    fenced = _FENCE.search(text)
    body = fenced.group(1).strip() if fenced else text
    found = _from_json(body)
    if found is None:
        found = _from_python(body)
    return () if found is None and not re.search(r"\w\(.*=", text, re.S) else found


def canonical(text: str) -> str | None:
    """Calls as one text, equal if the calls are: in any order, names with ``_`` for ``.``, 1.0 as
    1; None where they cannot be read."""
    calls = calls_in(text)
    if calls is None:
        return None
    plain = [[_name(name), _plain(given)] for name, given in calls]
    return "\n".join(sorted(json.dumps(one, sort_keys=True, default=str) for one in plain))


def _name(name: str) -> str:
    return name.strip().replace(".", "_").lower()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value).strip().lower()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _from_json(text: str) -> tuple[Call, ...] | None:
    try:
        decoded = json.loads(text)
    except ValueError:
        return None
    if isinstance(decoded, dict):
        decoded = decoded.get("tool_calls", [decoded])
    if not isinstance(decoded, list):
        return None
    found = [_of_object(one) for one in decoded]
    return None if any(one is None for one in found) else tuple(one for one in found if one)


def _of_object(one: Any) -> Call | None:
    if not isinstance(one, dict) or not one:
        return None
    one = one.get("function", one) if isinstance(one.get("function"), dict) else one
    if "name" in one:
        name, given = one["name"], one.get("arguments", one.get("parameters", {}))
    elif len(one) == 1:
        ((name, given),) = one.items()
    else:
        return None
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}")
        except ValueError:
            return None
    return (str(name), given) if isinstance(given, dict) else None


def _from_python(text: str) -> tuple[Call, ...] | None:
    try:
        body = ast.parse(text.strip().rstrip(";"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    nodes = body.elts if isinstance(body, ast.List | ast.Tuple) else [body]
    found: list[Call] = []
    for node in nodes:
        if not isinstance(node, ast.Call):
            return None
        given = {word.arg or "**": _value(word.value) for word in node.keywords}
        given |= {str(at): _value(arg) for at, arg in enumerate(node.args)}
        found.append((ast.unparse(node.func), given))
    return tuple(found)


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
