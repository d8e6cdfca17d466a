"""Whether a plan is a stored one with other values, and with which.

The names of steps and loops do not matter, nor the order in which steps are written: what waits for
what follows from paths. Each ``${input.x}`` of the stored plan stands for a value of the other.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import MalformedRequest
from shoal.formats.json_schema import breach
from shoal.planning.plan import INPUT, Plan, Step
from shoal.planning.references import Path, only_path, paths_in
from shoal.planning.shape import walk
from shoal.tasks.dates import is_iso_date
from shoal.tasks.wording import number_in
from shoal.tools.tool import Json

PATHS = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
"""A path in a text, or the sign that is none."""

_MOST_STEPS, _MOST_TRIES, _MOST_TEXT, _MOST_UNKNOWN = 60, 20_000, 4_000, 3
_ROOT = r"[A-Za-z_][A-Za-z0-9_-]*"


class _State(Struct, frozen=True):
    """What stands for what so far: inputs for values, names for names, both ways."""

    bound: dict[str, Json]
    names: dict[str, str]
    back: dict[str, str]
    later: tuple[tuple[list[str], list[str]], ...] = ()


class Form(Struct, frozen=True):
    """A plan made ready to be compared with many: how many steps it has, those within others too,
    and its steps as their JSON is read."""

    plan: Plan
    count: int
    steps: Sequence[Any]

    @classmethod
    def of(cls, plan: Plan) -> "Form":
        """That of a plan."""
        return cls(plan, sum(1 for _ in walk(plan.steps)), plain(plan.steps))


def unify(stored: Plan, plan: Plan) -> dict[str, Json] | None:
    """The input with which ``stored`` is ``plan``; None if there is none, or it would take too long
    to find (a plan of many steps that all look alike). An argument that is an input which is not
    required may be missing from ``plan``."""
    return unify_forms(Form.of(stored), Form.of(plan))


def unify_forms(stored: Form, plan: Form) -> dict[str, Json] | None:
    """As ``unify``."""
    if stored.count != plan.count or stored.count > _MOST_STEPS:
        return None
    matching = _Matching(stored.plan)
    try:
        found = matching.steps(stored.steps, plan.steps, _State({}, {INPUT: INPUT}, {INPUT: INPUT}))
        return next((one.bound for one in found if matching.holds(one)), None)
    except (_TooLong, MalformedRequest):
        return None


class _TooLong(Exception):
    """More was tried than is worth it."""


class _Matching:
    def __init__(self, stored: Plan) -> None:
        properties = stored.input.get("properties")
        self._takes: Mapping[str, Json] = properties if isinstance(properties, dict) else {}
        required = stored.input.get("required")
        self._required = set(map(str, required)) if isinstance(required, list) else set[str]()
        self._left = _MOST_TRIES

    def holds(self, state: _State) -> bool:
        """Whether all inputs are known, and steps wait for the same steps."""
        needed = {name for name in self._required if not is_given(self._takes.get(name))}
        return needed <= set(state.bound) and all(
            {state.names.get(name) for name in ours} == set(theirs) for ours, theirs in state.later
        )

    def steps(self, ours: Sequence[Any], theirs: Sequence[Any], state: _State) -> Iterator[_State]:
        """All ways to find the steps of one block among those of another."""
        if len(ours) != len(theirs):
            return
        if not ours:
            yield state
            return
        for at, one in enumerate(theirs):
            self._left -= 1
            if self._left < 0:
                raise _TooLong
            rest = [*theirs[:at], *theirs[at + 1 :]]
            for found in self._step(ours[0], one, state):
                yield from self.steps(ours[1:], rest, found)

    def _step(self, ours: Any, theirs: Any, state: _State) -> Iterator[_State]:
        if ours.keys() != theirs.keys() or ours["do"] != theirs["do"]:
            return
        named = _named(state, ours["id"], theirs["id"])
        if named is None:
            return
        pairs = []
        for key in sorted(ours.keys() - {"id"}):
            if key == "after":
                named = replace(named, later=(*named.later, (ours[key], theirs[key])))
            else:
                pairs.append((key, ours[key], theirs[key]))
        yield from self._all(pairs, named)

    def _all(self, pairs: Sequence[tuple[str, Any, Any]], state: _State) -> Iterator[_State]:
        if not pairs:
            yield state
            return
        for found in self._part(*pairs[0], state):
            yield from self._all(pairs[1:], found)

    def _part(self, key: str, ours: Any, theirs: Any, state: _State) -> Iterator[_State]:
        """A field of a step, or of a branch's arm."""
        match key:
            case "steps":
                yield from self.steps(ours, theirs, state)
            case "fallback":
                yield from self._step(ours, theirs, state)
            case "as":
                named = _named(state, ours, theirs)
                if named is not None:
                    yield named
            case "arms" if len(ours) == len(theirs):
                pairs = [("else", one, other) for one, other in zip(ours, theirs, strict=True)]
                yield from self._all(pairs, state)
            case "arms":
                return
            case "else" if ours.keys() == theirs.keys():
                yield from self._all([(one, ours[one], theirs[one]) for one in sorted(ours)], state)
            case "else":
                return
            case _:
                found = self._value(ours, theirs, state)
                if found is not None:
                    yield found

    def _value(self, ours: Json, theirs: Json, state: _State) -> _State | None:
        match ours, theirs:
            case str(), _:
                return self._text(ours, theirs, state)
            case dict(), dict() if theirs.keys() <= ours.keys():
                if not all(self._may_miss(ours[key]) for key in ours.keys() - theirs.keys()):
                    return None
                pairs = [(ours[key], theirs[key]) for key in theirs]
            case list(), list() if len(ours) == len(theirs):
                pairs = [*zip(ours, theirs, strict=True)]
            case ((dict() | list()), _):
                return None
            case _:
                same = ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool)
                return state if same else None
        for one, other in pairs:
            found = self._value(one, other, state)
            if found is None:
                return None
            state = found
        return state

    def _text(self, ours: str, theirs: Json, state: _State) -> _State | None:
        path = only_path(ours)
        if path is not None and self._is_slot(path):
            if any(True for _ in paths_in(theirs)):
                return None  # another step's result, where the stored plan has an input
            return self._bound(str(path.keys[0]), _unescaped(theirs), state)
        if not isinstance(theirs, str):
            return None
        if path is not None:
            other = only_path(theirs)
            if other is None or other.keys != path.keys:
                return None
            return _named(state, path.root, other.root)
        if "${" not in ours:
            return state if ours == theirs else None
        return self._within(ours, theirs, state)

    def _within(self, ours: str, theirs: str, state: _State) -> _State | None:
        """A text with paths in it."""
        pattern, slots, roots = self._pattern(ours, state)
        if len(theirs) > _MOST_TEXT or len(slots) > _MOST_UNKNOWN:
            return None
        found = re.fullmatch(pattern, theirs, re.DOTALL)
        if found is None:
            return None
        after: _State | None = state
        for group, root in roots.items():
            after = after and _named(after, root, found[group])
        for group, slot in slots.items():
            if "${" in found[group]:
                return None
            after = after and self._bound(slot, self._typed(slot, found[group]), after)
        return after

    def _pattern(self, text: str, state: _State) -> tuple[str, dict[str, str], dict[str, str]]:
        """An expression for a text, the groups that are unknown inputs, and those that are roots
        of paths."""
        pattern, at = "", 0
        slots, roots = dict[str, str](), dict[str, str]()
        for found in PATHS.finditer(text):
            pattern += re.escape(text[at : found.start()])
            at = found.end()
            path = only_path(found[0]) if found[1] is not None else None
            if path is None:
                pattern += re.escape(found[0])
            elif not self._is_slot(path):
                group = f"r{len(roots)}"
                roots[group] = path.root
                keys = str(path).removeprefix(path.root)
                pattern += rf"\$\{{\s*(?P<{group}>{_ROOT}){re.escape(keys)}\s*\}}"
            else:
                slot = str(path.keys[0])
                same = next((group for group, one in slots.items() if one == slot), None)
                if slot in state.bound:
                    pattern += re.escape(as_written(state.bound[slot]))
                elif same:
                    pattern += f"(?P={same})"
                else:
                    slots[f"s{len(slots)}"] = slot
                    pattern += f"(?P<s{len(slots) - 1}>.+?)"
        return pattern + re.escape(text[at:]), slots, roots

    def _is_slot(self, path: Path) -> bool:
        return (
            path.root == INPUT
            and len(path.keys) == 1
            and not is_given(self._takes.get(str(path.keys[0])))
        )

    def _may_miss(self, ours: Json) -> bool:
        """Whether an argument is an input that need not be there."""
        path = only_path(ours)
        return path is not None and self._is_slot(path) and path.keys[0] not in self._required

    def _typed(self, slot: str, text: str) -> Json:
        schema = self._takes.get(slot)
        is_number = isinstance(schema, dict) and schema.get("type") in ("number", "integer")
        number = number_in(text) if is_number else None
        return text if number is None else int(number) if number.is_integer() else number

    def _bound(self, slot: str, value: Json, state: _State) -> _State | None:
        if slot in state.bound:
            known = state.bound[slot]
            same = known == value and isinstance(known, bool) == isinstance(value, bool)
            return state if same else None
        if not keeps(self._takes.get(slot, {}), value):
            return None
        return replace(state, bound={**state.bound, slot: value})


