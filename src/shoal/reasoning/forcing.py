"""Budget forcing: thinking that is cut at so many tokens, or made to go on (Muennighoff et al.
2025, "s1: Simple test-time scaling").

There it is done in the model's own token stream, where the end of the thinking is held back and
"Wait" put in its place. Through an API it is done in turns: the model thinks, is told to wait and
think on, and then has to answer. An answer with a form (JSON, calls of tools) keeps it, for only
the last turn asks for that.
"""

from msgspec.structs import replace

from shoal.chat import Answer, Answerer, Deliberation, Message, Reasoning, Request
from shoal.errors import ShoalError
from shoal.reasoning.asking import freely, with_turns, with_words
from shoal.reasoning.sampling import Candidate, concluded, samples_of

THOUGHTS = 1_024
"""Tokens of thoughts in one turn, where nobody says."""

_THINK = "Think step by step about what is asked, and write your thoughts down. Do not answer yet."
_WAIT = "Wait. Check what you thought so far, and think on. Do not answer yet."
_ANSWER = "Now give the answer alone, in the form that was asked for."


class BudgetForcing:
    """Thoughts of ``tokens`` at most each time, ``waits`` times made to go on, then the answer."""

    def __init__(self, inner: Answerer, tokens: int = THOUGHTS, waits: int = 0) -> None:
        self._inner, self._tokens, self._waits = inner, tokens, waits

    @property
    def name(self) -> str:
        """The answerer's, with the strategy behind it."""
        return f"{self._inner.name}+{self._strategy}"

    @property
    def _strategy(self) -> str:
        return f"wait:{self._waits}" if self._waits else f"think:{self._tokens}"

    async def answer(self, request: Request) -> Answer:
        """The answer, with what was thought as its reasoning.

        Raises:
            ShoalError: a turn failed; ``tried`` holds the samples of all.
        """
        turns: list[Candidate] = []
        thoughts: list[str] = []
        cut = 0
        thinking = with_words(freely(request, self._tokens), _THINK)
        for _ in range(1 + self._waits):
            said = await self._turn(thinking, turns)
            thoughts.append(said.text.strip())
            cut += said.finish_reason == "length"
            told = Message("assistant", thoughts[-1] or "…")
            thinking = with_turns(thinking, told, Message("user", _WAIT))
        told = Message("assistant", "\n\n".join(filter(None, thoughts)) or "…")
        asked = with_turns(request, told, Message("user", _ANSWER))
        answer = await self._turn(asked, turns)
        samples = tuple(one for each in turns for one in samples_of(each, self._inner.name))
        stopped = (
            f"thoughts were cut {cut} times at {self._tokens} tokens" if cut else "it answered"
        )
        reasoning = tuple(Reasoning(one) for one in thoughts if one)
        told_all = Deliberation(self._strategy, 1, samples, stopped=stopped)
        return concluded(replace(answer, reasoning=(*reasoning, *answer.reasoning)), told_all)

    async def _turn(self, request: Request, turns: list[Candidate]) -> Answer:
        try:
            answer = await self._inner.answer(request)
        except ShoalError as error:
            before = [one for each in turns for one in samples_of(each, self._inner.name)]
            error.tried = (*before, *error.tried)
            raise
        turns.append(answer)
        return answer
