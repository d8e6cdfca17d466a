"""Whether a plan can be run, told before anything runs, with the step that stands in the way.

Checked are: names and paths, circles, types against the contracts of tasks, tools and loops, what
policy and grants allow, and what it costs. A plan whose least cost is over its budget is refused;
one whose most is, is told of: budgets end it where they are reached.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import MalformedRequest
from shoal.formats.json_schema import breach, is_schema
from shoal.planning import schemas
from shoal.planning.catalogue import Catalogue
from shoal.planning.estimate import Estimate, Estimator
from shoal.planning.limits import Limits
from shoal.planning.plan import (
    ERROR,
    INPUT,
    VERSION,
    Approve,
    Ask,
    Branch,
    Map,
    Plan,
    Repeat,
    Retrieve,
    Say,
    Step,
    Use,
)
from shoal.planning.references import literal, paths_in
from shoal.planning.schemas import Nowhere, Schema
from shoal.planning.shape import Circle, blocks, ordered, own_values, walk
from shoal.tools.tool import Json, ToolSpec

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MOST_RETRIES, _MOST_ROUNDS, _MOST_ITEMS, _MOST_PASSAGES = 10, 1_000, 1_000_000, 100


class Problem(Struct, frozen=True):
    """What is wrong, at which step; "" where it is the plan as a whole."""

    step: str
    message: str

    def __str__(self) -> str:
        return f"{self.step}: {self.message}" if self.step else self.message


class Checked(Struct, frozen=True):
    """``problems`` that keep a plan from being run, ``warnings`` that do not, and what it comes to
    ``least``, ``most`` and as is ``usual``, zeros if there are problems."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    least: Estimate = Estimate()
    most: Estimate = Estimate()
    usual: Estimate = Estimate()


