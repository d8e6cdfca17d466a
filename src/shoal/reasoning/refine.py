"""Iterative refinement: what a checker finds wrong is told to the model, which tries again (Chen et
al. 2023, "Teaching large language models to self-debug"; Madaan et al. 2023)."""

from collections.abc import Sequence

from shoal.chat import Answer, Answerer, Deliberation, Message, Request
from shoal.errors import EffortExceeded, ShoalError
from shoal.reasoning.asking import said, with_turns
from shoal.reasoning.checking import Checker, complaint_of
from shoal.reasoning.consistency import BUDGET
from shoal.reasoning.sampling import Candidate, concluded, samples_of


class Refined:
    """Up to ``rounds`` corrections of an answer with which a checker finds fault. If the last one
    still has a fault it is given all the same, and the receipt says so.

    Raises:
        ValueError: no checkers.
    """

    def __init__(self, inner: Answerer, rounds: int, checkers: Sequence[Checker]) -> None:
        if not checkers:
            raise ValueError("expected something that finds what is wrong with an answer")
        self._inner, self._rounds, self._checkers = inner, rounds, tuple(checkers)

    @property
    def name(self) -> str:
        """The answerer's, with the strategy behind it."""
        return f"{self._inner.name}+refine:{self._rounds}"

    async def answer(self, request: Request) -> Answer:
        """The first answer that passes, or the last.

        Raises:
            ShoalError: the first answer failed; a correction that fails leaves what was there.
        """
        found: list[Candidate] = []
        answer, stopped = await self._inner.answer(request), ""
        found.append(answer)
        asked, passes = request, [False]
        for round_ in range(self._rounds + 1):
            complaint = await complaint_of(self._checkers, request, answer)
            passes[-1] = not complaint
            if not complaint:
                stopped = f"it passes after {round_} corrections"
                break
            if round_ == self._rounds:
                stopped = f"the last correction does not pass: {complaint}"
                break
            asked = with_turns(asked, Message("assistant", said(answer) or "…"), _told(complaint))
            try:
                answer = await self._inner.answer(asked)
            except ShoalError as error:
                stopped = BUDGET if isinstance(error, EffortExceeded) else "a correction failed"
                found.append(error)
                passes.append(False)
                break
            found.append(answer)
            passes.append(False)
        pairs = zip(found, passes, strict=True)
        name, most = self._inner.name, 1 + self._rounds
        samples = tuple(one for each, yes in pairs for one in samples_of(each, name, yes))
        told = Deliberation(f"refine:{self._rounds}", most, samples, stopped=stopped)
        return concluded(answer, told)


def _told(complaint: str) -> Message:
    return Message(
        "user",
        f"That answer has a fault: {complaint}\n\nGive the corrected answer alone, in the form "
        "that was asked for.",
    )
