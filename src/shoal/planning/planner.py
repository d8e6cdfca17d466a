"""What a planner is: a goal in, a plan out, with what it took to get it.

Plans are written by an LLM (``llm_planner``) or stored ones are filled in (``stored_planner``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from msgspec import Struct

from shoal.chat import Request
from shoal.errors import EngineError, MalformedRequest
from shoal.planning.earlier import Earlier
from shoal.planning.plan import Plan
from shoal.tools.tool import Json

GOAL = "goal"
"""The input of a stored plan that is the goal itself, word for word."""


class Planned(Struct, frozen=True):
    """A plan that was checked, and what it is to be ``given``.

    ``by`` names the planner, ``why`` says in a few words how it came to this one. ``tokens``,
    ``output_tokens`` of them and ``cost`` (USD, None if nobody knows) are of the planning calls,
    ``call_ids`` name these where
    their provider keeps them; a stored plan takes none. ``warnings`` are the checker's.
    """

    plan: Plan
    given: Mapping[str, Json] = MappingProxyType({})
    by: str = ""
    why: str = ""
    tokens: int = 0
    cost: float | None = 0.0
    call_ids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    output_tokens: int = 0


class NoPlan(EngineError):
    """A planner has no plan for this goal; says why, in plain words. Another may have one.

    ``tokens``, ``cost``, ``call_ids`` and ``output_tokens`` are what was used up in vain, as of
    ``Planned``.
    """

    code = "no_plan"
    may_fall_back = True

    def __init__(
        self,
        message: str,
        tokens: int = 0,
        cost: float | None = 0.0,
        call_ids: tuple[str, ...] = (),
        output_tokens: int = 0,
    ) -> None:
        super().__init__(message)
        self.output_tokens = output_tokens
        self.tokens, self.cost, self.call_ids = tokens, cost, call_ids
        self.may_cost = tokens > 0


class Planner(Protocol):
    """Anything that plans."""

    @property
    def name(self) -> str:
        """Who plans, as receipts name it."""

    async def plan(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> Planned:
        """A checked plan for a goal. ``given`` is what the run is given beside it, ``past`` what
        a run of an earlier plan for this goal came to.

        Raises:
            NoPlan: there is none.
            EngineError: nobody could be asked for one.
        """


def goal_of(request: Request) -> str:
    """The goal that a planner is asked for as an answerer: the last message of the user.

    Raises:
        MalformedRequest: there is none.
    """
    said = (message.text for message in reversed(request.messages) if message.role == "user")
    goal = next(said, "").strip()
    if not goal:
        raise MalformedRequest("messages: expected a goal, as text of the last user message")
    return goal