class RefusedPlan(MalformedRequest):
    """A plan that cannot be run, with all that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)), "plan")
        self.problems = tuple(problems)


def check(
    plan: Plan,
    catalogue: Catalogue,
    limits: Limits | None = None,
    known: Mapping[str, Schema] | None = None,
    whole: bool = True,
) -> Checked:
    """All that is wrong with a plan. ``known`` are more roots of paths, with what stands there;
    ``whole`` false is for one that is still being written: it needs no answer yet."""
    limits = (limits or Limits()).within(plan.budget)
    problems = list(_of_plan(plan, limits, whole))
    if not problems:
        scope: dict[str, Schema] = {INPUT: plan.input or schemas.ANY, **(known or {})}
        problems = list(_Blocks(catalogue, limits).check(plan.steps, scope))
    if problems:
        return Checked(tuple(problems))
    estimator = Estimator(catalogue, limits)
    least, most = estimator.least(plan.steps), estimator.most(plan.steps)
    usual = estimator.usual(plan.steps)
    problems = list(_over(least, limits, "at least"))
    return Checked(tuple(problems), _warned(most, usual, limits), least, most, usual)


def require(plan: Plan, catalogue: Catalogue, limits: Limits | None = None) -> Checked:
    """As ``check``.

    Raises:
        RefusedPlan: there are problems.
    """
    found = check(plan, catalogue, limits)
    if found.problems:
        raise RefusedPlan(found.problems)
    return found


def _of_plan(plan: Plan, limits: Limits, whole: bool) -> Iterator[Problem]:
    if plan.version != VERSION:
        yield Problem("", f"version: expected {VERSION}, found {plan.version}")
    if not plan.name.strip():
        yield Problem("", "name: expected one, found none")
    if plan.input and not is_schema(plan.input):
        yield Problem("", "input: is no JSON Schema")
    steps = list(_walk_bounded(plan.steps, limits))
    if len(steps) > limits.plan_steps:
        yield Problem("", f"there are more than {limits.plan_steps} steps")
        return
    if _depth(plan.steps) > limits.depth:
        yield Problem("", f"steps lie within steps more than {limits.depth} levels deep")
        return
    seen = set[str]()
    for step in steps:
        if not _ID.fullmatch(step.id):
            yield Problem(step.id, "id: expected a letter, then letters, digits, - or _, up to 64")
        if step.id in seen or step.id in (INPUT, ERROR):
            yield Problem(step.id, "id: there is another of this name")
        seen.add(step.id)
    if whole and not any(isinstance(step, Say) for step in steps):
        yield Problem("", 'no step of the kind "answer": nobody would learn what it came to')


def _walk_bounded(steps: Sequence[Step], limits: Limits) -> Iterator[Step]:
    for count, step in enumerate(walk(steps)):
        if count > limits.plan_steps:
            return
        yield step


def _depth(steps: Sequence[Step]) -> int:
    below = [
        _depth(block) for step in steps for block in (*(b.steps for b in blocks(step)), _own(step))
    ]
    return 1 + max(below, default=0) if steps else 0


def _own(step: Step) -> tuple[Step, ...]:
    return (step.fallback,) if step.fallback is not None else ()


class _Blocks:
    """Checks steps in the order in which they can run, so that of each what it gives is known to
    those after it."""

    def __init__(self, catalogue: Catalogue, limits: Limits) -> None:
        self._steps = _Steps(catalogue, limits)

    def check(self, steps: Sequence[Step], outer: Mapping[str, Schema]) -> Iterator[Problem]:
        """Problems of a block; ``outer`` is what it knows of what is around it. After it
        ``outer``, if it is a dict, knows its steps."""
        there = {step.id for step in steps}
        for step in steps:
            for name in step.after:
                if name not in there:
                    yield Problem(step.id, f"after: there is no step {name!r} beside it")
        try:
            in_order = ordered(steps)
        except Circle as circle:
            yield Problem(circle.ids[0], f"it waits for itself: {circle}")
            return
        except MalformedRequest:  # told with its step, below
            in_order = list(steps)
        scope = outer if isinstance(outer, dict) else dict(outer)
        for step in in_order:
            problems = list(self._problems(step, scope, there))
            yield from problems
            scope[step.id] = schemas.ANY if problems else self._steps.gives(step, scope)

    def _problems(
        self, step: Step, scope: Mapping[str, Schema], there: set[str]
    ) -> Iterator[Problem]:
        if step.id in scope:  # a loop's name, say: nobody could tell which of them is meant
            yield Problem(step.id, "id: there is something of this name around it")
        try:
            unknown = list(_unknown(step, scope))
        except MalformedRequest as error:
            yield Problem(step.id, str(error))
            return
        yield from unknown
        if unknown:
            return
        try:
            yield from (Problem(step.id, told) for told in self._steps.problems(step, scope))
        except Nowhere as error:
            yield Problem(step.id, str(error))
            return
        if isinstance(step, Map | Repeat) and step.name in {INPUT, ERROR, *scope, *there}:
            yield Problem(step.id, f"as: {step.name!r} is a name already")
            return
        for block in blocks(step):
            inner = dict(scope)
            if block.name:
                inner[block.name] = self._steps.item(step, scope)
            yield from self.check(block.steps, inner)
            yield from _after(step.id, block.after, inner)
        if step.fallback is not None:
            yield from self.check((step.fallback,), {**scope, ERROR: schemas.FAILURE})


class _Steps:
    """What one step asks for, by itself."""

    def __init__(self, catalogue: Catalogue, limits: Limits) -> None:
        self._catalogue, self._limits = catalogue, limits

    def problems(self, step: Step, scope: Mapping[str, Schema]) -> Iterator[str]:
        """What is wrong with it, its inner steps left out."""
        if not 0 <= step.retries <= _MOST_RETRIES:
            yield f"retries: expected 0 to {_MOST_RETRIES}, found {step.retries}"
        if step.timeout_s < 0:
            yield f"timeout_s: expected 0 or more, found {step.timeout_s:g}"
        match step:
            case Ask():
                yield from self._ask(step)
            case Retrieve():
                yield from self._retrieve(step, scope)
            case Use():
                yield from self._use(step, scope)
            case Map():
                yield from _numbers("at_most", step.at_most, _MOST_ITEMS)
                yield from _numbers("at_once", step.at_once, _MOST_ITEMS)
                yield from _no("over", schemas.clash(schemas.of(step.over, scope), _LIST))
                yield from _loop_name(step.name)
            case Repeat():
                yield from _numbers("at_most", step.at_most, _MOST_ROUNDS)
                yield from _loop_name(step.name)
            case Branch():
                if not step.arms:
                    yield "arms: expected at least one"
                for at, arm in enumerate(step.arms):
                    if not arm.when:
                        yield f"arms[{at}].when: expected a condition; what always holds is else"
            case Approve() | Say():
                pass
        for field, value in own_values(step):
            schemas.of(value, _scope_of(field, scope))  # raises where a path leads nowhere

    def gives(self, step: Step, scope: Mapping[str, Schema]) -> Schema:
        """What it gives, as far as that is known before."""
        if step.fallback is not None or not isinstance(step.otherwise, msgspec.UnsetType):
            return schemas.ANY
        match step:
            case Ask():
                own = step.output or schemas.TEXT
                given = self._catalogue.tasks[step.task].gives if step.task else own
                return schemas.receipt(given) if step.receipt else given
            case Retrieve():
                return schemas.PASSAGES
            case Use():
                return _schema(self._catalogue.tools[step.tool].gives)
            case Approve():
                return schemas.DECISION
            case Map():
                return _LIST
            case _:
                return schemas.ANY

    def item(self, step: Step, scope: Mapping[str, Schema]) -> Schema:
        """What the inner steps of a loop know under its name."""
        if not isinstance(step, Map):
            return schemas.ANY
        items = schemas.of(step.over, scope).get("items")
        return items if isinstance(items, dict) else schemas.ANY

    def _ask(self, step: Ask) -> Iterator[str]:
        if bool(step.task) == bool(step.model):
            yield "expected either a task or a model"
            return
        if step.max_tokens < 1:
            yield f"max_tokens: expected 1 or more, found {step.max_tokens}"
        for model in (step.model, *step.escalate):
            if model:
                yield from self._there("model", model, self._catalogue.models)
        if step.task:
            yield from self._there("task", step.task, self._catalogue.tasks)
            yield from self._slots(step)
            if step.prompt or step.system or step.output:
                yield "a task has its own prompt and output: expected slots alone"
        elif step.slots or not step.prompt:
            yield "a model is asked with a prompt, and without slots"
        if step.output and not is_schema(step.output):
            yield "output: is no JSON Schema"

    def _slots(self, step: Ask) -> Iterator[str]:
        offer = self._catalogue.tasks.get(step.task)
        if offer is not None and set(step.slots) != set(offer.slots):
            found = ", ".join(sorted(step.slots)) or "none"
            yield f"slots: {step.task} takes {', '.join(offer.slots) or 'none'}, found {found}"

    def _retrieve(self, step: Retrieve, scope: Mapping[str, Schema]) -> Iterator[str]:
        yield from self._there("collection", step.collection, self._catalogue.collections)
        yield from _numbers("k", step.k, _MOST_PASSAGES)
        yield from _no("query", schemas.clash(schemas.of(step.query, scope), schemas.TEXT))

    def _use(self, step: Use, scope: Mapping[str, Schema]) -> Iterator[str]:
        yield from self._there("tool", step.tool, self._catalogue.tools)
        spec = self._catalogue.tools.get(step.tool)
        if spec is not None:
            yield from _arguments(step, spec, scope)

    def _there(self, field: str, name: str, among: Mapping[str, object]) -> Iterator[str]:
        if name in among:
            return
        if name in self._catalogue.withheld:
            yield f"{field}: {name!r} is not allowed here"
        else:
            there = ", ".join(sorted(among)) or "none"
            yield f"{field}: there is no {name!r}; there are: {there}"


_LIST: Schema = {"type": "array"}


def _arguments(step: Use, spec: ToolSpec, scope: Mapping[str, Schema]) -> Iterator[str]:
    takes = _schema(spec.takes)
    properties = takes.get("properties")
    inner = properties if isinstance(properties, dict) else {}
    # what a part of the schema refers to, "#/$defs/…", lies beside it
    defined = {key: takes[key] for key in ("$defs", "definitions") if key in takes}
    required = takes.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in step.arguments:
            yield f"arguments: {step.tool} requires {name!r}"
    for name, value in step.arguments.items():
        wanted = inner.get(str(name))
        if wanted is None and schemas.is_closed(takes):
            there = ", ".join(sorted(inner)) or "none"
            yield f"arguments: {step.tool} takes no {name!r}; it takes: {there}"
        elif isinstance(wanted, dict):
            told = schemas.clash(schemas.of(value, scope), wanted)
            if not told and not any(True for _ in paths_in(value)):
                told = breach(msgspec.json.encode({**defined, **wanted}).decode(), literal(value))
            yield from _no(f"arguments.{name}", told)


def _unknown(step: Step, scope: Mapping[str, Schema]) -> Iterator[Problem]:
    """Paths of the step's own values whose roots are nowhere to be found."""
    for field, value in own_values(step):
        known = _scope_of(field, scope)
        for path in paths_in(value):
            if path.root not in known:
                yield _nothing(step.id, field, path.root, known)


