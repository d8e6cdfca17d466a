"""Asks a model for the sake of a task, where there is no call that it would answer.

The privacy rules and the budgets, the task's and its caller's, hold as for a call. Nothing is
recorded of it but what was spent: recorded as a call, it would become a task of its own.
"""

import time
from typing import Literal

import uuid_utils
from msgspec.structs import replace

from shoal.assembly.aside import Aside
from shoal.assembly.counting import Counting
from shoal.assembly.handled import Handled
from shoal.assembly.purse import Holding, Purse
from shoal.assembly.regime import Regime
from shoal.assembly.shield import shield
from shoal.assembly.spending import record_spending
from shoal.chat import Answer, Request
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.receipt import Receipt
from shoal.storage import Store
from shoal.tasks import Task


class Commission:
    """An answerer that asks the models of a regime, at the expense of a task; None: of none, when
    only what holds for all calls bounds it."""

    name = "commission"

    def __init__(
        self,
        store: Store,
        regime: Regime,
        purse: Purse,
        task: Task | None,
        caller: Caller = ANYBODY,
        purpose: Literal["augment", "audit"] = "augment",
    ) -> None:
        """What is spent is on ``caller``, for this ``purpose``."""
        self._store, self._regime, self._purse, self._task = store, regime, purse, task
        self._caller, self._purpose = caller, purpose
        self._counting = Counting()
        self._aside = Aside(store, self._counting, None)

    async def answer(self, request: Request) -> Answer:
        """The answer of the model that the request names; nobody stands in for it.

        Raises:
            UnknownModel: there is none of that name.
            PrivacyRefused: the request holds what nobody may see.
            NoAnswerer: the model may not be asked.
            BudgetExceeded, PriceUnknown: it may cost more than the task may spend.
            RequestError: the request does not fit it.
            EngineError: it could not answer.
        """
        model = self._regime.models.get(request.model)
        shielded = await shield(request, self._regime.privacy)
        receipt = Receipt(
            str(uuid_utils.uuid7()),
            time.time(),
            model.name,
            "",
            "",
            task=self._task.name if self._task else "",
            task_id=self._task.id if self._task else "",
        )
        handled = Handled(
            receipt,
            request=request,
            episode="",
            regime=self._regime,
            began=time.perf_counter(),
            shield=shielded,
            model=model,
            caller=self._caller,
        )
        holding = Holding(self._purse, handled, self._store)
        with holding.asking(model):
            said = await self._aside.ask(handled, model)
        held = holding.reservation.usd if holding.reservation and said.spent.cost is None else 0.0
        spent = replace(said.spent, purpose=self._purpose, held=held)
        recorded = record_spending(self._store, spent)
        if holding.reservation is not None:
            holding.reservation.settle(said.spent.cost, recorded)
        return said.answer

    def close(self) -> None:
        """Let go of what counts tokens."""
        self._counting.close()
