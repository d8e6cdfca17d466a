"""Goals that recur, found in runs: which stored plan each was, and with which values.

Fed with goals and the plans that were written for them, it makes a stored plan of the first of its
kind and an example of each, so that examples accumulate by themselves.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from shoal.planning.catalogue import Catalogue
from shoal.planning.generalise import generalise, settled
from shoal.planning.plan import Plan
from shoal.planning.planner import GOAL
from shoal.planning.unifying import unify
from shoal.tasks.dates import written_dates
from shoal.tasks.numerals import written_numbers
from shoal.tasks.wording import flattened
from shoal.tools.tool import Json

OTHER = "other"
"""In place of a plan's name: none of those that are stored."""


_SETTLED = 3
"""Goals that must agree on the value of an input before it is taken to be none."""


class PlanExample(Struct, frozen=True):
    """A goal, the name of the stored plan that is right for it, and the values of its inputs."""

    goal: str
    plan: str = OTHER
    slots: Mapping[str, Json] = MappingProxyType({})


class Recurring:
    """Stored plans and examples; ``plans`` to begin with are those that are stored already."""

    def __init__(self, plans: Sequence[Plan] = (), catalogue: Catalogue | None = None) -> None:
        self._plans = [*plans]
        self._catalogue = catalogue
        self._examples: list[PlanExample] = []

    def add(self, goal: str, plan: Plan) -> PlanExample:
        """A plan that served a goal. Of a plan that is like none before, a stored one is made."""
        found = known_as(self._plans, goal, plan)
        if found is None:
            made = generalise(plan, goal, self._free(plan.name), self._catalogue)
            self._plans.append(made.plan)
            found = PlanExample(goal, made.plan.name, made.slots)
        self._examples.append(found)
        return found

    def found(self, least: int = 1) -> tuple[list[Plan], list[PlanExample]]:
        """The plans that at least so many goals needed, and all examples; those of rarer plans are
        examples of none. An input that had one value whatever the goal said is none: the goal that
        the plan was made of stated it by chance."""
        self._settle()
        counts = Counter(example.plan for example in self._examples)
        kept = [plan for plan in self._plans if counts[plan.name] >= least]
        names = {plan.name for plan in kept}
        examples = [
            one if one.plan in names else replace(one, plan=OTHER, slots={})
            for one in self._examples
        ]
        return kept, examples

    def _settle(self) -> None:
        for at, plan in enumerate(self._plans):
            own = [one for one in self._examples if one.plan == plan.name]
            for name, value in own[0].slots.items() if len(own) >= _SETTLED else ():
                same = all(name in one.slots and one.slots[name] == value for one in own)
                if same and name != GOAL and not all(_states(one.goal, value) for one in own):
                    self._plans[at] = settled(self._plans[at], name, value)
                    self._examples = [
                        _without(one, name) if one.plan == plan.name else one
                        for one in self._examples
                    ]

    def _free(self, name: str) -> str:
        taken = {plan.name for plan in self._plans} | {OTHER}
        found, nth = name, 2
        while found in taken:
            found, nth = f"{name}_{nth}", nth + 1
        return found


def known_as(stored: Iterable[Plan], goal: str, plan: Plan) -> PlanExample | None:
    """Which of the stored plans a plan is that was written for a goal, and with which values."""
    for one in stored:
        slots = unify(one, plan)
        if slots is None:
            continue
        whole = slots.get(GOAL, goal)
        if isinstance(whole, str) and flattened(whole) == flattened(goal):
            return PlanExample(goal, one.name, slots)
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
