"""Laws of budgets: whatever happens in whatever order, money is counted once."""

from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BudgetExceeded, StoreError
from shoal.routing.budget import PICO, BudgetOptions, Budgets, Reservation, periods
from shoal.routing.caller import Caller, KeySpec
from shoal.storage import SpentBy

BEGIN = 1_738_260_000.0  # 18:00 on the last but one of a January, so that months end too
USD = (0.0, 0.07, 0.3, 0.5, 0.6)  # so that two or three fill a budget
DAY_LIMIT, MONTH_LIMIT = 1.0, 1.4
CALLER = Caller(key="k", name="k", spec=KeySpec(budget_day=DAY_LIMIT, budget_month=MONTH_LIMIT))


class Call:
    """A call under way, or settled and not yet written."""

    def __init__(self, reservation: Reservation, upper: float, at: float) -> None:
        self.reservation, self.upper, self.at = reservation, upper, at
        self.actual = 0.0  # what counts: of an unknown cost, the most that it may be
        self.recorded = Future[bool]()


class Accounts:
    """Two gateways' worth of calls against one store: ours, and another that obeys nobody."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.down = False
        self.store: dict[str, float] = {}
        self.ours: dict[str, float] = {}  # what our calls cost in truth, by day
        self.over: dict[str, float] = {}  # and by how much more than their estimates
        self.others: dict[str, float] = {}
        self.open: list[Call] = []
        self.unwritten: list[Call] = []
        self.meanwhile: tuple[Call | None, bool] | None = None  # written during a look
        tasks = {"t": BudgetOptions(budget_month=MONTH_LIMIT)}
        self.budgets = Budgets(self.totals, tasks, clock=lambda: self.now)

    def totals(self, first: str, last: str) -> Iterable[SpentBy]:
        if self.down:
            raise StoreError("down")
        call, before = self.meanwhile or (None, False)
        self.meanwhile = None
        if before:
            self.write(call, lost=False)
        found = [
            SpentBy("k", "task", cost) for day, cost in self.store.items() if first <= day <= last
        ]
        if not before:
            self.write(call, lost=False)
        return found

    def reserve(self, random: Random) -> None:
        upper = random.choice(USD)
        try:
            reservation = self.budgets.reserve(CALLER, "task", "t", lambda: upper, self.now)
        except BudgetExceeded:
            return
        self.open.append(Call(reservation, upper, self.now))

    def settle(self, random: Random) -> None:
        call = taken(self.open, random)
        if call is None:
            return
        day = periods(call.at)[0]
        told = random.choice((call.upper, random.choice(USD), None))
        call.actual = call.upper if told is None else told
        call.reservation.settle(told, call.recorded)
        call.reservation.release()  # as a finally would
        self.unwritten.append(call)
        self.ours[day] = self.ours.get(day, 0.0) + call.actual
        self.over[day] = self.over.get(day, 0.0) + max(0.0, call.actual - call.upper)

    def release(self, random: Random) -> None:
        call = taken(self.open, random)
        if call is not None:
            call.reservation.release()

    def written(self, random: Random) -> None:
        self.write(taken(self.unwritten, random), lost=random.random() < 0.2)

    def written_during_a_look(self, random: Random) -> None:
        """Before or after what the look sees of the store."""
        self.meanwhile = taken(self.unwritten, random), random.random() < 0.5
        self.budgets.refresh()

    def write(self, call: Call | None, lost: bool) -> None:
        if call is None:
            return
        if lost:
            call.recorded.set_exception(StoreError("full"))
        else:
            day = periods(call.at)[0]
            self.store[day] = self.store.get(day, 0.0) + call.actual
            call.recorded.set_result(True)

    def others_spend(self, random: Random) -> None:
        cost = random.choice(USD) / 10
        day = periods(self.now)[0]
        self.store[day] = self.store.get(day, 0.0) + cost
        self.others[day] = self.others.get(day, 0.0) + cost

    def refresh(self, random: Random) -> None:
        self.budgets.refresh()

    def refresh_in_vain(self, random: Random) -> None:
        self.down = True
        with suppress(StoreError):
            self.budgets.refresh()
        self.down = False

    def time_passes(self, random: Random) -> None:
        self.now += random.choice((1, 1, 30, 3 * 3600))
        self.budgets.refresh()  # else the first day's sums would be told of the second

    def our_spending_stays_within_the_budget(self) -> None:
        """But for what calls took over their estimates: for each day and each month."""
        for day, spent in self.ours.items():
            assert spent <= DAY_LIMIT + self.over[day] + 1e-9
        for month in {day[:7] for day in self.ours}:
            spent = sum(cost for day, cost in self.ours.items() if day.startswith(month))
            over = sum(cost for day, cost in self.over.items() if day.startswith(month))
            assert spent <= MONTH_LIMIT + over + 1e-9

    def nothing_leaks(self) -> None:
        """What is reserved is what the open calls reserved, under each of their three budgets."""
        reserved = sum(round(call.upper * PICO) for call in self.open)
        assert round(self.budgets.outstanding() * PICO) == 3 * reserved

    def nothing_of_ours_is_forgotten(self) -> None:
        day, month = periods(self.now)
        known_day, known_month = self.budgets.spent("key", "k")
        assert known_day >= self.ours.get(day, 0.0) - 1e-9
        ours = sum(cost for each, cost in self.ours.items() if each.startswith(month))
        assert known_month >= ours - 1e-9

    def nothing_is_counted_twice(self) -> None:
        """After two looks nothing is known but what was spent by us and by others."""
        self.now += 60  # so that the days before are looked at too
        self.budgets.refresh()
        day, month = periods(self.now)
        known_day, known_month = self.budgets.spent("key", "k")
        both = {d: self.ours.get(d, 0) + self.others.get(d, 0) for d in self.ours | self.others}
        assert abs(known_day - both.get(day, 0.0)) < 1e-9
        all_month = sum(cost for each, cost in both.items() if each.startswith(month))
        assert abs(known_month - all_month) < 1e-9


STEPS = (
    *(Accounts.reserve, Accounts.settle, Accounts.written) * 4,
    *(Accounts.release, Accounts.others_spend, Accounts.refresh, Accounts.refresh_in_vain),
    *(Accounts.written_during_a_look, Accounts.time_passes),
)


def taken(calls: list[Call], random: Random) -> Call | None:
    """Any of them, and no more among them."""
    return calls.pop(random.randrange(len(calls))) if calls else None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_in_whatever_order(seed: int) -> None:
    """Two days of some 150 steps, drawn by a seed: long runs are what finds money counted wrong."""
    random, accounts = Random(seed), Accounts()
    for step in random.choices(STEPS, k=150):
        step(accounts, random)
        accounts.our_spending_stays_within_the_budget()
        accounts.nothing_leaks()
        accounts.nothing_of_ours_is_forgotten()
        if random.random() < 0.05:
            accounts.nothing_is_counted_twice()
