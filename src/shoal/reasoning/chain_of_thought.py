"""Chain of thought: reasoning is asked for, and only the answer given back (Wei et al. 2022;
Kojima et al. 2022).

Plain text is asked for in one turn, with a line that tells the answer from the thoughts. An answer
with a form of its own (JSON, calls of tools, a few tokens) would be spoilt by them: it takes two.
"""

import re

from msgspec.structs import replace

from shoal.chat import Answer, Answerer, Deliberation, Reasoning, Request
from shoal.reasoning.asking import is_formal, with_words
from shoal.reasoning.forcing import BudgetForcing
from shoal.reasoning.sampling import concluded, samples_of

_ROOM = 512  # tokens, under which no thoughts fit in beside an answer
_ASK = (
    "Think step by step first. Then write a line that says ANSWER: and after it the answer alone, "
    "in the form that was asked for."
)
_MARK = re.compile(r"(?im)^[ \t*_#>]*(?:final[ \t]+)?answer[*_]*[ \t]*:[*_]*[ \t]*")


class ChainOfThought:
    """Has an answerer think before it answers."""

    def __init__(self, inner: Answerer) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The answerer's, with the strategy behind it."""
        return f"{self._inner.name}+cot"

    async def answer(self, request: Request) -> Answer:
        """The answer, with what was thought as its reasoning. A text in which no line tells the
        answer from the thoughts is given as it is.

        Raises:
            ShoalError: the answerer could not.
        """
        if is_formal(request, _ROOM):
            answer = await BudgetForcing(self._inner).answer(request)
            assert answer.deliberation is not None
            return replace(answer, deliberation=replace(answer.deliberation, strategy="cot"))
        answer = await self._inner.answer(with_words(request, _ASK))
        found = divided(answer.text)
        if found is not None:
            thought, text = found
            reasoning = (Reasoning(thought), *answer.reasoning) if thought else answer.reasoning
            answer = replace(answer, text=text, reasoning=reasoning, alternatives=())
        stopped = "it answered" if found else "it did not tell its answer from its thoughts"
        samples = samples_of(answer, self._inner.name)
        return concluded(answer, Deliberation("cot", 1, samples, stopped=stopped))


def divided(text: str) -> tuple[str, str] | None:
    """Thoughts and answer, told apart by the last line that begins with "ANSWER:"; None without.

    >>> divided("2 and 2 is 4.\\n**Answer:** 4")
    ('2 and 2 is 4.', '4')
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        return None
    answer = text[marks[-1].end() :].strip()
    return (text[: marks[-1].start()].strip(), answer) if answer else None
