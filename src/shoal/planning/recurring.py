"""Goals that recur, found in runs: which stored plan each was, and with which values.

Fed with goals and the plans that were written for them, it makes a stored plan of the first of its
kind and an example of each, so that examples accumulate by themselves.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from shoal.planning.catalogue import Catalogue
from shoal.planning.generalise import generalise, settled
from shoal.planning.guarding import unguarded
from shoal.planning.plan import Ask, Plan, Retrieve, Step, Use
from shoal.planning.planner import GOAL
from shoal.planning.shape import walk
from shoal.planning.unifying import Form, unify_forms
from shoal.tasks.dates import written_dates
from shoal.tasks.numerals import written_numbers
from shoal.tasks.wording import flattened
from shoal.tools.tool import Json

OTHER = "other"
"""In place of a plan's name: none of those that are stored."""


_SETTLED = 3
"""Goals that must agree on the value of an input before it is taken to be none."""


_MOST_ALIKE = 300
"""Plans made of the same calls, each for one goal: so many that nothing seems to recur."""

_Likeness = tuple[tuple[str, str], ...]


class PlanExample(Struct, frozen=True):
    """A goal, the name of the stored plan that is right for it, and the values of its inputs."""

    goal: str
    plan: str = OTHER
    slots: Mapping[str, Json] = MappingProxyType({})


class Recurring:
    """Stored plans and examples; ``plans`` to begin with are those that are stored already, which
    stay as they are."""

    def __init__(self, plans: Sequence[Plan] = (), catalogue: Catalogue | None = None) -> None:
        self._plans, self._fixed = [*plans], len(plans)
        self._catalogue = catalogue
        self._examples: list[PlanExample] = []
        self._names = {OTHER, *(one.name for one in plans)}
        self._like = _by_likeness(plans)

    def add(self, goal: str, plan: Plan) -> PlanExample:
        """A plan that served a goal. Of a plan that is like none before, a stored one is made,
        unless very many were made already of what it calls and none of them recurs in it."""
        form = form_of(plan)
        like = self._like[_likeness(form.plan)]
        found = known_as(like, goal, form)
        if found is None and len(like) >= _MOST_ALIKE:
            found = PlanExample(goal)
        elif found is None:
            made = generalise(plan, goal, self._free(plan.name), self._catalogue)
            like.append(form_of(made.plan))
            self._plans.append(made.plan)
            self._names.add(made.plan.name)
            found = PlanExample(goal, made.plan.name, made.slots)
        self._examples.append(found)
        return found

    def found(self, least: int = 1) -> tuple[list[Plan], list[PlanExample]]:
        """The plans there were, those that at least so many goals needed, and all examples; those
        of rarer plans are examples of none. An input that had one value whatever the goal said is
        none: the goal that the plan was made of stated it by chance."""
        self._settle()
        counts = Counter(example.plan for example in self._examples)
        made = (plan for plan in self._plans[self._fixed :] if counts[plan.name] >= least)
        kept = [*self._plans[: self._fixed], *made]
        names = {plan.name for plan in kept}
        examples = [
            one if one.plan in names else replace(one, plan=OTHER, slots={})
            for one in self._examples
        ]
        return kept, examples

    def _settle(self) -> None:
        own: dict[str, list[int]] = defaultdict(list)
        for nth, one in enumerate(self._examples):
            own[one.plan].append(nth)
        for at in range(self._fixed, len(self._plans)):
            rows = own[self._plans[at].name]
            first = self._examples[rows[0]].slots if len(rows) >= _SETTLED else {}
            for name, value in first.items():
                goals = [self._examples[row] for row in rows]
                same = all(name in one.slots and one.slots[name] == value for one in goals)
                if same and name != GOAL and not all(_states(one.goal, value) for one in goals):
                    self._plans[at] = settled(self._plans[at], name, value)
                    for row in rows:
                        self._examples[row] = _without(self._examples[row], name)
        self._like = _by_likeness(self._plans)

    def _free(self, name: str) -> str:
        found, nth = name, 2
        while found in self._names:
            found, nth = f"{name}_{nth}", nth + 1
        return found


def _by_likeness(plans: Iterable[Plan]) -> dict[_Likeness, list[Form]]:
    found: dict[_Likeness, list[Form]] = defaultdict(list)
    for form in map(form_of, plans):
        found[_likeness(form.plan)].append(form)
    return found


def _likeness(plan: Plan) -> _Likeness:
    """What a plan has in common with every other that may be the same: what it calls."""
    return tuple(sorted((type(one).__name__, _called(one)) for one in walk(plan.steps)))


def _called(step: Step) -> str:
    match step:
        case Use():
            return step.tool
        case Retrieve():
            return step.collection
        case Ask():
            return step.task or step.model
        case _:
            return ""


def form_of(plan: Plan) -> Form:
    """A plan made ready for ``known_as``. Whether a person is asked before its calls makes no plan
    another (``guarding``)."""
    return Form.of(unguarded(plan))


def known_as(stored: Iterable[Form], goal: str, plan: Form) -> PlanExample | None:
    """Which of the stored plans a plan is that was written for a goal, and with which values; by
    what ``form_of`` makes of them."""
    for one in stored:
        slots = unify_forms(one, plan)
        if slots is None:
            continue
        whole = slots.get(GOAL, goal)
        if isinstance(whole, str) and flattened(whole) == flattened(goal):
            return PlanExample(goal, one.plan.name, slots)
    return None


def _states(goal: str, value: Json) -> bool:
    """Whether a goal has a value word for word, or as a number or a date."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return any(one.value == value for one in written_numbers(goal))
    if any(value in (one.day_first, one.month_first) for one in written_dates(goal)):
        return True
    return flattened(str(value)) in flattened(goal)


def _without(example: PlanExample, name: str) -> PlanExample:
    return replace(example, slots={key: one for key, one in example.slots.items() if key != name})
