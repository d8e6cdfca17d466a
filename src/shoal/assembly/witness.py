"""Compares answers with the reference after they have left: shadows and audits.

It never delays a caller. What it finds goes into the store together with the certificate's
e-process; when that crosses, the demotion is in the same transaction.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec.structs import replace

from shoal.assembly.aside import Aside
from shoal.assembly.background import Background
from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled
from shoal.assembly.roster import Post
from shoal.chat import Answer
from shoal.errors import StoreError
from shoal.guarantees import Certificate
from shoal.routing.rung import Verdict
from shoal.storage import Audit, Spending, Store
from shoal.tasks import same

log = logging.getLogger(__name__)


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
        self._store, self._aside = store, Aside(store, counting, "audit")
        self._ask, self._demoted = ask, demoted
        self.background = Background("a comparison with the reference")

    def after(self, handled: Handled, answer: Answer) -> None:
        """Start the comparison that is due for an answer that has left, if any."""
        post = handled.post
        if post is None or post.rung is None:
            return
        if handled.receipt.certificate:
            if handled.receipt.sampled:
                self.background.start(handled.regime, self._audit(handled, post, answer))
        elif handled.answerer is not handled.model:
            return  # what stands in for the LLM is no reference
        elif post.stage == "shadow" and not post.rung.refusal(
            handled.request, handled.receipt.llm, handled.receipt.at
        ):
            self.background.start(handled.regime, self._shadow(handled, post, answer))

    async def _shadow(self, handled: Handled, post: Post, answer: Answer) -> None:
        verdict = await self._ask(handled)
        if verdict.answer is not None:
            await self._record(handled, post, "shadow", verdict.answer, answer)

    async def _audit(self, handled: Handled, post: Post, answer: Answer) -> None:
        assert handled.model is not None
        said = await self._aside.ask(handled, handled.model)
        await self._record(handled, post, "audit", answer, said.answer, said.spent)

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
