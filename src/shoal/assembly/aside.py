"""Asks a model beside a call that somebody else has answered, or will."""

import time
from typing import Literal

from msgspec.structs import replace

from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled, Said
from shoal.assembly.models import Model
from shoal.assembly.spending import record_spending
from shoal.assembly.stating import for_call
from shoal.chat import Usage
from shoal.errors import EffortExceeded, EngineError
from shoal.routing.context import check_context
from shoal.storage import Spending, Store


class Aside:
    """Asks models for what is no caller's answer, or may become one.

    What they cost counts as spent for ``purpose``, and is recorded here only where nothing comes of
    it; None: what came to nothing is recorded by whoever asks.
    """

    def __init__(
        self, store: Store, counting: Counting, purpose: Literal["audit", "try"] | None
    ) -> None:
        self._store, self._counting, self._purpose = store, counting, purpose

    async def ask(self, handled: Handled, model: Model) -> Said:
        """Have the model answer the whole request, as far as the privacy rules let it see that.

        Raises:
            NoAnswerer: it may not be asked.
            RequestError: the request does not fit it.
            EffortExceeded: the limit of its strategy pays for no answer.
            EngineError: it could not answer, or broke off.
        """
        shield, began = handled.shield, time.perf_counter()
        assert shield is not None
        model = for_call(model, handled)
        shield.check(model)
        check_context(shield.request, model.name, model.context)
        try:
            asked = await model.engine.answer(shield.request_for(model))
        except (EngineError, EffortExceeded) as error:
            if error.may_cost and self._purpose:
                record_spending(self._store, self._spent(handled, model, None, None))
            raise
        took = (time.perf_counter() - began) * 1e3
        answer = shield.restored(asked, model)
        usage = await self._counting.usage(handled.request, answer, model, shield)
        answer = replace(answer, usage=usage)
        spent = self._spent(handled, model, usage, model.cost(answer))
        if not answer.complete:
            if self._purpose:
                record_spending(self._store, spent)
            raise EngineError(f"the answer of {model.name} broke off")
        return Said(model, answer, spent, took)

    def _spent(
        self, handled: Handled, model: Model, usage: Usage | None, cost: float | None
    ) -> Spending:
        return Spending(
            at=time.time(),
            key=handled.caller.key,
            model=model.name,
            task=handled.receipt.task_id,
            purpose=self._purpose or "call",
            usage=usage,
            cost=cost,
            llm_cost=0.0,
        )
