"""Asks the rungs below the LLM: the task's specialist, then cheaper models that may agree."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.aside import Aside
from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled, Said
from shoal.assembly.linking import not_worth_asking
from shoal.assembly.purse import Holding, Purse
from shoal.assembly.roster import OwnRung, Post
from shoal.assembly.spending import record_spending
from shoal.chat import Answer
from shoal.errors import ShoalError
from shoal.routing.agreement import AgreementRung, Voices
from shoal.routing.judging import JudgingOptions
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import OWN, Tried
from shoal.routing.rung import Verdict
from shoal.specialists.generated import KIND as GENERATED
from shoal.storage import Store
from shoal.tasks import comparator_name
from shoal.tasks.answer_label import has_labels

log = logging.getLogger(__name__)

_ROUNDING = 1e-9
_WRITERS = 16  # calls that wait for local models at once; these have slots of their own


class Climb(Struct, frozen=True):
    """What came of asking the rungs: ``answer`` by ``rung``, or neither; all who were ``tried``.

    ``unsure`` is what the specialist said that would have answered, had it been surer, ``said``
    what the models did that were asked whether they agree.
    """

    tried: tuple[Tried, ...]
    answer: Answer | None = None
    rung: OwnRung | None = None
    unsure: Verdict | None = None
    said: tuple[Said, ...] = ()


class Rungs:
    """The rungs of all tasks, and the threads in which specialists predict: one for what is served,
    one for shadows; and others for those that wait seconds for a local model, so that nobody else
    waits for these."""

    def __init__(self, store: Store, purse: Purse, counting: Counting) -> None:
        self._store, self._purse = store, purse
        self._aside = Aside(store, counting, None)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-rung")
        self._shadow_pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-shadow")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="shoal-writer")
        self._shadow_writers = ThreadPoolExecutor(1, thread_name_prefix="shoal-shadow-writer")

    async def climb(self, handled: Handled, post: Post) -> Climb:
        """Ask the task's specialist, if it serves, then its cheaper models, as far as each is
        certified for this call."""
        first = await self._by_specialist(handled, post) if post.stage == "serve" else Climb(())
        second = post.agreement
        if first.answer is not None or second is None:
            return first
        serving = post.rung.card.id if post.stage == "serve" and post.rung else ""
        if second.certificate.after != serving or (serving and first.unsure is None):
            return first  # its certificate speaks of other calls than this one
        if post.stage == "shadow" and handled.receipt.sampled:
            reason = "the models step aside: the shadow is compared on a fair sample"
            return replace(first, tried=(*first.tried, second.passed_over(reason)))
        refusal = (
            _refusal(second, handled, post)
            or _not_as_certified(second, handled, post)
            or self._too_dear(second, handled)
            or not_worth_asking(handled, second.certificate.models, second.certificate.coverage)
        )
        if refusal:
            return replace(first, tried=(*first.tried, second.passed_over(refusal)))
        return await self._by_agreement(handled, second, first)

    async def ask_in_shadow(self, handled: Handled) -> Verdict:
        """In a thread of its own: nobody who is served waits for a shadow."""
        return await self._predict(self._shadow_pool, self._shadow_writers, handled)

    def close(self) -> None:
        """Let what runs end, and begin nothing more."""
        for pool in (self._pool, self._shadow_pool, self._writers, self._shadow_writers):
            pool.shutdown(wait=False)

    def _too_dear(self, rung: AgreementRung, handled: Handled) -> str:
        """Why the caller's limit on this call's cost may be passed, if the LLM has to be asked
        after the rung; "" if it cannot, or there is none."""
        most = handled.caller.max_cost
        if most is None:
            return ""
        models = [handled.regime.models.get(name) for name in rung.certificate.models]
        asked = models if handled.model is None else [*models, handled.model]
        costs = [self._purse.upper(handled, model) for model in asked]
        known = [cost for cost in costs if cost is not None]
        if len(known) == len(costs) and sum(known) <= most:
            return ""
        return "with the LLM after it, it might cost more than the caller allows"

    async def _by_specialist(self, handled: Handled, post: Post) -> Climb:
        rung = post.rung
        if rung is None:
            return Climb((Tried("specialist", False, f"dropped: {post.problem}"),))
        refusal = _refusal(rung, handled, post)
        if refusal:
            return Climb((rung.passed_over(refusal),))
        verdict = await self._predict(self._pool, self._writers, handled)
        if verdict.answer is None:
            return Climb((verdict.tried,), unsure=verdict if verdict.withheld else None)
        return Climb((verdict.tried,), verdict.answer, rung)

    async def _predict(
        self, quick: ThreadPoolExecutor, slow: ThreadPoolExecutor, handled: Handled
    ) -> Verdict:
        post, match = handled.post, handled.match
        assert match is not None
        assert post is not None
        assert post.rung is not None
        ask, learned = post.rung.ask, handled.regime.discretion.learned

        def work() -> Verdict:
            return ask(learned(match.input_of(handled.request)), handled.request)

        pool = slow if post.rung.card.kind == GENERATED.name else quick
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def _by_agreement(self, handled: Handled, rung: AgreementRung, first: Climb) -> Climb:
        began, heard = time.perf_counter(), list[Said]()
        asked = [self._ask(handled, name, heard) for name in rung.certificate.models]
        try:
            found = await asyncio.gather(*asked)
            took = time.perf_counter() - began
            line = Tried(rung.name, False, "", latency_ms=took * 1e3, at=time.time() - took)
            verdict = await self._judged(handled, rung, first, found, line)
        except BaseException:  # a caller that hung up: those who had answered are paid
            self.pay(heard)
            raise
        accepted = rung if verdict.answer is not None else None
        tried = (*first.tried, verdict.tried)
        return Climb(tried, verdict.answer, accepted, first.unsure, tuple(heard))

    async def _judged(
        self,
        handled: Handled,
        rung: AgreementRung,
        first: Climb,
        found: Sequence[Said | ShoalError],
        line: Tried,
    ) -> Verdict:
        """Any failure is a reason to go on."""
        said = [one for one in found if isinstance(one, Said)]
        failed = [one for one in found if isinstance(one, ShoalError)]
        if failed:
            return Verdict(None, replace(line, reason=str(failed[0])))
        try:
            voices = await _voices(rung, handled, first, said)
            # In a thread: a validator of one's own, or an input's vector, may take long.
            return await asyncio.to_thread(rung.judge, voices, line)
        except ShoalError as error:
            return Verdict(None, replace(line, reason=str(error)))
        except Exception as error:  # whatever broke, the LLM answers
            log.exception("%s failed", rung.name)
            return Verdict(None, replace(line, reason=f"failed: {type(error).__name__}"))

    def pay(self, said: Sequence[Said]) -> None:
        """Count what models said for a call that nobody got an answer to."""
        for one in said:
            recorded = record_spending(self._store, replace(one.spent, purpose="try"))
            if one.reservation is not None:
                one.reservation.settle(one.spent.cost, recorded)

    async def _ask(self, handled: Handled, name: str, heard: list[Said]) -> Said | ShoalError:
        """Ask one model, with what it may cost set aside; any failure is a reason to go on. What it
        says is added to ``heard``."""
        holding = Holding(self._purse, handled, self._store)
        try:
            model = handled.regime.models.get(name)
            with holding.asking(model):
                said = await self._aside.ask(handled, model)
        except ShoalError as error:
            return error
        heard.append(replace(said, reservation=holding.reservation))
        return heard[-1]


def by_rung(handled: Handled, climb: Climb) -> Handled:
    """The call with the answer of the rung that accepted."""
    tried = climb.tried[-1]
    reason = f"signal {tried.signal:.4f} reaches the certified threshold {tried.threshold:.4f}"
    receipt = replace(
        handled.receipt,
        answered_by=tried.answerer,
        reason=reason,
        tried=climb.tried,
        certificate=tried.certificate,
        waited_ms=sum(one.latency_ms for one in climb.tried),
        provider=OWN,
    )
    reservation = climb.said[0].reservation if climb.said else None
    return replace(handled, receipt=receipt, answer=climb.answer, reservation=reservation)


def why_not_small(post: Post | None) -> str:
    """Why nothing but the LLM was asked."""
    if post is None:
        return "no known task"
    if post.stage == "shadow":
        return "the task's specialist is in shadow"
    return "the task is observed: nothing certified serves it"


async def _voices(
    rung: AgreementRung, handled: Handled, first: Climb, said: Sequence[Said]
) -> Voices:
    """What was said, as it was certified: from what may be stored of request and answers."""
    match, discretion = handled.match, handled.regime.discretion
    assert match is not None
    given = await asyncio.to_thread(discretion.learned, match.input_of(handled.request))
    answers: list[Answer | None] = [one.answer for one in said]
    own = None
    if rung.certificate.after:
        assert first.unsure is not None
        answers.insert(0, first.unsure.withheld)
        own = first.unsure.tried.signal
    storable = [one and await discretion.storable(one) for one in answers]
    request, _ = await discretion.kept(handled.request, None)
    return Voices(request, given.text, tuple(storable), own)


def _refusal(rung: OwnRung, handled: Handled, post: Post) -> str:
    promise = handled.regime.promise(post.task.name)
    receipt = handled.receipt
    labelled = promise.per_label and has_labels(post.task.contract)
    if labelled and rung.certificate.labels is None:
        return "certified on the average over all answers, promised is each label by itself"
    if rung.certificate.by_people != promise.by_people:
        of = ("people", "the LLM") if rung.certificate.by_people else ("the LLM", "people")
        return f"certified to agree with {of[0]}, promised is agreement with {of[1]}"
    other = _compared_otherwise(rung, handled.regime.judging(post.task.name))
    if other:
        return other
    return _promises_less(rung, promise) or rung.refusal(handled.request, receipt.llm, receipt.at)


def _not_as_certified(rung: AgreementRung, handled: Handled, post: Post) -> str:
    """Why its models cannot be asked and judged as its certificate says; "" if they can."""
    certificate, regime = rung.certificate, handled.regime
    missing = [name for name in certificate.models if name not in regime.cascade.models]
    if missing:
        return f"[cascade] in shoal.toml names no model {missing[0]!r} any more"
    if certificate.validators != regime.judging(post.task.name).validators:
        return "certified with other validators than shoal.toml names"
    if certificate.sampling != regime.models.reasoning.sampling(certificate.models):
        return f"certified with strategies at {certificate.sampling}, not as [reasoning] says now"
    own = post.rung.certificate.confidence if post.stage == "serve" and post.rung else 1.0
    budget = regime.promise(post.task.name).delta
    if (1 - own) + (1 - certificate.confidence) > budget + _ROUNDING:
        return "the specialist's certificate leaves it no part of the error budget"
    return ""


def _compared_otherwise(rung: OwnRung, judging: JudgingOptions) -> str:
    """Why a certificate's comparator does not do now; "" if it does."""
    wanted = judging.applied(rung.card.contract)
    if wanted == rung.card.contract:
        return ""
    return (
        f"certified with answers compared by: {rung.certificate.comparator}; "
        f"shoal.toml says: {comparator_name(wanted)}"
    )


def _promises_less(rung: OwnRung, promise: PromiseOptions) -> str:
    """Why a certificate does not do for what is to be promised now; "" if it does."""
    certificate = rung.certificate
    if certificate.alpha <= promise.alpha and certificate.confidence >= promise.confidence:
        return ""
    return (
        f"certified for {certificate.alpha:.1%} at {certificate.confidence:.1%} confidence, "
        f"promised is {promise.alpha:.1%} at {promise.confidence:.1%}"
    )
