"""The planner that makes no call: it recognises a goal, fills in a stored plan, and checks it.

A specialist says which plan it is and what the goal states; the plan is taken only where its signal
reaches the certified threshold. Anything else is declined, with the reason, for another planner.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Request, Usage
from shoal.errors import EngineError
from shoal.guarantees import Certificate, percent
from shoal.planning.catalogue import Catalogue
from shoal.planning.earlier import Earlier
from shoal.planning.limits import Limits
from shoal.planning.plan_book import PLAN, PlanBook
from shoal.planning.planner import NoPlan, Planned, Planner, goal_of
from shoal.specialists.specialist import Prediction, Reason, Specialist
from shoal.tasks import Input, render
from shoal.tasks.contract import Scalar
from shoal.tools.tool import Json

STORED = "planner/stored"
"""Who plans, as receipts and records name it."""


class Declined(Struct, frozen=True):
    """No stored plan: why, and how sure the specialist was, None if it was not asked."""

    reason: str
    signal: float | None = None


class NarrowedSpecialist:
    """A specialist for a book's contract, which declines what is no plan that can be filled in,
    and says nothing of inputs that its plan does not take. Certified and served alike."""

    def __init__(self, book: PlanBook, specialist: Specialist) -> None:
        self._book, self._specialist = book, specialist

    @property
    def within(self) -> Specialist:
        """The specialist itself."""
        return self._specialist

    @property
    def kind(self) -> str:
        """The specialist's."""
        return self._specialist.kind

    @property
    def recipe(self) -> str:
        """The specialist's."""
        return self._specialist.recipe

    def predict(self, given: Input) -> Prediction:
        """What the specialist predicts, narrowed."""
        return narrowed(self._book, given, self._specialist.predict(given))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """As the specialist does."""
        return self._specialist.explain(given)

    def save(self, folder: Path) -> None:
        """Save the specialist."""
        self._specialist.save(folder)


def narrowed(book: PlanBook, given: Input, prediction: Prediction) -> Prediction:
    """A prediction without what its plan does not take; one that is no plan declines."""
    if isinstance(book.filled(given.text, prediction.output), str):
        return Prediction(None, 0.0)
    return replace(prediction, output=book.narrowed(prediction.output))


