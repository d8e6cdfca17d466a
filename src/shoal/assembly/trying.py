"""Tries cheaper models on a sample of a task's calls, so that their agreement can be certified."""

import asyncio
import time

from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.assembly.aside import Aside, Said
from shoal.assembly.background import Background
from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled
from shoal.assembly.models import Model
from shoal.assembly.purse import Purse
from shoal.assembly.spending import Recorded
from shoal.guarantees import draw
from shoal.storage import Store, Try

_COUNT_S = 60.0  # between two looks at how many tries a task has, which other processes add to


class Trying:
    """Asks the cascade's models beside calls of known tasks, after their answers have left.

    Which calls is drawn from those of the unbiased sample, by their ids alone.
    """

    def __init__(self, store: Store, counting: Counting, purse: Purse) -> None:
        self._store, self._purse = store, purse
        self._aside = Aside(store, counting, "try")
        self._secret = store.database.secret()
        self._counts: dict[str, tuple[float, dict[str, int]]] = {}  # by task: when, by model
        self.background = Background("a try of a cheaper model")

    def after(self, handled: Handled) -> None:
        """Start the tries that are due for a call that has been answered, if any."""
        cascade, receipt = handled.regime.cascade, handled.receipt
        if not cascade.models or handled.post is None or not receipt.sampled:
            return
        if draw(receipt.call_id, cascade.try_rate, self._secret):
            self.background.start(handled.regime, self._try(handled, handled.post.task.id))

    async def _try(self, handled: Handled, task: str) -> None:
        counts = await self._counted(task)
        cascade = handled.regime.cascade
        names = [name for name in cascade.models if name != handled.receipt.llm]
        if all(counts.get(name, 0) >= cascade.tries for name in names):
            return
        for name in names:  # all of them or none: what is compared must be of the same calls
            await self._ask(handled, handled.regime.models.get(name))
            counts[name] = counts.get(name, 0) + 1

    async def _ask(self, handled: Handled, model: Model) -> None:
        reservation = self._purse.reserve(handled, model)
        try:
            said = await self._aside.ask(handled, model)
            reservation.settle(said.spent.cost, await self._record(handled, said))
        finally:
            reservation.release()

    async def _record(self, handled: Handled, said: Said) -> Recorded:
        kept = await handled.regime.discretion.kept_answer(said.answer)
        tried = Try(
            call_id=handled.receipt.call_id,
            model=said.model.name,
            at=said.spent.at,
            answer=replace(kept, body=b""),
            cost=said.spent.cost,
            latency_ms=round(said.latency_ms, 3),
        )

        def write(conn: Connection) -> bool:
            self._store.spend.add(conn, said.spent)
            return self._store.tries.insert(conn, tried)

        return self._store.writer.submit(write)

    async def _counted(self, task: str) -> dict[str, int]:
        at, counts = self._counts.get(task, (0.0, {}))
        now = time.monotonic()
        if not at or now - at > _COUNT_S:
            counts = await asyncio.to_thread(self._store.tries.counts, task)
            self._counts[task] = (now, counts)
        return counts
