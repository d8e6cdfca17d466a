"""A cascade: answerers in order of cost, the first whose signal reaches its threshold answers.

A rung may be any answerer: a specialist behind ``ScoredAnswerer``, a local generative model, a
cheaper remote one, another cascade. Its witnesses are asked at the same time as itself, and nobody
is asked twice for one request: a model that was a witness below answers at once further up.

What this module does not know: where thresholds come from (``guarantees.joint``), what a request
may reach (policy), and how anything is stored.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from shoal.chat import Answer, Answerer, Request
from shoal.errors import ConfigError, EngineError, ShoalError, kind_of
from shoal.routing.prices import Tariff
from shoal.routing.receipt import Tried
from shoal.routing.signals.signal import Evidence, Signal


class CascadeRung(Struct, frozen=True):
    """Accepts what ``answerer`` says if ``signal`` is at or above ``threshold``; inf shuts it."""

    answerer: Answerer
    signal: Signal
    threshold: float
    witnesses: tuple[Answerer, ...] = ()
    certificate: str = ""


class Reached(Struct, frozen=True):
    """What came of one request.

    ``tried`` are the receipt's lines: for each rung its witnesses, then itself. ``cost`` is USD of
    everything that was asked, witnesses and declined answers included, None if a price is unknown;
    ``costs`` the same for each who was asked.
    """

    answer: Answer
    answered_by: str
    tried: tuple[Tried, ...]
    cost: float | None
    costs: Mapping[str, float | None]
    latency_ms: float


class _Said(Struct, frozen=True):
    """What one answerer replied, or why it did not."""

    name: str
    answer: Answer | None
    error: ShoalError | None
    at: float
    latency_ms: float

    def line(self, accepted: bool, reason: str, rung: CascadeRung | None, signal: float) -> Tried:
        """Its line of the receipt; without a ``rung`` it was a witness, or the last."""
        return Tried(
            answerer=self.name,
            accepted=accepted,
            reason=reason,
            signal=None if rung is None or self.answer is None else signal,
            threshold=None if rung is None else rung.threshold,
            certificate="" if rung is None else rung.certificate,
            latency_ms=self.latency_ms,
            at=self.at,
            error="" if self.error is None else kind_of(self.error),
        )


class Cascade:
    """``rungs`` in order of cost, and the ``last`` answerer, whose answers are the reference.

    ``tariffs`` are prices by the answerers' names; who has none there costs an unknown amount.

    Raises:
        ConfigError: two different answerers of one name, for receipts and costs go by names, or a
            rung whose answerer is its own witness.
    """

    def __init__(
        self,
        name: str,
        rungs: Sequence[CascadeRung],
        last: Answerer,
        tariffs: Mapping[str, Tariff] | None = None,
    ) -> None:
        self._name, self._rungs, self._last = name, tuple(rungs), last
        self._tariffs = dict(tariffs or {})
        everyone = [last, *(one for r in self._rungs for one in (r.answerer, *r.witnesses))]
        for one in everyone:
            if any(other.name == one.name and other is not one for other in everyone):
                raise ConfigError(f"cascade {name}: two different answerers are named {one.name!r}")
        for rung in self._rungs:
            voices = [rung.answerer.name, *(witness.name for witness in rung.witnesses)]
            if len(set(voices)) < len(voices):
                raise ConfigError(f"cascade {name}: a voice counts twice in {', '.join(voices)}")

    @property
    def name(self) -> str:
        """Its name, as an answerer."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The answer alone.

        Raises:
            EngineError: the last answerer could not, and nobody before it was sure enough.
        """
        return (await self.reach(request)).answer

    async def reach(self, request: Request) -> Reached:
        """Ask the rungs in order, then the last answerer. A rung that fails is passed over.

        Raises:
            EngineError: the last answerer could not; its ``tried`` says who was asked before.
        """
        began = time.perf_counter()
        errand = _Errand(request)
        tried: list[Tried] = []
        for rung in self._rungs:
            if rung.threshold == float("inf"):
                tried.append(Tried(rung.answerer.name, False, "the rung is shut"))
                continue
            answer = await errand.climb(rung, tried)
            if answer is not None:
                return self._reached(answer, rung.answerer, tried, errand, began)
        said = await errand.ask(self._last)
        tried.append(said.line(said.error is None, _why(said, "the last rung"), None, 0.0))
        if said.answer is None:
            assert said.error is not None
            said.error.tried = tuple(tried)
            raise said.error
        return self._reached(said.answer, self._last, tried, errand, began)

    def _reached(
        self, answer: Answer, by: Answerer, tried: list[Tried], errand: "_Errand", began: float
    ) -> Reached:
        costs = {said.name: self._cost(said) for said in errand.said()}
        known = [cost for cost in costs.values() if cost is not None]
        return Reached(
            answer=answer,
            answered_by=by.name,
            tried=tuple(tried),
            cost=sum(known) if len(known) == len(costs) else None,
            costs=costs,
            latency_ms=(time.perf_counter() - began) * 1e3,
        )

    def _cost(self, said: _Said) -> float | None:
        """USD; what failed costs nothing, unless it may have been worked on."""
        if said.answer is None:
            may_cost = isinstance(said.error, EngineError) and said.error.may_cost
            return None if may_cost else 0.0
        tariff = self._tariffs.get(said.name)
        return None if tariff is None else tariff.cost(said.answer.usage)


class _Errand:
    """Who has been asked for one request, and what they said; nobody is asked twice."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._said: dict[str, _Said] = {}

    def said(self) -> tuple[_Said, ...]:
        """Everything that was asked."""
        return tuple(self._said.values())

    async def climb(self, rung: CascadeRung, tried: list[Tried]) -> Answer | None:
        """What the rung answers if it accepts; its lines are added to ``tried`` in any case."""
        asked = await asyncio.gather(*map(self.ask, (rung.answerer, *rung.witnesses)))
        own, witnesses = asked[0], asked[1:]
        tried += [w.line(False, _why(w, f"a witness of {own.name}"), None, 0.0) for w in witnesses]
        if own.answer is None:
            tried.append(own.line(False, _why(own, ""), rung, 0.0))
            return None
        evidence = Evidence(self._request, own.answer, tuple(w.answer for w in witnesses))
        signal = await asyncio.to_thread(rung.signal.score, evidence)  # a query may take long
        accepted = signal >= rung.threshold and signal > float("-inf")  # NaN passes neither
        verb = "reaches" if accepted else "is under"
        reason = f"{rung.signal.name} {verb} the threshold"
        tried.append(own.line(accepted, reason, rung, signal))
        return own.answer if accepted else None

    async def ask(self, answerer: Answerer) -> _Said:
        """Ask, or remember what was said. A failure is part of what is said."""
        known = self._said.get(answerer.name)
        if known is not None:
            return known
        began, at = time.perf_counter(), time.time()
        answer, error = None, None
        try:
            answer = await answerer.answer(self._request)
        except ShoalError as raised:
            error = raised
        took = (time.perf_counter() - began) * 1e3
        found = self._said[answerer.name] = _Said(answerer.name, answer, error, at, took)
        return found


def _why(said: _Said, otherwise: str) -> str:
    return otherwise if said.error is None else f"failed: {said.error}"