class StoredPlanner:
    """Plans from a book, where ``threshold`` is reached; that is infinite where nothing is to be
    served (any more). Threads may share it."""

    def __init__(
        self,
        book: PlanBook,
        specialist: Specialist,
        threshold: Callable[[], float],
        catalogue: Catalogue,
        limits: Limits | None = None,
        name: str = STORED,
        withheld: Mapping[str, str] = MappingProxyType({}),
        takes: Callable[[str], bool] = lambda goal: True,
    ) -> None:
        """``withheld`` are plans of the book, by name, that are not to be run, and why; ``takes``
        says which goals are like those that were learned from."""
        self._book, self._threshold, self._withheld = book, threshold, withheld
        self._takes = takes
        inner = specialist.within if isinstance(specialist, NarrowedSpecialist) else specialist
        self._specialist = inner
        self._catalogue, self._limits, self._name = catalogue, limits, name

    @classmethod
    def certified(
        cls,
        book: PlanBook,
        specialist: Specialist,
        certificate: Certificate,
        catalogue: Catalogue,
        limits: Limits | None = None,
        withheld: Mapping[str, str] = MappingProxyType({}),
        takes: Callable[[str], bool] = lambda goal: True,
    ) -> "StoredPlanner":
        """One that serves until its certificate lapses."""

        def threshold() -> float:
            return math.inf if certificate.lapsed(time.time()) else certificate.threshold

        return cls(book, specialist, threshold, catalogue, limits, withheld=withheld, takes=takes)

    @property
    def name(self) -> str:
        """As receipts name it."""
        return self._name

    def find(self, goal: str, given: Mapping[str, Json] | None = None) -> Planned | Declined:
        """The stored plan for a goal, filled in and checked, or why there is none. Takes some ms
        of CPU."""
        found = self.considered(goal, given)
        return found if isinstance(found, Declined) else found[0]

    def considered(
        self, goal: str, given: Mapping[str, Json] | None = None
    ) -> tuple[Planned, Mapping[str, Scalar]] | Declined:
        """As ``find``, with what the specialist said, as the book's contract has it."""
        found = self._recognised(goal)
        if isinstance(found, Declined):
            return found
        output = found.output
        assert isinstance(output, dict)
        if why := self._withheld.get(str(output[PLAN])):
            return Declined(f"{output[PLAN]}: {why}", found.signal)
        planned = self._book.planned(goal, output, given or {}, self._catalogue, self._limits)
        if isinstance(planned, str):
            return Declined(planned, found.signal)
        why = f"recognised, signal {found.signal:.3f}"
        return replace(planned, by=self._name, why=why), output

    async def plan(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> Planned:
        """A plan, as ``Planner`` says.

        Raises:
            NoPlan: none of the stored plans is it, or not surely enough.
        """
        if past is not None:
            raise NoPlan(f"{self._name}: a stored plan does not change with what happened")
        found = await asyncio.to_thread(self.find, goal, given)
        if isinstance(found, Declined):
            raise NoPlan(f"{self._name}: {found.reason}")
        return found

    async def answer(self, request: Request) -> Answer:
        """Which stored plan the last message of the user asks for, with its inputs, as JSON.

        Raises:
            MalformedRequest: there is no goal.
            NoPlan: none of them, or not surely enough.
        """
        found = await asyncio.to_thread(self._recognised, goal_of(request))
        if isinstance(found, Declined):
            raise NoPlan(f"{self._name}: {found.reason}")
        assert found.output is not None
        text = render(self._book.contract, found.output)
        return Answer(text=text, model=self._name, usage=Usage())

    def _recognised(self, goal: str) -> Prediction | Declined:
        needed = self._threshold()
        if needed == math.inf:
            return Declined("no certificate holds for the stored plans")
        if not self._takes(goal):
            return Declined("the goal holds what the privacy rules do not let it learn from")
        try:
            said = self._specialist.predict(Input(goal))
        except Exception as error:  # noqa: BLE001  # whatever broke, another planner is asked
            return Declined(f"failed: {type(error).__name__}")
        found = narrowed(self._book, Input(goal), said)
        if found.output is None:
            return Declined(str(self._book.filled(goal, said.output)), said.signal)
        if not found.signal >= needed:  # so that NaN does not pass
            told = f"signal {percent(found.signal)} under the certified {percent(needed)}"
            return Declined(told, found.signal)
        return found


class Planners:
    """Planners asked in order, the cheapest first, until one has a plan: itself a planner."""

    def __init__(self, planners: Sequence[Planner], name: str = "planner") -> None:
        if not planners:
            raise ValueError("planners: expected at least one")
        self._planners, self._name = tuple(planners), name

    @property
    def name(self) -> str:
        """As receipts name it."""
        return self._name

    async def plan(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> Planned:
        """The first plan there is; ``why`` tells who had none, and why not.

        Raises:
            NoPlan: nobody has one; says why of each.
            EngineError: the last could not be asked.
        """
        passed, tokens, cost, calls = list[str](), 0, 0.0, tuple[str, ...]()
        known, wrote = True, 0
        for last, planner in enumerate(self._planners, 1 - len(self._planners)):
            try:
                found = await planner.plan(goal, given, past)
            except NoPlan as error:
                passed.append(str(error))
                tokens, calls = tokens + error.tokens, calls + error.call_ids
                wrote += error.output_tokens
                known = known and error.cost is not None
                cost += error.cost or 0.0
            except EngineError as error:
                if not last:
                    raise
                passed.append(f"{planner.name}: {error}")
            else:
                whole = None if found.cost is None or not known else cost + found.cost
                return replace(
                    found,
                    why="; ".join((found.why, *passed)),
                    tokens=tokens + found.tokens,
                    cost=whole,
                    call_ids=calls + found.call_ids,
                    output_tokens=wrote + found.output_tokens,
                )
        raise NoPlan("; ".join(passed), tokens, cost if known else None, calls, wrote)