def _scope_of(field: str, scope: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """What a field of a step knows: what stands in for a failed step, what went wrong too."""
    return {**scope, ERROR: schemas.FAILURE} if field == "otherwise" else scope


def _after(
    step: str, values: Sequence[tuple[str, Json]], scope: Mapping[str, Schema]
) -> Iterator[Problem]:
    """Problems of what is filled in after the inner steps."""
    for field, value in values:
        try:
            lost = [path.root for path in paths_in(value) if path.root not in scope]
            yield from (_nothing(step, field, root, scope) for root in lost)
            if not lost:
                schemas.of(value, scope)
        except (MalformedRequest, Nowhere) as error:
            yield Problem(step, f"{field}: {error}")


def _nothing(step: str, field: str, root: str, scope: Mapping[str, Schema]) -> Problem:
    there = ", ".join(sorted(scope))
    return Problem(step, f"{field}: there is no result {root!r} here; there are: {there}")


def _numbers(field: str, found: int, most: int) -> Iterator[str]:
    if not 1 <= found <= most:
        yield f"{field}: expected 1 to {most:,}, found {found}"


def _loop_name(name: str) -> Iterator[str]:
    if not _ID.fullmatch(name):
        yield f"as: expected a letter, then letters, digits, - or _, found {name!r}"


def _no(field: str, told: str) -> Iterator[str]:
    if told:
        yield f"{field}: {told}"


def _schema(text: str) -> Schema:
    found = msgspec.json.decode(text) if text else {}
    return found if isinstance(found, dict) else schemas.ANY


def _over(estimate: Estimate, limits: Limits, how: str) -> Iterator[Problem]:
    for found, limit, unit in (
        (estimate.steps, limits.steps, "steps"),
        (estimate.tokens, limits.tokens, "tokens"),
        (estimate.usd, limits.usd, "USD"),
        (estimate.seconds, limits.seconds, "seconds"),
    ):
        if limit and found > limit:
            amount = "an unknown amount of" if math.isinf(found) else f"{how} {found:,.6g}"
            yield Problem("", f"budget: it takes {amount} {unit}, of {limit:,.6g}")


def _warned(most: Estimate, usual: Estimate, limits: Limits) -> tuple[Problem, ...]:
    """What may be exceeded; tokens by what is usual, since at most a byte each is far off."""
    tokens = Estimate(tokens=usual.tokens)
    return (
        *_over(replace(most, tokens=0), limits, "up to"),
        *_over(tokens, limits, "about"),
    )
