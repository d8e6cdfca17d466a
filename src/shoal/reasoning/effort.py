"""What a strategy may spend, and what it has spent: around every single call of a model.

Tokens and USD of a call are reckoned at most before it is asked (input from its bytes, output from
what it allows), set aside while it runs, and put right when it has answered. What the limit cannot
pay for any more is not asked. Where the caller set no limit on the answer's tokens the call gets
one, so that it cannot take more than was set aside.
"""

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Answerer, Deliberation, Request, Sample, Usage
from shoal.errors import EffortExceeded, EngineError, ShoalError, kind_of
from shoal.reasoning.asking import with_limit

_LEAST_OUTPUT = 16  # tokens, under which no answer is worth asking for
_PROBE = 1_000  # tokens of output, to learn what one costs


class Limit(Struct, frozen=True):
    """What one use of a strategy may take at most; None: no limit of that kind."""

    usd: float | None = None
    tokens: int | None = None

    def __bool__(self) -> bool:
        return self.usd is not None or self.tokens is not None


class Effort:
    """The limit of one use of a strategy, shared by all calls of models that it makes."""

    def __init__(self, limit: Limit = Limit(), at_once: int = 4) -> None:  # noqa: B008  # frozen
        """``at_once``: how many calls may run at the same time."""
        self.limit = limit
        self._turns = asyncio.Semaphore(at_once)
        self._tokens, self._usd = 0, 0.0

    @property
    def tokens(self) -> int:
        """Tokens spent, and set aside."""
        return self._tokens

    @property
    def usd(self) -> float:
        """USD spent, and set aside."""
        return self._usd

    @property
    def turns(self) -> asyncio.Semaphore:
        """Who has one may ask a model."""
        return self._turns

    def affordable(self, usage: Usage, cost: Callable[[Usage | None], float | None]) -> int:
        """The tokens of output that can still be paid for a call of that input, up to those of
        ``usage``; less than ``_LEAST_OUTPUT``: it should not be made."""
        most = usage.output_tokens
        if self.limit.tokens is not None:
            most = min(most, self.limit.tokens - self._tokens - usage.input_tokens)
        if self.limit.usd is not None:
            bare = cost(replace(usage, output_tokens=0))
            probed = cost(replace(usage, output_tokens=_PROBE))
            if bare is None or probed is None:
                return 0
            left, each = self.limit.usd - self._usd - bare, (probed - bare) / _PROBE
            if left < 0:
                return 0
            most = int(min(most, left / each)) if each > 0 else most  # which may be infinite
        return most

    def take(self, tokens: int, usd: float) -> None:
        """Set aside, or give back what is negative."""
        self._tokens, self._usd = self._tokens + tokens, self._usd + usd


class Metered:
    """One model, each call of which is within the limit and told as a ``Sample``.

    ``reckon`` gives the most tokens that a request may take, ``cost`` the USD of usage (None where
    nobody knows), ``count`` the tokens of an answer whose provider told none.
    """

    def __init__(
        self,
        inner: Answerer,
        effort: Effort,
        reckon: Callable[[Request], Usage],
        cost: Callable[[Usage | None], float | None],
        count: Callable[[Request, Answer], Usage | None],
    ) -> None:
        self._inner, self._effort = inner, effort
        self._reckon, self._cost, self._count = reckon, cost, count

    @property
    def name(self) -> str:
        """The model's."""
        return self._inner.name

    async def answer(self, request: Request) -> Answer:
        """The model's answer, with the one sample that it is.

        Raises:
            EffortExceeded: the limit does not pay for it; nothing was sent.
            EngineError: it could not answer; ``tried`` holds the sample.
        """
        async with self._effort.turns:
            expected = self._reckon(request)
            if self._effort.limit:
                output = self._effort.affordable(expected, self._cost)
                if output < min(_LEAST_OUTPUT, max(expected.output_tokens, 1)):
                    raise EffortExceeded(self.name)
                request = with_limit(request, output)
                expected = replace(expected, output_tokens=output)
            return await self._asked(request, expected)

    async def _asked(self, request: Request, expected: Usage) -> Answer:
        tokens = expected.input_tokens + expected.output_tokens
        usd = self._cost(expected) or 0.0
        self._effort.take(tokens, usd)
        began, sample = time.perf_counter(), Sample(self.name)
        try:
            answer = await self._inner.answer(request)
            usage = self._count(request, answer)
            sample = replace(sample, usage=usage, cost=self._cost(usage), latency_ms=_ms(began))
            if not answer.complete:
                raise EngineError(f"the answer of {self.name} broke off")
        except ShoalError as error:
            if sample.usage is None and isinstance(error, EngineError) and not error.may_cost:
                self._effort.take(-tokens, -usd)
                sample = replace(sample, cost=0.0)
            error.tried = (replace(sample, error=kind_of(error), latency_ms=_ms(began)),)
            raise
        if sample.usage is not None:
            used = sample.usage.input_tokens + sample.usage.output_tokens
            self._effort.take(used - tokens, (usd if sample.cost is None else sample.cost) - usd)
        told = Deliberation("", 1, (sample,), cost=sample.cost)
        return replace(answer, usage=sample.usage, deliberation=told)


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1e3, 3)
