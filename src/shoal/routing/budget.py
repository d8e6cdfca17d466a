"""Budgets: what a key or a task may spend in a day and in a calendar month, in UTC.

Before a call spends anything, the most it is expected to cost is reserved; afterwards the true cost
takes the place of that. Two calls at once can therefore not both take the last dollar: what is
spent passes a budget by no more than calls cost over their own estimates, and by what other
processes spent since the last look at the store. Sums are whole picodollars (10⁻¹² USD), so that
nothing is left over by rounding.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import BudgetExceeded, PriceUnknown
from shoal.routing.caller import Caller
from shoal.routing.rate_limits import DO_NOT_RETRY
from shoal.storage import SpentBy
from shoal.storage.spend import day_of

PICO = 10**12
_EARLIER_S = 60.0
Totals = Callable[[str, str], Iterable[SpentBy]]  # what was spent from one day to another


class BudgetOptions(BaseModel):
    """The budgets of a task in USD; None means none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_day: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    budget_month: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class _Account(Struct, frozen=True):
    """Whose money, and of when: ``period`` is a day (2025-01-31) or a month (2025-01)."""

    kind: Literal["key", "task"]
    id: str
    period: str


class _Limit(Struct, frozen=True):
    account: _Account
    name: str
    usd: float


class _Written(Struct, frozen=True):
    """What a call of that ``day`` counts for, which the store has."""

    day: str
    accounts: tuple[_Account, ...]
    pico: int


class Reservation:
    """Money set aside for one call, until it is settled or released, whichever comes first."""

    def __init__(
        self, budgets: "Budgets", accounts: tuple[_Account, ...], pico: int, day: str
    ) -> None:
        self._budgets, self._accounts, self._pico, self._day = budgets, accounts, pico, day
        self._open = True

    @property
    def usd(self) -> float:
        """What is set aside; 0 where there is no budget, or no price is known."""
        return self._pico / PICO

    def settle(self, actual: float | None, recorded: "Future[bool] | None" = None) -> None:
        """The call cost ``actual`` USD; None if nobody knows, and ``usd`` stands for it.

        ``recorded`` is when the store has it: from then on the store's own sums tell of it. Without
        one, or if it fails, this process goes on counting it by itself.
        """
        if self._close():
            spent = self._pico if actual is None else round(actual * PICO)
            self._budgets._settled(self._accounts, self._pico, spent)
            if recorded is not None and self._accounts:
                written = _Written(self._day, self._accounts, spent)
                recorded.add_done_callback(lambda done: self._budgets._recorded(done, written))

    def release(self) -> None:
        """The call cost nothing. Does nothing to one that is settled, so a ``finally`` may call."""
        if self._close():
            self._budgets._released(self._accounts, self._pico)

    def _close(self) -> bool:
        was_open, self._open = self._open, False
        return was_open


