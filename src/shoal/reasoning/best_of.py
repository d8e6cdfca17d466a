"""Best of n: samples until one passes all checkers, or all of them and a scorer's choice.

With checkers the target is met by the first sample that passes, in the order in which they were
asked for; rounds of 1, 1, 2, 4, … keep what is asked in vain to half. (Brown et al. 2024, "Large
language monkeys"; Cobbe et al. 2021 for verifiers.)
"""

import asyncio
from collections.abc import Sequence

from shoal.chat import Answer, Answerer, Deliberation, Request
from shoal.errors import EffortExceeded
from shoal.guarantees.sequential import anytime_upper_bound
from shoal.reasoning.asking import varied
from shoal.reasoning.checking import Checker, Scorer, complaint_of
from shoal.reasoning.consistency import BUDGET
from shoal.reasoning.sampling import (
    Candidate,
    asked_at_all,
    concluded,
    in_vain,
    samples_of,
    together,
)

_DOUBT = 0.05


class BestOf:
    """Up to ``n`` samples of one answerer; with ``checkers`` the first that passes, else the one
    that ``scorer`` puts first. Where none passes it is the scorer's choice, or the first that came.
    It gives up when a sample passes with a chance of at most ``worth`` (by the confidence sequence
    of ``guarantees.sequential``); 0: never.

    Raises:
        ValueError: neither checkers nor a scorer.
    """

    def __init__(
        self,
        inner: Answerer,
        n: int,
        checkers: Sequence[Checker] = (),
        scorer: Scorer | None = None,
        at_once: int = 4,
        worth: float = 0.0,
    ) -> None:
        if not checkers and scorer is None:
            raise ValueError("expected something that tells good answers from others")
        self._inner, self._n, self._at_once, self._worth = inner, n, at_once, worth
        self._checkers, self._scorer = tuple(checkers), scorer

    @property
    def name(self) -> str:
        """The answerer's, with the strategy behind it."""
        return f"{self._inner.name}+best:{self._n}"

    async def answer(self, request: Request) -> Answer:
        """The best sample; one that fails is left out.

        Raises:
            ShoalError: every sample of a first round failed: the first failure.
        """
        found, passed, stopped = list[Candidate](), list[bool](), ""
        at_once = self._at_once
        while not stopped and len(found) < self._n:
            size = self._round(len(found), at_once)
            asked = range(len(found), len(found) + size)
            new = await together([self._inner.answer(varied(request, at)) for at in asked])
            spent = any(isinstance(one, EffortExceeded) for one in new)
            kept = [one for one in new if asked_at_all(one)]
            found += kept
            if not any(isinstance(one, Answer) for one in found):
                raise in_vain(new, self._inner.name)
            passed += [await self._passes(request, one) for one in kept]
            if self._checkers and any(passed):
                stopped = f"sample {passed.index(True) + 1} passes"
            elif spent and size == 1:
                stopped = BUDGET
            elif self._is_hopeless(len(found)):
                stopped = f"another would pass with a chance of at most {self._worth:.2g}"
            at_once = 1 if spent else at_once
        return await self._chosen(request, found, passed, stopped)

    def _is_hopeless(self, failed: int) -> bool:
        """Whether, at 95 % confidence at every time at once, the chance that a sample passes is at
        most what one is worth."""
        if not (self._worth and self._checkers):
            return False
        return anytime_upper_bound(0, failed, _DOUBT) <= self._worth

    def _round(self, taken: int, at_once: int) -> int:
        left = self._n - taken
        wanted = max(1, taken) if self._checkers else left
        return min(wanted, at_once, left)

    async def _passes(self, request: Request, candidate: Candidate) -> bool:
        if not isinstance(candidate, Answer) or not self._checkers:
            return False
        return not await complaint_of(self._checkers, request, candidate)

    async def _chosen(
        self, request: Request, found: Sequence[Candidate], passed: Sequence[bool], stopped: str
    ) -> Answer:
        came = [(at, one) for at, one in enumerate(found) if isinstance(one, Answer)]
        best = passed.index(True) if any(passed) else None
        if best is None and self._scorer is not None:
            answers = [one for _, one in came]
            scores = await asyncio.to_thread(self._scorer.scores, request, answers)
            best = came[max(range(len(came)), key=lambda at: scores[at])][0]
        if not stopped:
            none = " and none passes" if self._checkers else ""
            stopped = f"all {self._n} were asked{none}"
        best = came[0][0] if best is None else best
        agrees = passed if self._checkers else [at == best for at in range(len(found))]
        name = self._inner.name
        pairs = zip(found, agrees, strict=True)
        samples = tuple(one for each, yes in pairs for one in samples_of(each, name, yes))
        share = sum(passed) / len(passed) if self._checkers else None
        chosen = found[best]
        assert isinstance(chosen, Answer)
        return concluded(chosen, Deliberation(f"best:{self._n}", self._n, samples, share, stopped))
