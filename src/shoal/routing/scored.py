"""A specialist as an answerer, and its own score as a signal."""

import asyncio
from collections.abc import Callable

from shoal.chat import Answer, Request, Usage
from shoal.errors import EngineError
from shoal.routing.prices import Tariff
from shoal.routing.signals.signal import Evidence
from shoal.specialists.specialist import Prediction, Specialist
from shoal.tasks.contract import Contract, written
from shoal.tasks.input import Input

InputOf = Callable[[Request], Input]

FREE = Tariff(input=0.0, output=0.0)
"""The price of what runs on this machine."""


class Declined(EngineError):
    """A specialist has no answer to this request."""

    code = "declined"
    may_cost = False


class ScoredAnswerer:
    """Answers with a specialist, in a thread; ``input_of`` finds the task's input in a request.

    Its answers have used no tokens; its tariff is ``FREE``.
    """

    def __init__(
        self, name: str, specialist: Specialist, contract: Contract, input_of: InputOf
    ) -> None:
        self._name, self._specialist = name, specialist
        self._contract, self._input_of = contract, input_of

    @property
    def name(self) -> str:
        """Who answers, as receipts name it."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The specialist's output, written as the LLM would have.

        Raises:
            Declined: it has none, or none that keeps the contract.
        """
        prediction = await asyncio.to_thread(self.predict, request)
        output = prediction.output
        answer = None if output is None else written(self._contract, output)
        if answer is None:
            raise Declined(f"{self._name} has no answer to this request")
        return Answer(
            text=answer.text,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            model=self._name,
            usage=Usage(),
        )

    def predict(self, request: Request) -> Prediction:
        """What the specialist says of the request's input."""
        return self._specialist.predict(self._input_of(request))


class OwnScore:
    """The specialist's own calibrated score, 0 to 1."""

    name = "score"

    def __init__(self, answerer: ScoredAnswerer) -> None:
        self._answerer = answerer

    def score(self, evidence: Evidence) -> float:
        """Of the prediction for the request; predicting again costs less than carrying it along."""
        return self._answerer.predict(evidence.request).signal
