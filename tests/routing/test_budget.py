import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import pytest

from shoal.errors import BudgetExceeded, PriceUnknown, StoreError
from shoal.routing.budget import BudgetOptions, Budgets, Reservation
from shoal.routing.caller import Caller, KeySpec
from shoal.storage import SpentBy

NOON = 1_738_324_800.0  # 2025-01-31 12:00 UTC
DAY = 86_400.0
BOTH = {"budget_day": 1.0, "budget_month": 1000.0}


class World:
    """A store's sums by day, and a clock."""

    def __init__(self, allow_unknown: bool = False, **tasks: Any) -> None:
        self.now = NOON
        self.days: dict[str, list[SpentBy]] = {}
        self.asked: list[tuple[str, str]] = []
        self.down = False
        self.meanwhile: Callable[[], None] = lambda: None  # during a look
        budgets = {name: BudgetOptions(**fields) for name, fields in tasks.items()}
        self.budgets = Budgets(self.totals, budgets, allow_unknown, lambda: self.now)

    def totals(self, first: str, last: str) -> Iterable[SpentBy]:
        if self.down:
            raise StoreError("down")
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        self.asked.append((first, last))
        return [one for day, spent in self.days.items() if first <= day <= last for one in spent]

    def reserve(
        self, upper: float | None, who: Caller | None = None, task: str = ""
    ) -> Reservation:
        caller = who or key()
        return self.budgets.reserve(
            caller, f"id-{task}" if task else "", task, lambda: upper, self.now
        )


def key(**budgets: float) -> Caller:
    return Caller(key="k", name="team", spec=KeySpec(**budgets or BOTH))  # type: ignore[arg-type]


def test_what_is_reserved_cannot_be_spent_again() -> None:
    world = World()
    first = world.reserve(0.6)
    with pytest.raises(BudgetExceeded) as caught:
        world.reserve(0.5)
    error = caught.value
    assert (error.status, error.code) == (429, "budget_exceeded")
    assert str(error) == (
        "the key 'team' has a budget of $1.00 a day: $0.0000 are spent, $0.6000 reserved by calls "
        "under way, and this one could cost $0.5000; it starts anew at 2025-02-01 00:00 UTC"
    )
    assert dict(error.headers) == {"retry-after": str(12 * 3600), "x-should-retry": "false"}
    first.settle(0.1)
    world.reserve(0.9)


def test_a_budget_can_be_used_up_exactly() -> None:
    world = World()
    for _ in range(10):  # 0.1 has no exact binary form
        world.reserve(0.1).settle(0.1)
    with pytest.raises(BudgetExceeded):
        world.reserve(1e-9)


def test_released_money_can_be_spent() -> None:
    world = World()
    reservation = world.reserve(1.0)
    reservation.release()
    reservation.release()
    second = world.reserve(1.0)
    second.settle(0.25)
    second.release()
    second.settle(9.0)
    assert world.budgets.spent("key", "k") == (0.25, 0.25)
    assert world.budgets.outstanding() == 0


def test_what_costs_nothing_is_never_refused() -> None:
    world = World()
    world.reserve(1.0).settle(5.0)
    world.reserve(0.0).settle(0.0)


def test_the_store_tells_what_others_spent() -> None:
    world = World()
    world.days = {"2025-01-31": [SpentBy("k", "id-t", 0.9), SpentBy("other", "", 50.0)]}
    world.budgets.refresh()
    with pytest.raises(BudgetExceeded, match=r"\$0\.9000 are spent"):
        world.reserve(0.2)
    world.reserve(0.1)


def test_a_month_holds_its_days() -> None:
    world = World()
    world.days = {"2025-01-02": [SpentBy("k", "", 8.0)], "2024-12-31": [SpentBy("k", "", 99.0)]}
    world.budgets.refresh()
    who = key(budget_day=5.0, budget_month=10.0)
    world.reserve(1.5, who).settle(1.5)
    with pytest.raises(BudgetExceeded, match=r"\$10\.00 a month.*anew at 2025-02-01 00:00"):
        world.reserve(1.0, who)
    world.now += DAY
    world.budgets.refresh()
    world.reserve(5.0, who)
    with pytest.raises(BudgetExceeded, match=r"\$5\.00 a day.*anew at 2025-02-02"):
        world.reserve(0.1, who)


def test_tasks_have_budgets_of_their_own() -> None:
    world = World(reply={"budget_month": 1.0})
    world.days = {"2025-01-30": [SpentBy("other", "id-reply", 0.75)]}
    world.budgets.refresh()
    free = Caller()
    world.reserve(0.25, free, "reply")
    with pytest.raises(BudgetExceeded, match="the task 'reply' has a budget"):
        world.reserve(0.01, free, "reply")
    world.reserve(99.0, free, "department")
    world.reserve(99.0, free)


