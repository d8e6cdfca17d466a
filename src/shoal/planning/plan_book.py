"""Stored plans as a task: a goal in, the name of a plan and the values of its inputs out.

The contract is a JSON object: ``plan`` is one of the names, or ``other`` for none of them, and each
input that a goal states is a field, copied from it. Plans share the field of an input that has one
name and one form in all of them: what a city is can be learned from every plan that takes one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.chat import Answer
from shoal.errors import ArtifactError, MalformedRequest
from shoal.formats.json_schema import breach
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import check
from shoal.planning.earlier import schemas_of
from shoal.planning.limits import Limits
from shoal.planning.plan import INPUT, Plan
from shoal.planning.plan_text import plan_in
from shoal.planning.planner import GOAL, Planned
from shoal.planning.recurring import OTHER, PlanExample, form_of, known_as
from shoal.planning.unifying import is_given, keeps
from shoal.tasks import Field, FieldsContract, Output, parse, render, same
from shoal.tasks.contract import Scalar, listed, written_list
from shoal.tools.tool import Json

PLAN = "plan"
"""The field that names the plan."""
FILE = "plans.json"


class PlanBook:
    """Stored plans by name.

    Raises:
        MalformedRequest: two of a name, or an input of a form that no goal can state.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = {plan.name: plan for plan in plans}
        if len(self.plans) < len(plans) or OTHER in self.plans:
            raise MalformedRequest(f"stored plans: each needs a name of its own, not {OTHER!r}")
        self._forms = [form_of(plan) for plan in plans]
        forms: dict[str, set[Field]] = {}
        own: dict[str, dict[str, Field]] = {}
        for plan in plans:
            own[plan.name] = {name: _field(plan, name, schema) for name, schema in _stated(plan)}
            for name, field in own[plan.name].items():
                forms.setdefault(name, set()).add(field)
        shared = {name for name, found in forms.items() if len(found) == 1} - {PLAN}
        self._fields: dict[str, dict[str, str]] = {}
        fields: dict[str, Field] = {}
        for plan_name, inner in own.items():
            self._fields[plan_name] = {}
            for name, field in inner.items():
                told = name if name in shared else f"{plan_name}.{name}"
                self._fields[plan_name][name] = told
                fields[told] = Field(told, field.kind, field.labels, optional=True)
        label = Field(PLAN, "label", (*self.plans, OTHER))
        self.contract = FieldsContract((label, *fields.values()))

    def output(self, example: PlanExample) -> dict[str, Scalar]:
        """What is to be answered of this example, as the contract has it.

        Raises:
            MalformedRequest: there is no such plan.
        """
        found: dict[str, Scalar] = {field.name: None for field in self.contract.fields}
        found[PLAN] = example.plan
        if example.plan == OTHER:
            return found
        if example.plan not in self._fields:
            raise MalformedRequest(f"there is no stored plan {example.plan!r}")
        for name, field in self._fields[example.plan].items():
            found[field] = _scalar(example.slots.get(name))
        return found

    def written(self, example: PlanExample) -> str:
        """The answer of this example, as text."""
        return render(self.contract, self.output(example))

    def example(self, goal: str, plan: Plan) -> PlanExample:
        """What a plan that was written for a goal is among these: the reference's own answer."""
        return known_as(self._forms, goal, form_of(plan)) or PlanExample(goal)

    def agrees(self, goal: str, said: Mapping[str, Scalar], plan: Plan) -> bool:
        """Whether what was ``said`` of a goal is the plan that the reference wrote for it, with the
        same values: as in learning."""
        first = Answer(text=render(self.contract, dict(said)))
        return same(self.contract, first, Answer(text=self.written(self.example(goal, plan))))

    def narrowed(self, output: Output | None) -> dict[str, Scalar] | None:
        """An output without values of inputs that its plan does not take; None for no plan."""
        if not isinstance(output, dict) or output.get(PLAN) not in self.plans:
            return None
        own = {PLAN, *self._fields[str(output[PLAN])].values()}
        return {name: value if name in own else None for name, value in output.items()}

    def filled(
        self, goal: str, output: Output | None, given: Mapping[str, Json] | None = None
    ) -> tuple[Plan, dict[str, Json]] | str:
        """The plan that an output names, with its input; what is ``given`` beside the goal goes
        before what the goal states. Or why there is none, in plain words."""
        narrowed = self.narrowed(output)
        if narrowed is None:
            return "it is none of the stored plans"
        plan = self.plans[str(narrowed[PLAN])]
        found: dict[str, Json] = {}
        for name, schema in _inputs(plan).items():
            if given is not None and name in given:
                found[name] = given[name]
            elif name == GOAL:
                found[name] = goal
            elif not is_given(schema):
                value = _value(narrowed[self._fields[plan.name][name]], schema)
                if value is not None:
                    found[name] = value
                else:
                    found |= _missing(plan, name, schema)
        told = _breach(plan, found, known_only=given is None)
        return f"{plan.name}: {told}" if told else (plan, found)

    def read(
        self, goal: str, text: str, given: Mapping[str, Json] | None = None
    ) -> tuple[Plan, dict[str, Json]]:
        """The plan that an answer to a goal is, whoever gave it: one of these, named with its
        inputs, or one that was written out.

        Raises:
            MalformedRequest: it is neither, or the named one cannot be filled in.
        """
        output = parse(self.contract, text)
        if output is None:
            return plan_in(text), dict(given or {})
        found = self.filled(goal, output, given or {})
        if isinstance(found, str):
            raise MalformedRequest(f"no plan: {found}")
        return found

    def planned(
        self,
        goal: str,
        output: Output | None,
        given: Mapping[str, Json],
        catalogue: Catalogue,
        limits: Limits | None = None,
    ) -> Planned | str:
        """As ``filled``, and checked whole against what there is to call now."""
        found = self.filled(goal, output, given)
        if isinstance(found, str):
            return found
        plan, values = found
        checked = check(plan, catalogue, limits, {INPUT: schemas_of(values)})
        if checked.problems:
            return f"{plan.name} cannot be run now: {'; '.join(map(str, checked.problems[:5]))}"
        return Planned(plan, values, warnings=tuple(map(str, checked.warnings)))


