"""Compares answers with the reference after they have left: shadows and audits.

It never delays a caller. What it finds goes into the store together with the certificate's
e-process; when that crosses, the demotion is in the same transaction.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Literal

from msgspec.structs import replace

from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled
from shoal.assembly.models import Model
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Post
from shoal.assembly.spending import record_spending
from shoal.chat import Answer, Usage
from shoal.errors import EngineError, ShoalError, StoreError
from shoal.guarantees import Certificate
from shoal.routing.rung import Verdict
from shoal.storage import Audit, Spending, Store
from shoal.tasks import same

log = logging.getLogger(__name__)

_MOST = 1_000  # comparisons waiting; beyond, new ones are left out, whatever the answer was
_AT_ONCE = 16


class Witness:
    """Runs comparisons in the background of an event loop."""

    def __init__(
        self,
        store: Store,
        counting: Counting,
        ask: Callable[[Handled], Awaitable[Verdict]],
        demoted: Callable[[], Awaitable[None]],
    ) -> None:
        """``ask`` has the rung of a call's post answer; ``demoted`` is awaited after a demotion."""
        self._store, self._counting = store, counting
        self._ask, self._demoted = ask, demoted
        self._running: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.failures = 0
        self.left_out = 0

    def after(self, handled: Handled, answer: Answer) -> None:
        """Start the comparison that is due for an answer that has left, if any."""
        post = handled.post
        if post is None or post.rung is None:
            return
        if len(self._running) >= _MOST:
            self.left_out += 1
            return
        if handled.receipt.certificate:
            if handled.receipt.sampled:
                self._start(handled.regime, self._audit(handled, post, answer))
        elif handled.answerer is not handled.model:
            return  # what stands in for the LLM is no reference
        elif post.stage == "shadow" and not post.rung.refusal(
            handled.request, handled.receipt.llm, handled.receipt.at
        ):
            self._start(handled.regime, self._shadow(handled, post, answer))

    async def settle(self) -> None:
        """Wait until no comparison is running."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Stop what is running."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _start(self, regime: Regime, comparison: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._guarded(comparison))
        self._running.add(task)
        regime.hold()  # else a reload could close the engine that is asked
        task.add_done_callback(lambda _: regime.let_go())
        task.add_done_callback(self._running.discard)

    async def _guarded(self, comparison: Coroutine[None, None, None]) -> None:
        async with self._turns:
            try:
                await comparison
            except ShoalError as error:
                self.failures += 1
                log.warning("a comparison with the reference failed: %s", error)

    async def _shadow(self, handled: Handled, post: Post, answer: Answer) -> None:
        verdict = await self._ask(handled)
        if verdict.answer is not None:
            await self._record(handled, post, "shadow", verdict.answer, answer)

    async def _audit(self, handled: Handled, post: Post, answer: Answer) -> None:
        model, shield = handled.model, handled.shield
        assert model is not None
        assert shield is not None
        shield.check(model)
        try:
            asked = await model.engine.answer(shield.request_for(model))
        except EngineError as error:
            if error.may_cost:
                record_spending(self._store, _spent(handled, model, None))
            raise
        reference = shield.restored(asked, model)
        usage = await self._counting.usage(handled.request, reference, model, shield)
        reference = replace(reference, usage=usage)
        spent = _spent(handled, model, usage)
        if not reference.complete:
            record_spending(self._store, spent)
            raise EngineError("the reference's answer broke off")
        await self._record(handled, post, "audit", answer, reference, spent)

    async def _record(
        self,
        handled: Handled,
        post: Post,
        kind: Literal["audit", "shadow"],
        answer: Answer,
        reference: Answer,
        spent: Spending | None = None,
    ) -> None:
        assert post.rung is not None
        certificate: Certificate = post.rung.certificate
        kept = await handled.regime.discretion.kept_answer(reference)
        audit = Audit(
            call_id=handled.receipt.call_id,
            at=time.time(),
            task=post.task.id,
            certificate=certificate.id,
            kind=kind,
            agrees=same(post.rung.card.contract, answer, reference),
            reference=replace(kept, body=b""),
        )
        delta = 1 - certificate.confidence
        done = self._store.writer.submit(
            lambda conn: self._store.audits.record(conn, audit, delta, spent), urgent=True
        )
        try:
            demoted = await asyncio.wrap_future(done)
        except StoreError as error:
            raise StoreError(f"an audit of {post.task.name} was not written: {error}") from error
        if demoted:
            log.warning("task %s was demoted: audits broke its promise", post.task.name)
            await self._demoted()


def _spent(handled: Handled, model: Model, usage: Usage | None) -> Spending:
    return Spending(
        at=time.time(),
        key=handled.caller.key,
        model=model.name,
        task=handled.receipt.task_id,
        purpose="audit",
        usage=usage,
        cost=model.tariff.cost(usage),
        llm_cost=0.0,
    )
