"""A plan found in what a model wrote: bare JSON, in a code fence, or with prose around it."""

import json
from collections.abc import Iterator

from shoal.encoder.encoder import SURROGATE
from shoal.errors import MalformedRequest
from shoal.planning.plan import Plan, read_plan

_TRIES = 20
_DECODER = json.JSONDecoder()


def plan_in(text: str) -> Plan:
    """The plan that a text holds.

    Raises:
        MalformedRequest: it holds none; says where the likeliest candidate breaks.
    """
    return read_plan(plan_text_in(text))


def plan_text_in(text: str) -> str:
    """The JSON of the plan in a text; the text itself if there is no object in it.

    A plan is an object with ``steps``; one wrapped as ``{"plan": {...}}`` is unwrapped.

    Raises:
        MalformedRequest: there is nothing like a plan in it.
    """
    text = SURROGATE.sub("\ufffd", text)
    first: str | None = None
    for found, written in _objects(text):
        inner = found.get("plan")
        if "steps" not in found and isinstance(inner, dict) and "steps" in inner:
            return json.dumps(inner)
        if "steps" in found:
            return written
        first = first or written
    if first is not None:
        return first
    if "{" not in text:
        raise MalformedRequest("no plan: expected a JSON object, found none")
    return text[text.index("{") :].removesuffix("```")


def _objects(text: str) -> Iterator[tuple[dict[str, object], str]]:
    """JSON objects in a text, outer ones only, with how they are written."""
    at = text.find("{")
    for _ in range(_TRIES):
        if at < 0:
            return
        try:
            found, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found, text[at:end]
        at = text.find("{", end)
