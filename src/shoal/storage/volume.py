"""How many calls each task has, and what they cost."""

from msgspec import Struct
from sqlalchemy import Connection, case, func, or_, select

from shoal.storage.schema import calls


class Volume(Struct, frozen=True, kw_only=True):
    """The calls of a task, in sum.

    ``small`` counts those that something else than the LLM answered, ``errors`` those that nobody
    did. ``cost`` and ``llm_cost`` are USD over the ``priced`` calls, for which both are known.
    ``latency_ms`` is the mean, ``first_at`` and ``last_at`` are unix seconds.
    """

    calls: int
    small: int
    errors: int
    priced: int
    cost: float
    llm_cost: float
    latency_ms: float
    first_at: float
    last_at: float


def volumes(conn: Connection, since: float = 0.0) -> dict[str, Volume]:
    """The volume of each task (by id; "" for calls without one) since that moment."""
    priced = calls.c.cost.is_not(None) & calls.c.llm_cost.is_not(None)
    by_rung = or_(*(calls.c.answered_by.startswith(kind) for kind in ("specialist/", "agreement/")))
    small = (calls.c.error == "") & by_rung
    query = select(
        calls.c.task,
        func.count().label("calls"),
        func.count(case((small, 1))).label("small"),
        func.count(case((calls.c.error != "", 1))).label("errors"),
        func.count(case((priced, 1))).label("priced"),
        func.coalesce(func.sum(case((priced, calls.c.cost))), 0.0).label("cost"),
        func.coalesce(func.sum(case((priced, calls.c.llm_cost))), 0.0).label("llm_cost"),
        func.avg(calls.c.latency_ms).label("latency_ms"),
        func.min(calls.c.at).label("first_at"),
        func.max(calls.c.at).label("last_at"),
    )
    rows = conn.execute(query.where(calls.c.at >= since).group_by(calls.c.task))
    fields = Volume.__struct_fields__
    return {row.task: Volume(**{name: getattr(row, name) for name in fields}) for row in rows}