def test_a_refused_call_reserves_nothing() -> None:
    world = World(reply={"budget_day": 0.5})
    with pytest.raises(BudgetExceeded, match="the task 'reply'"):
        world.reserve(0.6, task="reply")
    assert world.budgets.outstanding() == 0


def test_an_estimate_is_made_only_for_a_budget() -> None:
    def never() -> float:
        raise AssertionError

    World().budgets.reserve(Caller(key="k", name="team"), "id", "task", never, NOON).settle(1.0)


def test_a_price_that_is_unknown() -> None:
    with pytest.raises(PriceUnknown, match=r"'team' has a budget.*unknown_price"):
        World().reserve(None)
    World().reserve(None, Caller())
    world = World(allow_unknown=True)
    world.reserve(None).settle(None)
    assert world.budgets.spent("key", "k") == (0.0, 0.0)


def test_a_cost_that_stays_unknown_counts_as_estimated() -> None:
    world = World()
    recorded = Future[bool]()
    reservation = world.reserve(0.7)
    assert reservation.usd == 0.7
    reservation.settle(None, recorded)
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.7, 0.7)
    world.days = {"2025-01-31": [SpentBy("k", "", 0.7)]}  # the store holds it
    recorded.set_result(True)
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.7, 0.7)
    assert not world.budgets._settled_here


def test_a_cost_that_stays_unknown_counts_though_the_store_lost_it() -> None:
    world = World()
    recorded = Future[bool]()
    world.reserve(0.7).settle(None, recorded)
    recorded.set_exception(StoreError("the backlog is full"))
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.7, 0.7)


def test_what_the_store_tells_is_not_counted_twice() -> None:
    world = World()
    recorded = Future[bool]()
    world.reserve(0.5).settle(0.5, recorded)
    world.budgets.refresh()
    assert world.budgets.spent("key", "k")[0] == 0.5  # not written yet
    world.days = {"2025-01-31": [SpentBy("k", "", 0.5)]}
    recorded.set_result(True)
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.5, 0.5)
    assert not world.budgets._settled_here


def test_what_the_store_lost_goes_on_to_count() -> None:
    world = World()
    recorded = Future[bool]()
    world.reserve(0.5).settle(0.5, recorded)
    recorded.set_exception(StoreError("the backlog is full"))
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.5, 0.5)
    world.now += 32 * DAY
    world.budgets.refresh()
    assert not world.budgets._settled_here


def test_a_store_that_is_down_loses_nothing() -> None:
    world = World()
    world.days = {"2025-01-31": [SpentBy("k", "", 0.25)]}
    world.budgets.refresh()
    recorded = Future[bool]()
    world.reserve(0.5).settle(0.5, recorded)
    recorded.set_result(True)
    world.down = True
    with pytest.raises(StoreError):
        world.budgets.refresh()
    assert world.budgets.spent("key", "k")[0] == 0.75
    world.down = False
    world.days = {"2025-01-31": [SpentBy("k", "", 0.75)]}
    world.budgets.refresh()
    assert world.budgets.spent("key", "k")[0] == 0.75


def test_a_call_past_midnight_counts_for_the_day_it_began() -> None:
    world = World()
    world.now = NOON - DAY + 43_199
    recorded, who = Future[bool](), key(budget_month=1.0)
    reservation = world.reserve(0.75, who)
    world.now += 10
    world.budgets.refresh()
    reservation.settle(0.75, recorded)
    world.days = {"2025-01-30": [SpentBy("k", "", 0.75)]}
    recorded.set_result(True)
    world.now += 1
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.0, 0.75)


def test_a_day_that_begins_during_a_look_loses_nothing() -> None:
    world = World()
    world.now = NOON + 43_199
    world.meanwhile = lambda: spend_a_second_later(world)
    world.budgets.refresh()
    assert world.budgets.spent("key", "k") == (0.5, 0.5)


def spend_a_second_later(world: World) -> None:
    world.now += 1
    world.reserve(0.5).settle(0.5)


def test_the_days_before_are_looked_at_each_minute() -> None:
    world = World()
    for _ in range(61):
        world.budgets.refresh()
        world.now += 1
    assert world.asked.count(("2025-01-01", "2025-01-30")) == 2
    assert world.asked.count(("2025-01-31", "2025-01-31")) == 61


async def test_calls_at_once_do_not_share_a_dollar() -> None:
    world = World()
    let_in = 0

    async def call() -> None:
        nonlocal let_in
        reservation = world.reserve(0.1)
        let_in += 1
        try:
            await asyncio.sleep(0)
            reservation.settle(0.1)
        finally:
            reservation.release()

    results = await asyncio.gather(*(call() for _ in range(50)), return_exceptions=True)
    assert let_in == 10
    assert sum(isinstance(result, BudgetExceeded) for result in results) == 40
    assert world.budgets.outstanding() == 0
