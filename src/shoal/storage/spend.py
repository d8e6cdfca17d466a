"""What was spent: daily sums by key, model and task, which outlive the calls they are of.

Costs are added as 64-bit floats of USD. Nothing that is added is negative, so a sum of n costs is
off by at most n · 1.1e-16 of itself: below 1e-9 for the first nine million calls of a row. Nothing
is rounded before it is shown.
"""

import math
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Connection, Select, func, select

from shoal.chat import Usage
from shoal.storage.database import AnyRow, Database
from shoal.storage.prepared import AddUp
from shoal.storage.schema import spend

Purpose = Literal["call", "audit", "try", "augment", "attempt"]
Grouping = Literal["day", "key", "model", "task"]

_DAY = 86_400
_EPOCH = date(1970, 1, 1)
_FIRST, _LAST = (date.min - _EPOCH).days, (date.max - _EPOCH).days
_MOST_TOKENS = 10**12  # of one call; a column holds nine million times as many
_add = AddUp(spend, keys=("day", "key", "model", "task", "purpose"))
_NOTHING = Usage()
_BESIDE: tuple[Purpose, ...] = ("audit", "try", "augment")  # what no caller asked for


class Spending(Struct, frozen=True, kw_only=True):
    """What one answer cost: ``cost`` as paid, ``llm_cost`` had the LLM answered, both USD and None
    where a price is unknown.

    ``at`` is unix seconds, ``key`` and ``task`` are ids or "", ``model`` is who answered. An
    ``audit`` is the reference's answer to a call that was answered already: with an LLM alone there
    would be none, so its ``llm_cost`` is 0, and so is that of a ``try`` of a cheaper model, and of
    what an LLM made up to ``augment`` a specialist's examples. An
    ``attempt`` was asked for, and never came: only whoever was asked knows whether it is to be
    paid. ``held`` is what budgets count for an unknown cost, the most that it may be.
    """

    at: float
    key: str
    model: str
    task: str
    purpose: Purpose = "call"
    usage: Usage | None = None
    cost: float | None = None
    llm_cost: float | None = None
    held: float = 0.0


class SpendRow(Struct, frozen=True, kw_only=True):
    """Sums of one group (a day, or a key's, model's or task's id). Costs are USD.

    ``calls`` were answered to callers for ``cost``, ``audits``, tries and what was made up for
    ``audit_cost`` beside;
    ``llm_cost`` is what the LLM would have cost for the calls. Of calls, audits and attempts that
    came to nothing, ``unpriced`` have an unknown price and are in no sum, though budgets count
    ``held`` for them; ``estimated`` are priced by estimates.
    """

    group: str
    calls: int = 0
    audits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0
    llm_cost: float = 0.0
    audit_cost: float = 0.0
    unpriced: int = 0
    estimated: int = 0
    held: float = 0.0


class SpentBy(Struct, frozen=True):
    """USD that a key (id or "") spent on a task (id or ""), as budgets count it: what is unknown
    at the most that it may be."""

    key: str
    task: str
    cost: float


class Spend:
    """The spend of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, conn: Connection, spending: Spending) -> None:
        """Add what one answer cost to the sums of its day."""
        add_spending(conn, spending)

    def between(self, first: str, last: str) -> list[SpentBy]:
        """What each key spent on each task from day ``first`` to day ``last``, audits included."""
        cost = func.sum(spend.c.cost + spend.c.held).label("cost")
        query = (
            select(spend.c.key, spend.c.task, cost)
            .where(spend.c.day >= first, spend.c.day <= last)
            .group_by(spend.c.key, spend.c.task)
        )
        with self._database.read() as conn:
            return [SpentBy(row.key, row.task, row.cost) for row in conn.execute(query)]

    def list(self, by: Grouping = "day", since: str = "") -> list[SpendRow]:
        """Sums since that day (inclusive; "" from the beginning), in the order of groups."""
        with self._database.read() as conn:
            rows = conn.execute(_sums(by, since)).all()
        return [_row(row) for row in rows]


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_of(at: float) -> str:
    """The day, in UTC, of a moment in unix seconds; of the years 1 to 9999, the nearest.

    >>> day_of(1735689600.0)
    '2025-01-01'
    """
    return _date(int(min(max(at // _DAY, _FIRST), _LAST)))


def add_spending(conn: Connection, spending: Spending) -> None:
    """As ``Spend.add``. Whatever an upstream counts, recording its call does not fail for it."""
    usage = spending.usage or _NOTHING
    cost, llm_cost = _sane(spending.cost), _sane(spending.llm_cost)
    row = {
        "day": day_of(spending.at),
        "key": spending.key,
        "model": spending.model,
        "task": spending.task,
        "purpose": spending.purpose,
        "calls": 1,
        "input_tokens": _within(usage.input_tokens),
        "output_tokens": _within(usage.output_tokens),
        "cached_tokens": _within(usage.cached_tokens),
        "reasoning_tokens": _within(usage.reasoning_tokens),
        "cost": cost or 0.0,
        "llm_cost": llm_cost or 0.0,
        "unpriced": int(cost is None or llm_cost is None),
        "estimated": int(usage.estimated),
        "held": _sane(spending.held) or 0.0,
    }
    _add(conn, row)


def _sane(cost: float | None) -> float | None:
    return cost if cost is not None and 0 <= cost < math.inf else None


def _within(tokens: int) -> int:
    return min(max(tokens, 0), _MOST_TOKENS)


def _sums(by: Grouping, since: str) -> Select[tuple[object, ...]]:
    is_call, is_audit = spend.c.purpose == "call", spend.c.purpose.in_(_BESIDE)
    whole = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    return (
        select(
            spend.c[by].label("group"),
            _total(spend.c.calls, is_call).label("calls"),
            _total(spend.c.calls, is_audit).label("audits"),
            *(func.sum(spend.c[name]).label(name) for name in (*whole, "unpriced", "estimated")),
            _total(spend.c.cost, is_call).label("cost"),
            _total(spend.c.llm_cost, is_call).label("llm_cost"),
            _total(spend.c.cost, is_audit).label("audit_cost"),
            func.sum(spend.c.held).label("held"),
        )
        .where(spend.c.day >= since)
        .group_by(spend.c[by])
        .order_by(spend.c[by])
    )


def _total(column: Column[Any], which: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column).filter(which), 0)


def _row(row: AnyRow) -> SpendRow:
    """Postgres sums whole numbers to decimals."""
    sums = dict(row._mapping)
    whole = {name: int(value) for name, value in sums.items() if isinstance(value, Decimal)}
    return SpendRow(**sums | whole)