def _inputs(plan: Plan) -> Mapping[str, Json]:
    properties = plan.input.get("properties")
    return properties if isinstance(properties, dict) else {}


def _stated(plan: Plan) -> Iterator[tuple[str, Json]]:
    """Inputs that a goal states, with their schemas."""
    for name, schema in _inputs(plan).items():
        if name != GOAL and not is_given(schema):
            yield name, schema


def _field(plan: Plan, name: str, schema: Json) -> Field:
    told = schema if isinstance(schema, dict) else {}
    options = told.get("enum")
    items = told.get("items")
    match _type(told):
        case "number" | "integer":
            return Field(name, "number")
        case "boolean":
            return Field(name, "boolean")
        case "array" if isinstance(items, dict) and items.get("type") == "string":
            return Field(name, "spans")
        case "string" | None if isinstance(options, list) and options:
            return Field(name, "label", tuple(map(str, options)))
        case "string":
            return Field(name, "date" if told.get("format") == "date" else "span")
    raise MalformedRequest(
        f"{plan.name}: input {name!r}: a goal states texts, lists of texts, numbers, dates, yes or "
        f'no, and one of a closed set; for anything else, mark it as "given": true'
    )


def _type(schema: Mapping[str, Json]) -> Json:
    """Its type; of one that may be null, what else it is."""
    told = schema.get("type")
    kinds = [one for one in told if one != "null"] if isinstance(told, list) else [told]
    return kinds[0] if len(kinds) == 1 else ""


def _scalar(value: Json) -> Scalar:
    match value:
        case list():
            return written_list([str(one) for one in value])
        case bool() | str() | None:
            return value
        case int() | float():
            return float(value)
    raise MalformedRequest(f"{value!r} is no value of an input that a goal states")


def _value(value: Scalar, schema: Json) -> Json:
    """A field's value as the plan takes it."""
    kind = _type(schema) if isinstance(schema, dict) else None
    if kind == "array" and isinstance(value, str):
        return list(listed(value))
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _missing(plan: Plan, name: str, schema: Json) -> dict[str, Json]:
    """What stands for an input that the goal does not state: its default, or null, where it is
    not required."""
    required = plan.input.get("required")
    told = schema if isinstance(schema, dict) else {}
    if isinstance(required, list) and name in required:
        return {}
    if "default" in told:
        return {name: told["default"]}
    return {name: None} if keeps(schema, None) else {}


def _breach(plan: Plan, found: Mapping[str, Json], known_only: bool) -> str:
    """Why this is no input of the plan; ``known_only``: what is given is still to come."""
    inputs, required = _inputs(plan), plan.input.get("required")
    for name in required if isinstance(required, list) else ():
        later = known_only and is_given(inputs.get(str(name)))
        if name not in found and not later:
            return f"the goal does not say {name!r}, which it requires"
    for name, value in found.items():
        if not keeps(inputs[name], value):
            told = breach(msgspec.json.encode(inputs[name]).decode(), value)
            return f"{name}: {told or f'{value!r} is no day of the form 2026-11-30'}"
    return ""


class Kept(Struct, frozen=True):
    """The plans of a book, and which of them are from files that people wrote, by name."""

    plans: tuple[Plan, ...]
    files: tuple[str, ...] = ()


def save_plans(kept: Kept, folder: Path) -> None:
    """Write plans beside the files of the specialist that tells them apart."""
    plans = [{"version": plan.version, **msgspec.to_builtins(plan)} for plan in kept.plans]
    (folder / FILE).write_bytes(msgspec.json.encode({"plans": plans, "files": kept.files}))


def load_plans(folder: Path) -> Kept:
    """The plans of ``save_plans``.

    Raises:
        ArtifactError: there are none that can be read.
    """
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactError(f"{folder / FILE}: cannot be read: {error}") from None