def keeps(schema: Json, value: Json) -> bool:
    """Whether a value may be an input of this schema, a date's form included."""
    if isinstance(schema, dict) and schema.get("format") == "date":
        return isinstance(value, str) and is_iso_date(value)
    return not breach(msgspec.json.encode(schema).decode(), value)


def plain(steps: Sequence[Step]) -> list[Any]:
    """Steps as their JSON is read: dicts, lists and values."""
    found: list[Any] = msgspec.json.decode(msgspec.json.encode(steps))
    return found


def is_given(schema: Json) -> bool:
    """Whether an input of a stored plan is given beside the goal, and not stated in it."""
    return isinstance(schema, dict) and schema.get("given") is True


def _named(state: _State, ours: str, theirs: str) -> _State | None:
    """That one name stands for another, and for no third."""
    if state.names.get(ours, theirs) != theirs or state.back.get(theirs, ours) != ours:
        return None
    return replace(state, names={**state.names, ours: theirs}, back={**state.back, theirs: ours})


def _unescaped(value: Json) -> Json:
    match value:
        case str():
            return value.replace("$${", "${")
        case list():
            return [_unescaped(one) for one in value]
        case dict():
            return {key: _unescaped(one) for key, one in value.items()}
        case _:
            return value


def escaped(value: Json) -> Json:
    """A value as a plan writes it, in which nothing is read as a path."""
    match value:
        case str():
            return value.replace("${", "$${")
        case list():
            return [escaped(one) for one in value]
        case dict():
            return {key: escaped(one) for key, one in value.items()}
        case _:
            return value


def as_written(value: Json) -> str:
    """A value as a plan writes it within a text."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text.replace("${", "$${")
