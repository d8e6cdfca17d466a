"""Self-consistency: several samples, and the answer that most of them give (Wang et al. 2023).

Sampling stops as soon as the vote cannot turn, or would with no more than a stated chance
(``guarantees.voting``): the answer then differs from that of all ``n`` samples with at most that
chance, over the order in which they came. Samples are counted in the order they were asked for,
not in that of their coming, for quick answers may be others than slow ones.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from shoal.chat import Answer, Answerer, Deliberation, Request
from shoal.errors import EffortExceeded, ShoalError
from shoal.guarantees.voting import fewest, standing
from shoal.reasoning.asking import varied
from shoal.reasoning.checking import Checker, complaint_of
from shoal.reasoning.comparing import Same, comparator, counts
from shoal.reasoning.sampling import (
    Candidate,
    asked_at_all,
    concluded,
    in_vain,
    samples_of,
    together,
)
from shoal.tasks import Contract

BUDGET = "the budget is spent"


class Voting(Struct, frozen=True):
    """How votes are counted: answers are compared under the ``contract`` (None: as they suggest),
    those with which a checker finds fault are none. ``risk`` is the chance with which a vote that
    was stopped may differ from the whole one; 0: none."""

    contract: Contract | None = None
    checkers: tuple[Checker, ...] = ()
    risk: float = 0.05

    @property
    def same(self) -> Same:
        """Whether two answers are the same one."""
        return comparator(self.contract)

    async def counts(self, request: Request, candidate: Candidate) -> bool:
        """Whether a candidate is a vote."""
        if isinstance(candidate, ShoalError) or not counts(self.contract, candidate):
            return False
        return not await complaint_of(self.checkers, request, candidate)


class Ballot:
    """The votes on one request, in order."""

    def __init__(self, voting: Voting, request: Request, n: int, risk: float) -> None:
        self._voting, self._request, self._n, self._risk = voting, request, n, risk
        self._firsts: list[Answer] = []  # of each answer the first that gave it
        self.candidates: list[Candidate] = []
        self.votes: list[int | None] = []

    async def count(self, candidates: Sequence[Candidate]) -> None:
        """Count more votes."""
        for candidate in candidates:
            counts = await self._voting.counts(self._request, candidate)
            self.candidates.append(candidate)
            if counts and isinstance(candidate, Answer):
                self.votes.append(await asyncio.to_thread(self._number, candidate))
            else:
                self.votes.append(None)

    def wanted(self) -> int:
        """The fewest samples that may settle the vote; 0: it is settled, or all are taken."""
        return fewest(self.votes, self._n, self._risk)

    def stopped(self) -> str:
        """Why a settled vote needs no more."""
        found = standing(self.votes, self._n, self._risk)
        if len(self.votes) == self._n or found.leader is None:
            return f"all {self._n} were asked"
        if found.certain:
            return "the vote cannot turn any more"
        return f"the vote turns with a chance of at most {self._risk:.2g}"

    def outcome(self, strategy: str, names: Sequence[str], stopped: str) -> Answer:
        """The answer of the leader, or, where nothing is a vote, the first that came; ``names`` are
        those who were asked, in order.

        Raises:
            ShoalError: nothing came: the first failure.
        """
        leader = standing(self.votes, self._n, 0.0).leader
        pairs = list(zip(self.candidates, names, strict=False))
        came = [one for one in self.candidates if isinstance(one, Answer)]
        if not came:
            raise in_vain(self.candidates, names[0])
        chosen = came[0] if leader is None else self._firsts[leader]
        agree = [vote is not None and vote == leader for vote in self.votes]
        told = zip(pairs, agree, strict=True)
        samples = [one for (each, name), yes in told for one in samples_of(each, name, yes)]
        share = sum(agree) / len(agree)
        deliberation = Deliberation(strategy, self._n, tuple(samples), share, stopped)
        return concluded(chosen, deliberation)

    def _number(self, answer: Answer) -> int:
        same = self._voting.same
        for number, first in enumerate(self._firsts):
            if same(first, answer):
                return number
        self._firsts.append(answer)
        return len(self._firsts) - 1


class SelfConsistency:
    """A vote over ``n`` samples of one answerer, ``at_once`` of them at the same time."""

    def __init__(
        self, inner: Answerer, n: int, voting: Voting | None = None, at_once: int = 4
    ) -> None:
        self._inner, self._n, self._at_once = inner, n, at_once
        self._voting = voting or Voting()

    @property
    def name(self) -> str:
        """The answerer's, with the strategy behind it."""
        return f"{self._inner.name}+vote:{self._n}"

    async def answer(self, request: Request) -> Answer:
        """What most samples say; a sample that fails is no vote.

        Raises:
            ShoalError: every sample of a first round failed: the first failure.
        """
        ballot = Ballot(self._voting, request, self._n, self._voting.risk)
        stopped, at_once = "", self._at_once
        while not stopped and (wanted := ballot.wanted()):
            begun = len(ballot.votes)
            asked = range(begun, begun + min(wanted, at_once))
            found = await together([self._inner.answer(varied(request, at)) for at in asked])
            spent = any(isinstance(one, EffortExceeded) for one in found)
            await ballot.count([one for one in found if asked_at_all(one)])
            if not any(isinstance(one, Answer) for one in ballot.candidates):
                raise in_vain(found, self._inner.name)
            stopped = BUDGET if spent and len(asked) == 1 else ""
            at_once = 1 if spent else at_once  # what is set aside for several may pay for one
        stopped = stopped or ballot.stopped()
        names = [self._inner.name] * len(ballot.votes)
        return ballot.outcome(f"vote:{self._n}", names, stopped)
