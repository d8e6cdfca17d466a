"""Importing: calls read from a file go into the store, to the tasks that recognise them."""

from collections.abc import Callable, Iterable
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from shoal.routing.prices import Tariff
from shoal.storage import CallRecord, Store
from shoal.tasks import Matcher

_AT_ONCE = 200  # calls in one transaction, so that a gateway can write in between


class Imported(Struct, frozen=True):
    """How many calls were ``added``, how many of these are ``matched`` to a task, and how many were
    ``known`` before; ``old`` counts those added that began before ``kept_since``."""

    added: int
    matched: int
    known: int
    old: int


def import_calls(
    store: Store,
    calls: Iterable[CallRecord],
    matcher: Matcher,
    tariff: Callable[[str], Tariff],
    kept_since: float,
) -> Imported:
    """Insert calls whose ids the store does not hold.

    ``tariff`` gives the prices of a model by its name; ``kept_since`` (unix seconds) is when the
    oldest call may have begun that the store keeps. Reads ``calls`` once, little by little.

    Raises:
        StoreError: the file cannot be written. What was inserted stays; importing again goes on.
    """
    added = matched = known = old = 0
    rest = iter(calls)
    while batch := list(islice(rest, _AT_ONCE)):
        placed = [_placed(call, matcher, tariff) for call in batch]
        with store.database.transaction() as conn:
            new = [call for call in placed if store.calls.insert(conn, call)]
        added += len(new)
        known += len(batch) - len(new)
        matched += sum(1 for call in new if call.task)
        old += sum(1 for call in new if call.at < kept_since)
    return Imported(added, matched, known, old)


def _placed(call: CallRecord, matcher: Matcher, tariff: Callable[[str], Tariff]) -> CallRecord:
    """The call with its task, and with its cost where it told none."""
    match = matcher.match(call.request)
    task = match.task.id if match else ""
    if call.receipt != b"{}" or call.answer is None:
        return replace(call, task=task)
    cost = tariff(call.llm).cost(call.answer.usage)
    return replace(call, task=task, cost=cost, llm_cost=cost)
