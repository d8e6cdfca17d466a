"""What callers may spend: limits a minute and budgets, for every call, before and after it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from shoal.assembly.budget_watch import BudgetWatch
from shoal.assembly.handled import Handled
from shoal.assembly.models import Model
from shoal.assembly.spending import Recorded, record_spending
from shoal.assembly.strategies import upper
from shoal.chat import Answer, Request
from shoal.engines import NeverAsked
from shoal.errors import EffortExceeded, EngineError, MaxCostExceeded, PriceUnknown, ShoalError
from shoal.routing.budget import BudgetOptions, Budgets, Reservation
from shoal.routing.caller import Caller
from shoal.routing.estimate import expected_usage
from shoal.routing.rate_limits import Allowance, RateLimits
from shoal.storage import Spending, Store


class Purse:
    """Limits and budgets of all callers of this process. Use it with ``async with``, which keeps
    the budgets up to date. ``assumed_output`` is the tokens of an answer whose request sets no
    limit."""

    def __init__(self, budgets: Budgets, assumed_output: int) -> None:
        self._budgets, self._assumed_output = budgets, assumed_output
        self._limits = RateLimits()
        self._watch = BudgetWatch(budgets)

    @property
    def trouble(self) -> str:
        """Why budgets are behind; "" if they are not."""
        return self._watch.trouble

    def change(
        self, tasks: Mapping[str, BudgetOptions], allow_unknown: bool, assumed_output: int
    ) -> None:
        """Have other budgets of tasks hold from now on; what was spent and reserved stays."""
        self._budgets.change(tasks, allow_unknown)
        self._assumed_output = assumed_output

    def admit(self, caller: Caller, request: Request) -> Allowance:
        """Take a call from its caller's limits.

        Raises:
            RateLimited: a limit would be passed.
        """
        if caller.spec.rpm is None and caller.spec.tpm is None:
            return self._limits.take(caller, 0)
        usage = expected_usage(request, self._assumed_output)
        return self._limits.take(caller, usage.input_tokens + usage.output_tokens)

    def admit_request(self, caller: Caller) -> Allowance:
        """Take a request that takes no tokens of a model from its caller's limits.

        Raises:
            RateLimited: a limit would be passed.
        """
        return self._limits.take(caller, 0)

    def reserve(self, handled: Handled, model: Model) -> Reservation:
        """Set aside what ``model`` may cost at most for a call.

        Raises:
            BudgetExceeded: that is more than is left.
            PriceUnknown: there is a budget, and nobody knows the price.
        """
        receipt = handled.receipt
        return self._budgets.reserve(
            handled.caller,
            receipt.task_id,
            receipt.task,
            lambda: self.upper(handled, model),
            receipt.at,
        )

    def check_cost(self, handled: Handled, model: Model) -> None:
        """See that ``model`` may cost no more than the caller allows this call.

        Raises:
            MaxCostExceeded: it may.
            PriceUnknown: nobody knows.
        """
        most = handled.caller.max_cost
        if most is None:
            return
        highest = self.upper(handled, model)
        if highest is None:
            raise PriceUnknown(
                f"{model.name}: nobody knows its price, and this call may cost {most:.6g} USD "
                "(x-shoal-max-cost, or what its run has left); state input_price and output_price "
                "of the model in shoal.toml"
            )
        if highest > most:
            raise MaxCostExceeded(model.name, highest, most)

    def upper(self, handled: Handled, model: Model) -> float | None:
        """USD that a model may cost at most for a call; None if the price is unknown."""
        post = handled.post
        rates = post.rung.card.rates if post and post.rung else None
        return upper(model, handled.request, self._assumed_output, rates)

    def settle(self, handled: Handled, answer: Answer, recorded: Recorded) -> None:
        """Count what a call took in truth. ``recorded`` is when the store has it, or what is held
        for it where that is unknown."""
        usage = answer.usage
        if handled.allowance is not None and usage is not None and handled.cached is None:
            handled.allowance.correct(usage.input_tokens + usage.output_tokens)
        if handled.reservation is not None:
            handled.reservation.settle(handled.receipt.cost, recorded)

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._watch.__aexit__(*error)


class Holding:
    """What is set aside for the models that are asked for one call, one after the other."""

    def __init__(self, purse: Purse, handled: Handled, store: Store) -> None:
        self._purse, self._handled, self._store = purse, handled, store
        self.reservation: Reservation | None = None  # for the one that answered

    @contextmanager
    def asking(self, model: Model) -> Iterator[None]:
        """Set aside what ``model`` may cost, while it is asked.

        If that comes to nothing, and the model may have worked on it, what was set aside counts as
        spent, for nobody knows what it cost: else who always hangs up would never pay.

        Raises:
            MaxCostExceeded, BudgetExceeded, PriceUnknown: it is not to be asked.
        """
        self._purse.check_cost(self._handled, model)
        reservation = self._purse.reserve(self._handled, model)
        try:
            yield
        except BaseException as error:  # whatever it was, a caller that hung up too
            if _may_cost(error) and self._purse.upper(self._handled, model) != 0:
                reservation.settle(None, self._attempt(model, reservation.usd))
            else:
                reservation.release()
            raise
        self.reservation = reservation

    def _attempt(self, model: Model, held: float) -> Recorded:
        receipt = self._handled.receipt
        spending = Spending(
            at=receipt.at,
            key=self._handled.caller.key,
            model=model.name,
            task=receipt.task_id,
            purpose="attempt",
            held=held,
        )
        return record_spending(self._store, spending)


def _may_cost(error: BaseException) -> bool:
    """Whether a model that came to nothing may have been asked, and want money for that."""
    if isinstance(error, EngineError | EffortExceeded):
        return error.may_cost
    return not isinstance(error, ShoalError | NeverAsked)
