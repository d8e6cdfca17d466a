"""How far a loop over a list has come, and whether it has found what it looks for.

Agents walk through lists: a result names five orders, and each is looked up in turn, until all have
been seen or one is what the user spoke of. What this module does not know: which tool it is that
walks, and whether it should.
"""

from collections.abc import Mapping
from typing import NamedTuple

from shoal.specialists.calls.candidates import Candidate
from shoal.specialists.calls.schema import Tool, arguments_of, canonical
from shoal.specialists.calls.situation import Situation

COLUMNS = (
    "calls of it in a row",
    "left of the list it walks through",
    "seen of the list it walks through",
    "skipped of the list it walks through",
    "what the user said in the last result",
    "what the user said in the last result, beyond earlier ones",
)
_NONE = -1.0


class Progress(NamedTuple):
    """What a conversation shows: the tools called since anybody last talked, the last first; where
    each list's items stand; and what results share with the user's words."""

    run: list[str]
    lists: Mapping[tuple[int, str], list[tuple[int, Candidate]]]
    found: float
    surplus: float


def progress_of(situation: Situation) -> Progress:
    """Read it off a conversation."""
    run: list[str] = []
    for message in reversed(situation.messages):
        if message.role == "user" or (message.role == "assistant" and not message.tool_calls):
            break
        run += [call.name for call in reversed(message.tool_calls)]
    lists: dict[tuple[int, str], list[tuple[int, Candidate]]] = {}
    shared: dict[int, int] = {}
    for candidate in situation.stated.values():
        roles = {place.mention.role for place in candidate.places}
        told = "user" in roles and "call" not in roles and candidate.type in ("string", "number")
        for back, mention in candidate.places:
            if mention.role != "tool":
                continue
            if "[]" in mention.source:
                lists.setdefault((back, mention.source), []).append((mention.order, candidate))
            if told:
                shared[back] = shared.get(back, 0) + 1
    last = situation.messages[-1] if situation.messages else None
    if last is None or last.role != "tool":
        return Progress(run, lists, _NONE, _NONE)
    earlier = [
        shared.get(back, 0)
        for back, message in enumerate(reversed(situation.messages))
        if back and message.role == "tool" and message.name == last.name
    ]
    found = shared.get(0, 0)
    return Progress(run, lists, found, found - max(earlier, default=0))


def columns(progress: Progress, situation: Situation, tool: Tool) -> list[float]:
    """The numbers (len(COLUMNS),) of a tool."""
    row = 0
    while row < len(progress.run) and progress.run[row] == tool.name:
        row += 1
    return [row, *_walk(progress, situation, tool), progress.found, progress.surplus]


def _walk(progress: Progress, situation: Situation, tool: Tool) -> tuple[float, float, float]:
    """Of the list from which the tool was last called: the items behind the last that no call of it
    has used, those that one has, and those before that none has."""
    name = next((argument.name for argument in tool.arguments if argument.required), "")
    last = _last_value(situation, tool, name)
    candidate = situation.stated.get(last) if last else None
    if candidate is None:
        return _NONE, _NONE, _NONE
    source = f"call {tool.name} {name}"
    best = (_NONE, _NONE, _NONE)
    for back, mention in candidate.places:
        if mention.role != "tool" or "[]" not in mention.source:
            continue
        left = seen = skipped = 0
        for order, item in progress.lists[back, mention.source]:
            used = any(place.mention.source == source for place in item.places)
            seen += used
            left += not used and order > mention.order
            skipped += not used and order < mention.order
        best = max(best, (left, seen, skipped), key=lambda found: found[1])
    return best


def _last_value(situation: Situation, tool: Tool, name: str) -> str:
    for message in reversed(situation.messages):
        for call in reversed(message.tool_calls):
            if call.name == tool.name:
                value = (arguments_of(call) or {}).get(name)
                return "" if value is None else canonical(value)
    return ""
