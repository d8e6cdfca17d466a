"""What callers may spend: limits a minute and budgets, for every call, before and after it."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Self

from shoal.assembly.budget_watch import BudgetWatch
from shoal.assembly.handled import Handled
from shoal.assembly.models import Model
from shoal.chat import Answer, Request
from shoal.errors import MaxCostExceeded, PriceUnknown
from shoal.routing.budget import BudgetOptions, Budgets, Reservation
from shoal.routing.caller import Caller
from shoal.routing.estimate import expected_usage, upper_cost
from shoal.routing.rate_limits import Allowance, RateLimits


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
        """Take a request that no model answers from its caller's limits: it has no tokens.

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
            lambda: self._upper(handled, model),
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
        upper = self._upper(handled, model)
        if upper is None:
            raise PriceUnknown(
                f"{model.name}: nobody knows its price, and x-shoal-max-cost allows {most:.6g} "
                "USD; state input_price and output_price of the model in shoal.toml"
            )
        if upper > most:
            raise MaxCostExceeded(model.name, upper, most)

    def _upper(self, handled: Handled, model: Model) -> float | None:
        """USD that a model may cost at most for a call; None if the price is unknown."""
        post = handled.post
        rates = post.rung.card.rates if post and post.rung else None
        return upper_cost(handled.request, model.tariff, self._assumed_output, rates)

    def settle(self, handled: Handled, answer: Answer, recorded: "Future[bool] | None") -> None:
        """Count what a call took in truth. ``recorded`` is when the store has it."""
        usage = answer.usage
        if handled.allowance is not None and usage is not None:
            handled.allowance.correct(usage.input_tokens + usage.output_tokens)
        if handled.reservation is not None:
            handled.reservation.settle(handled.receipt.cost, recorded)

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._watch.__aexit__(*error)


class Holding:
    """What is set aside for the model that is being asked; each that is asked takes the place of
    the one before, which did not answer."""

    def __init__(self, purse: Purse, handled: Handled) -> None:
        self._purse, self._handled = purse, handled
        self.reservation: Reservation | None = None

    def take(self, model: Model) -> None:
        """Set aside what ``model`` may cost.

        Raises:
            MaxCostExceeded, BudgetExceeded, PriceUnknown: it is not to be asked.
        """
        self.release()
        self._purse.check_cost(self._handled, model)
        self.reservation = self._purse.reserve(self._handled, model)

    def release(self) -> None:
        """Nothing was spent that anybody knows of."""
        if self.reservation is not None:
            self.reservation.release()
