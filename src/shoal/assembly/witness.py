"""Compares answers with the reference after they have left: shadows and audits.

It never delays a caller. What it finds goes into the store together with the certificate's
e-processes; when one crosses, the demotion is in the same transaction. Where people are the
reference nothing is compared here: what they say is waited for (``reviewing``).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import scipy.special  # noqa: F401  # at start, not while the first audit is weighed
from msgspec.structs import replace

from shoal.assembly.aside import Aside
from shoal.assembly.background import Background
from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled
from shoal.assembly.roster import OwnRung
from shoal.chat import Answer
from shoal.errors import StoreError
from shoal.guarantees import Certificate
from shoal.routing.rung import Rung, Verdict
from shoal.storage import Audit, Spending, Store
from shoal.tasks import same
from shoal.tasks.answer_label import label_of
from shoal.tasks.contract import read

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
        post, receipt = handled.post, handled.receipt
        if post is None:
            return
        if handled.rung is not None:
            if receipt.sampled and not handled.rung.certificate.by_people:
                self.background.start(handled.regime, self._audit(handled, handled.rung, answer))
            return
        rung = post.rung
        if rung is None or post.stage != "shadow" or handled.answerer is not handled.model:
            return  # what stands in for the LLM is no reference
        if post.agreement is not None and not receipt.sampled:
            return  # of the others, only those come here on which the models do not agree
        if rung.certificate.by_people:
            return  # no LLM knows what people would say
        if not rung.refusal(handled.request, receipt.llm, receipt.at):
            self.background.start(handled.regime, self._shadow(handled, rung, answer))

    async def _shadow(self, handled: Handled, rung: Rung, answer: Answer) -> None:
        verdict = await self._ask(handled)
        if verdict.answer is not None:
            await self._record(handled, rung, "shadow", verdict.answer, answer)

    async def _audit(self, handled: Handled, rung: OwnRung, answer: Answer) -> None:
        assert handled.model is not None
        said = await self._aside.ask(handled, handled.model)
        await self._record(handled, rung, "audit", answer, said.answer, said.spent)

    async def _record(
        self,
        handled: Handled,
        rung: OwnRung,
        kind: Literal["audit", "shadow"],
        answer: Answer,
        reference: Answer,
        spent: Spending | None = None,
    ) -> None:
        certificate: Certificate = rung.certificate
        kept = await handled.regime.discretion.kept_answer(reference)
        # In a thread: a comparator of the task's own may take long.
        agrees = await asyncio.to_thread(same, rung.card.contract, answer, reference)
        audit = Audit(
            call_id=handled.receipt.call_id,
            at=time.time(),
            task=rung.card.task,
            certificate=certificate.id,
            kind=kind,
            agrees=agrees,
            reference=replace(kept, body=b""),
            label=_label(rung, answer),
        )
        delta = 1 - certificate.confidence
        done = self._store.writer.submit(
            lambda conn: self._store.audits.record(conn, audit, delta, spent), urgent=True
        )
        try:
            demoted = await asyncio.wrap_future(done)
        except StoreError as error:
            raise StoreError(f"an audit of {rung.name} was not written: {error}") from error
        if demoted:
            log.warning("%s was demoted: audits broke its promise", rung.name)
            await self._demoted()


def _label(rung: OwnRung, answer: Answer) -> str | None:
    """The label of a small answer, if its certificate promises each label by itself."""
    if rung.certificate.labels is None:
        return None
    return label_of(rung.card.contract, read(rung.card.contract, answer))
