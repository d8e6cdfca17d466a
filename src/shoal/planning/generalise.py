"""A plan that was run for one goal -> a stored plan, with an input for each value that the goal
states.

    goal      what does order 4711 cost in euros?
    written   {"do": "tool", "tool": "order", "arguments": {"number": 4711}}
    stored    {"do": "tool", "tool": "order", "arguments": {"number": "${input.number}"}}

Numbers and dates are found however the goal writes them, texts word for word but for case and
spacing, and the goal as a whole as ``${input.goal}``. A value that the goal does not state is taken
to belong to the plan. One run cannot tell a value that the goal states by chance from one that it
is about; ``recurring`` finds out with the next.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from shoal.planning.catalogue import Catalogue
from shoal.planning.plan import INPUT, Plan, read_plan
from shoal.planning.planner import GOAL
from shoal.planning.references import Path, only_path, paths_in
from shoal.planning.unifying import PATHS, as_written, escaped, plain
from shoal.tasks.dates import is_iso_date, written_dates
from shoal.tasks.numerals import written_numbers
from shoal.tasks.wording import flattened
from shoal.tools.tool import Json

_STEPS = {"steps", "arms"}  # lists of more of the same
_INNER = {"fallback", "else"}
_CONDITIONS = {"when", "until"}
_VALUES = {"slots", "prompt", "system", "query", "where", "arguments", "over", "result"}
_VALUES |= {"start", "question", "show", "value", "than", "otherwise"}
_NAME = re.compile(r"[^A-Za-z0-9_]+")
_LEAST_WITHIN = 3  # characters of a value that is looked for within longer texts
_TEXT_KEYS = {"prompt", "system", "query", "question", "value", "show", "result", "over", "than"}


class _Slot(Struct, frozen=True):
    name: str
    value: Json
    schema: dict[str, Json]


class Generalised(Struct, frozen=True):
    """A stored plan, and the input with which it is the plan that it was made of."""

    plan: Plan
    slots: dict[str, Json]


def generalise(
    plan: Plan, goal: str, name: str = "", catalogue: Catalogue | None = None
) -> Generalised:
    """Make a stored plan of one that was run. With a catalogue, an argument of a closed set of
    values stays one."""
    work = _Work(goal, catalogue)
    steps = [work.step(step) for step in plain(plan.steps)]
    steps = [work.step(step, again=True) for step in steps]
    given = _given(plan)
    properties: dict[str, Json] = {slot.name: dict(slot.schema) for slot in work.slots}
    if work.whole:
        properties[GOAL] = {"type": "string"}
    takes: dict[str, Json] = {
        "type": "object",
        "properties": {**given, **properties},
        "required": [*given, *properties],
        "additionalProperties": False,
    }
    told = msgspec.to_builtins(plan) | {"steps": steps, "input": takes}
    told["name"] = name or plan.name
    slots: dict[str, Json] = {slot.name: slot.value for slot in work.slots}
    return Generalised(
        read_plan(msgspec.json.encode(told)), slots | ({GOAL: goal} if work.whole else {})
    )


def settled(plan: Plan, name: str, value: Json) -> Plan:
    """A stored plan in which an input is a value of the plan's own again."""
    told = msgspec.to_builtins(plan) | {"steps": _put(plain(plan.steps), name, value)}
    properties, required = plan.input.get("properties"), plan.input.get("required")
    if isinstance(properties, dict):
        kept = {key: one for key, one in properties.items() if key != name}
        told["input"] = {**plan.input, "properties": kept}
    if isinstance(required, list):
        told["input"] = {**told["input"], "required": [one for one in required if one != name]}
    return read_plan(msgspec.json.encode(told))


def _put(value: Any, name: str, put: Json) -> Any:
    match value:
        case dict():
            return {key: _put(one, name, put) for key, one in value.items()}
        case list():
            return [_put(one, name, put) for one in value]
        case str() if "${" in value:
            path = Path(INPUT, (name,))
            if only_path(value) == path:
                return escaped(put)
            same = (one for one in PATHS.finditer(value) if one[1] and only_path(one[0]) == path)
            for found in reversed([*same]):
                value = value[: found.start()] + as_written(put) + value[found.end() :]
            return value
        case _:
            return value


def _given(plan: Plan) -> dict[str, Json]:
    """Inputs that the plan names already, marked as given beside the goal."""
    properties = plan.input.get("properties")
    known = properties if isinstance(properties, dict) else {}
    found: dict[str, Json] = {}
    for path in paths_in(plain(plan.steps)):
        if path.root == INPUT and path.keys:
            key = str(path.keys[0])
            schema = known.get(key)
            found[key] = {**(schema if isinstance(schema, dict) else {}), "given": True}
    return found