class Budgets:
    """What was spent, and is reserved, under every budget.

    Reserving reads memory only. ``refresh`` reads the store, and is for a thread beside the event
    loop. All methods may be called from any thread.
    """

    def __init__(
        self,
        totals: Totals,
        tasks: Mapping[str, BudgetOptions],
        allow_unknown: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``tasks`` are budgets by task name; those of keys come with the caller."""
        self._totals, self._tasks, self._clock = totals, dict(tasks), clock
        self._allow_unknown = allow_unknown
        self._refreshing = threading.Lock()
        self._lock = threading.Lock()  # guards what follows
        self._stored: Counter[_Account] = Counter()  # as the store had it when last looked at
        self._settled_here: Counter[_Account] = Counter()  # and what that did not include
        self._reserved: Counter[_Account] = Counter()
        self._written: list[_Written] = []  # of that, what the next look will include
        self._earlier: tuple[str, float, Counter[_Account]] = "", 0.0, Counter()

    def change(self, tasks: Mapping[str, BudgetOptions], allow_unknown: bool) -> None:
        """Put other budgets of tasks, by name, in the place of those there were."""
        self._tasks, self._allow_unknown = dict(tasks), allow_unknown

    def reserve(
        self,
        caller: Caller,
        task_id: str,
        task: str,
        upper: Callable[[], float | None],
        at: float,
    ) -> Reservation:
        """Set aside what a call may cost at most, under the budgets of its key and its task.

        ``task_id`` and ``task`` (its name) are "" for a call of no known task. ``upper`` gives the
        estimate in USD, None if the price is unknown; it is asked only if there is a budget. ``at``
        is when the call began, as its record will say (unix seconds).

        Raises:
            BudgetExceeded: that is more than is left; says of which budget, and when it renews.
            PriceUnknown: there is a budget, and the price is unknown.
        """
        limits = self._limits(caller, task_id, task, at)
        if not limits:
            return Reservation(self, (), 0, "")
        estimate = upper()
        if estimate is None and not self._allow_unknown:
            raise PriceUnknown(
                f"{limits[0].name} has a budget, and what this call would cost is unknown: name "
                'the prices of its model in shoal.toml, or set gateway.unknown_price = "allow"'
            )
        pico = round((estimate or 0.0) * PICO)
        accounts = tuple(limit.account for limit in limits)
        with self._lock:
            for limit in limits:
                self._check(limit, pico, at)
            self._add(self._reserved, accounts, pico)
        return Reservation(self, accounts, pico, periods(at)[0])

    def refresh(self) -> None:
        """Look at the store again. Takes a query, so not for an event loop.

        Raises:
            StoreError: the store cannot be read; what was known before goes on to count.
        """
        with self._refreshing:
            now = self._clock()
            today, month = periods(now)
            with self._lock:  # what is written by now, the look that begins now includes
                told, self._written = self._written, []
            try:
                stored = self._look(today, month, now, any(w.day != today for w in told))
            except BaseException:  # whatever it is, the next look tells of them
                with self._lock:
                    self._written += told
                raise
            with self._lock:
                self._stored = stored
                self._forget(told, today, month)

    def spent(self, kind: Literal["key", "task"], id: str) -> tuple[float, float]:
        """USD that a key or task spent today and this month, as far as is known here.

        What this process spent since the last look counts for the spans that have a budget.
        """
        with self._lock:
            today, month = (self._spent(_Account(kind, id, p)) for p in periods(self._clock()))
        return today / PICO, month / PICO

    def outstanding(self) -> float:
        """USD reserved now, over all accounts; for tests of leaks."""
        with self._lock:
            return sum(self._reserved.values()) / PICO

    def _limits(self, caller: Caller, task_id: str, task: str, now: float) -> list[_Limit]:
        today, month = periods(now)
        found = []
        own = self._tasks.get(task) if task_id else None
        for kind, id, name, budget in (
            ("key", caller.key, f"the key {caller.name!r}", caller.spec),
            ("task", task_id, f"the task {task!r}", own),
        ):
            if budget is None:
                continue
            for usd, period in ((budget.budget_day, today), (budget.budget_month, month)):
                if usd is not None:
                    account = _Account("key" if kind == "key" else "task", id, period)
                    found.append(_Limit(account, name, usd))
        return found

    def _check(self, limit: _Limit, pico: int, now: float) -> None:
        spent, reserved = self._spent(limit.account), self._reserved[limit.account]
        # What costs nothing goes through, whatever is left.
        if not pico or spent + reserved + pico <= limit.usd * PICO:
            return
        renews = _renews(limit.account.period)
        span = "day" if len(limit.account.period) == len("2025-01-31") else "month"
        headers = {"retry-after": str(max(1, round(renews.timestamp() - now)))} | DO_NOT_RETRY
        raise BudgetExceeded(
            f"{limit.name} has a budget of ${limit.usd:,.2f} a {span}: ${spent / PICO:,.4f} are "
            f"spent, ${reserved / PICO:,.4f} reserved by calls under way, and this one could cost "
            f"${pico / PICO:,.4f}; it starts anew at {renews:%Y-%m-%d %H:%M} UTC",
            headers,
        )

    def _spent(self, account: _Account) -> int:
        return self._stored[account] + self._settled_here[account]

    def _settled(self, accounts: tuple[_Account, ...], reserved: int, spent: int) -> None:
        with self._lock:
            self._add(self._reserved, accounts, -reserved)
            self._add(self._settled_here, accounts, spent)

    def _released(self, accounts: tuple[_Account, ...], reserved: int) -> None:
        with self._lock:
            self._add(self._reserved, accounts, -reserved)

    def _recorded(self, done: "Future[bool]", written: _Written) -> None:
        if not done.cancelled() and done.exception() is None:
            with self._lock:
                self._written.append(written)

    def _forget(self, told: list[_Written], today: str, month: str) -> None:
        """Stop counting here what the store tells of, and what is over."""
        for written in told:
            self._add(self._settled_here, written.accounts, -written.pico)
        for account in list(self._settled_here):
            # Not all others: a day may have begun since the look did.
            if account.period < (today if len(account.period) == len(today) else month):
                del self._settled_here[account]

    def _look(self, today: str, month: str, now: float, late: bool) -> Counter[_Account]:
        """The store's sums. Those until yesterday are looked at each minute, or when a call of
        yesterday's came ``late``."""
        of, at, earlier = self._earlier
        if late or of != today or now - at >= _EARLIER_S:
            first, yesterday = f"{month}-01", _day_before(today)
            past = self._totals(first, yesterday) if first <= yesterday else ()
            earlier = _sums(past, (month,))
            self._earlier = today, now, earlier
        return earlier + _sums(self._totals(today, today), (today, month))

    @staticmethod
    def _add(counter: Counter[_Account], accounts: tuple[_Account, ...], pico: int) -> None:
        for account in accounts:
            counter[account] += pico
            if not counter[account]:
                del counter[account]


def periods(now: float) -> tuple[str, str]:
    """The day and the month, in UTC, of a moment in unix seconds.

    >>> periods(1735689600.0)
    ('2025-01-01', '2025-01')
    """
    day = day_of(now)
    return day, day[:7]


def _sums(spent: Iterable[SpentBy], over: Iterable[str]) -> Counter[_Account]:
    found: Counter[_Account] = Counter()
    for one in spent:
        pico = round(one.cost * PICO)
        for period in over:
            found[_Account("key", one.key, period)] += pico
            found[_Account("task", one.task, period)] += pico
    return found


def _day_before(day: str) -> str:
    return (datetime.fromisoformat(day) - timedelta(days=1)).strftime("%Y-%m-%d")


def _renews(period: str) -> datetime:
    """When the period is over."""
    if len(period) == len("2025-01-31"):
        return datetime.fromisoformat(period).replace(tzinfo=UTC) + timedelta(days=1)
    first = datetime.fromisoformat(f"{period}-01").replace(tzinfo=UTC)
    return (first + timedelta(days=32)).replace(day=1)
