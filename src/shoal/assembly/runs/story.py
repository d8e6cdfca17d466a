"""A run as its records tell it: what it was to do, what it did, and where it stands."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from shoal.assembly.runs.journal import past_of
from shoal.assembly.runs.order import Order, order_of
from shoal.assembly.runs.performance import PLANNED, PLANNING, Course
from shoal.errors import NotFound, StoreDamaged
from shoal.planning.journal import Past
from shoal.planning.plan import Budget, Plan
from shoal.storage import RunRecord, Store

RESUMED = "resumed"
"""The kind of the record that says that somebody had a run go on."""

_PAGE = 1_000


class Story(Struct, frozen=True):
    """``course`` is that of the last plan a planner wrote, ``begun`` how many it was asked for,
    ``raised`` what people raised budgets to since."""

    order: Order
    course: Course | None
    past: Past
    begun: int
    raised: Budget

    @property
    def plan(self) -> Plan | None:
        """The plan that the run goes by; None if none was written yet."""
        return self.course.plan if self.course else self.order.plan


def story_of(store: Store, run_id: str) -> Story:
    """A run as its records tell it. Reads the store: not for event loops.

    Raises:
        NotFound: there is none.
        StoreDamaged: a record does not hold what it should.
    """
    records = all_records(store, run_id)
    if not records:
        raise NotFound(
            f"no run of id {run_id!r}: it was never started here, or has expired; "
            "`shoal runs list` shows those there are"
        )
    course, raised, begun = None, Budget(), 0
    try:
        for one in records:
            if one.kind == PLANNED:
                course = msgspec.convert(msgspec.json.decode(one.body)["course"], Course)
            elif one.kind == RESUMED:
                told = msgspec.json.decode(one.body).get("budget")
                raised = raised.raised(msgspec.convert(told, Budget)) if told else raised
            begun += one.kind == PLANNING
        return Story(order_of(records[0]), course, past_of(records), begun, raised)
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreDamaged(f"run {run_id}: a record cannot be read: {error}") from None


def order_in(store: Store, run_id: str) -> Order:
    """What a run is to do; reads one record only.

    Raises:
        NotFound: there is none.
        StoreDamaged: its first record holds no order.
    """
    first = store.runs.records(run_id, limit=1)
    if not first:
        raise NotFound(
            f"no run of id {run_id!r}: it was never started here, or has expired; "
            "`shoal runs list` shows those there are"
        )
    return order_of(first[0])


def all_records(store: Store, run_id: str) -> Sequence[RunRecord]:
    """Every record of a run, in order."""
    records, after = list[RunRecord](), -1
    while page := store.runs.records(run_id, after, _PAGE):
        records += page
        after = page[-1].seq
    return records