class _Work:
    def __init__(self, goal: str, catalogue: Catalogue | None) -> None:
        self._goal, self._flat = goal, flattened(goal)
        self._catalogue = catalogue or Catalogue()
        self._numbers = {one.value for one in written_numbers(goal)} - {None}
        self._dates = {
            day for one in written_dates(goal) for day in (one.day_first, one.month_first)
        }
        self.slots: list[_Slot] = []
        self.whole = False

    def step(self, step: dict[str, Any], again: bool = False) -> dict[str, Any]:
        """A step, or an arm, with inputs for what the goal states; ``again``: also within texts,
        once all inputs are known."""
        found = dict(step)
        for key, value in step.items():
            if key in _STEPS:
                found[key] = [self.step(one, again) for one in value]
            elif key in _INNER and isinstance(value, dict):
                found[key] = self.step(value, again)
            elif key in _CONDITIONS:
                found[key] = [self.step(one, again) for one in value]
            elif key in _VALUES:
                schemas = self._schemas(step) if key == "arguments" else {}
                found[key] = self._within(value) if again else self._value(key, value, schemas)
        return found

    def _schemas(self, step: dict[str, Any]) -> dict[str, Any]:
        """Of a tool's arguments, where they are known."""
        tool = self._catalogue.tools.get(step.get("tool", ""))
        takes = msgspec.json.decode(tool.takes) if tool else {}
        properties = takes.get("properties") if isinstance(takes, dict) else None
        return properties if isinstance(properties, dict) else {}

    def _value(self, key: str, value: Json, schemas: dict[str, Any]) -> Json:
        match value:
            case dict():
                return {
                    name: self._value(name, one, {name: schemas.get(name)})
                    for name, one in value.items()
                }
            case list():
                return [self._value(key, one, {}) for one in value]
            case bool() | None:
                return value
            case int() | float():
                kind = "integer" if isinstance(value, int) else "number"
                return self._slot(key, value, {"type": kind}) if self._states(value) else value
            case str() if "${" in value or not value.strip():
                return value
            case str():
                return self._text(key, value, schemas.get(key))

    def _states(self, number: float) -> bool:
        return float(number) in self._numbers

    def _text(self, key: str, value: str, schema: Any) -> Json:
        if self._flat and flattened(value) == self._flat:
            self.whole = True
            return f"${{{INPUT}.{GOAL}}}"
        if is_iso_date(value) and value in self._dates:
            return self._slot(key, value, {"type": "string", "format": "date"})
        if not _stands_in(flattened(value), self._flat):
            return value
        options = schema.get("enum") if isinstance(schema, dict) else None
        if isinstance(options, list) and all(isinstance(one, str) for one in options):
            return self._slot(key, value, {"enum": options})
        return self._slot(key, value, {"type": "string"})

    def _slot(self, key: str, value: Json, schema: dict[str, Json]) -> str:
        same = (slot for slot in self.slots if slot.value == value and slot.schema == schema)
        slot = next(same, None)
        if slot is None:
            slot = _Slot(self._free(key), value, schema)
            self.slots.append(slot)
        return f"${{{INPUT}.{slot.name}}}"

    def _free(self, key: str) -> str:
        plain = _NAME.sub("_", key).strip("_") or "value"
        name = plain if plain[0].isalpha() else f"v_{plain}"
        name = "text" if name in _TEXT_KEYS else f"{name}_" if name == GOAL else name
        taken = {slot.name for slot in self.slots}
        numbered = (f"{name}_{nth}" for nth in count(2))
        return name if name not in taken else next(one for one in numbered if one not in taken)

    def _within(self, value: Json) -> Json:
        match value:
            case dict():
                return {key: self._within(one) for key, one in value.items()}
            case list():
                return [self._within(one) for one in value]
            case str():
                return "".join(self._parts(value))
            case _:
                return value

    def _parts(self, text: str) -> Iterator[str]:
        """A text with the inputs that stand in it, word for word, outside of its paths."""
        at = 0
        for found in PATHS.finditer(text):
            yield self._replaced(text[at : found.start()])
            yield found[0]
            at = found.end()
        yield self._replaced(text[at:])

    def _replaced(self, plain: str) -> str:
        if len(self._goal) >= _LEAST_WITHIN and self._goal in plain:
            self.whole = True
            return f"${{{INPUT}.{GOAL}}}".join(map(self._replaced, plain.split(self._goal)))
        for slot in sorted(self.slots, key=lambda one: -len(str(one.value))):
            written = str(slot.value)
            if len(written) < _LEAST_WITHIN or "$" in written:
                continue
            before, found, after = _cut(plain, written)
            if found:
                path = f"${{{INPUT}.{slot.name}}}"
                return f"{self._replaced(before)}{path}{self._replaced(after)}"
        return plain


def _cut(text: str, word: str) -> tuple[str, bool, str]:
    """A text before and after a word."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)
    return (text[: found.start()], True, text[found.end() :]) if found else (text, False, "")


def _stands_in(text: str, whole: str) -> bool:
    return bool(text) and _cut(whole, text)[1]
