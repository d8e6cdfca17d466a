"""Tries cheaper models on a sample of a task's calls, so that their agreement can be certified."""

import asyncio
import time

from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.assembly.aside import Aside
from shoal.assembly.background import Background
from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled, Said
from shoal.assembly.models import Model
from shoal.assembly.purse import Purse
from shoal.assembly.spending import Recorded
from shoal.guarantees import draw
from shoal.routing.agreement import SILENT, may_agree
from shoal.routing.filing import agreement_id
from shoal.routing.rung import Verdict, beyond
from shoal.storage import Ground, Spending, Store, Try
from shoal.tasks import CallContract

_COUNT_S = 60.0  # between two looks at how many tries a task has, which other processes add to


class Trying:
    """Asks the cascade's models beside calls of known tasks, after their answers have left.

    Which calls is drawn by their ids alone, among those that a certificate of theirs would speak
    of: what the task's specialist passes on, or all calls while no specialist serves.
    """

    def __init__(self, store: Store, counting: Counting, purse: Purse) -> None:
        self._store, self._purse = store, purse
        self._aside = Aside(store, counting, "try")
        self._secret = store.database.secret()
        self._counts: dict[tuple[str, str, str], tuple[float, dict[str, int]]] = {}
        self.background = Background("a try of a cheaper model")

    def after(self, handled: Handled) -> None:
        """Start the tries that are due for a call that has been answered, if any."""
        cascade, post, receipt = handled.regime.cascade, handled.post, handled.receipt
        if not cascade.models or post is None:
            return
        if not may_agree(handled.regime.promise(post.task.name), post.task.contract):
            return
        after = post.rung.card.id if post.stage == "serve" and post.rung else ""
        if after and handled.unsure is None:
            return  # the specialist answered, or was not asked: such a call goes no further
        if beyond(handled.request, isinstance(post.task.contract, CallContract)):
            return  # nor would the rung be asked, so its certificate is not to speak of such calls
        if post.agreement is not None:  # at one rate, whether or not it was asked, and said what
            due = receipt.sampled
        else:
            due = draw(receipt.call_id, cascade.try_rate, self._secret)
        if due:
            self.background.start(handled.regime, self._try(handled, post.task.id, after))

    async def _try(self, handled: Handled, task: str, after: str) -> None:
        counts = await self._counted(task, after, handled.receipt.llm)
        cascade = handled.regime.cascade
        names = [name for name in cascade.models if name != handled.receipt.llm]
        if not handled.said and all(counts.get(name, 0) >= cascade.tries for name in names):
            return
        known = {said.model.name: said for said in handled.said}
        # Who was tried least comes first: one that always fails ends the try before it costs.
        for name in sorted(names, key=lambda name: counts.get(name, 0)):
            counts[name] = counts.get(name, 0) + 1  # before it is asked: others are on their way
            try:
                if name in known:
                    await self._record(handled, _try_of(handled, known[name], after))
                else:
                    await self._ask(handled, handled.regime.models.get(name), after)
            except BaseException:  # a shutdown too: it was not tried
                counts[name] -= 1
                raise
        if after and handled.unsure is not None:
            await self._record(handled, _unsure_of(handled, handled.unsure, after))

    async def _ask(self, handled: Handled, model: Model, after: str) -> None:
        reservation = self._purse.reserve(handled, model)
        try:
            said = await self._aside.ask(handled, model)
            recorded = await self._record(handled, _try_of(handled, said, after), said.spent)
            reservation.settle(said.spent.cost, recorded)
        finally:
            reservation.release()

    async def _record(
        self, handled: Handled, tried: Try, spent: Spending | None = None
    ) -> Recorded:
        kept = await handled.regime.discretion.storable(tried.answer) or SILENT
        # Its samples are paid for; why there were no more may quote what is not stored.
        told = kept.deliberation and replace(kept.deliberation, samples=(), stopped="")
        tried = replace(tried, answer=replace(kept, body=b"", deliberation=told))

        def write(conn: Connection) -> bool:
            if spent is not None:
                self._store.spend.add(conn, spent)
            return self._store.tries.insert(conn, tried)

        return self._store.writer.submit(write)

    async def _counted(self, task: str, after: str, llm: str) -> dict[str, int]:
        at, counts = self._counts.get((task, after, llm), (0.0, {}))
        now = time.monotonic()
        if not at or now - at > _COUNT_S:
            found = await asyncio.to_thread(self._count, task, after, llm)
            if self._counts.get((task, after, llm), (0.0, counts))[0] == at:  # nobody was quicker
                self._counts[task, after, llm] = (now, found)
        return self._counts[task, after, llm][1]

    def _count(self, task: str, after: str, llm: str) -> dict[str, int]:
        ground = Ground.now(self._store.events, task, agreement_id(task), after, llm)
        return self._store.tries.counts(ground)


def _try_of(handled: Handled, said: Said, after: str) -> Try:
    return Try(
        call_id=handled.receipt.call_id,
        model=said.model.name,
        after=after,
        at=said.spent.at,
        answer=said.answer,
        cost=said.spent.cost,
        latency_ms=round(said.latency_ms, 3),
    )


def _unsure_of(handled: Handled, verdict: Verdict, after: str) -> Try:
    """What the specialist would have said, as one more voice."""
    assert verdict.withheld is not None
    return Try(
        call_id=handled.receipt.call_id,
        model=after,
        after=after,
        at=handled.receipt.at,
        answer=verdict.withheld,
        cost=0.0,
        latency_ms=0.0,
        signal=verdict.tried.signal,
    )
