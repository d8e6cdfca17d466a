"""Lists in OpenAI's form: a page of objects, and cursors that are ids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Literal, TypeVar, get_args

from msgspec import Struct

from shoal.errors import MalformedRequest

V = TypeVar("V")

Order = Literal["asc", "desc"]
ORDERS: tuple[Order, ...] = get_args(Order)
Place = tuple[float, str]
"""Where an object stands in its list: when it was made (unix time), and its id."""

_NAMES = frozenset({"limit", "order", "after", "before"})


class Paging(Struct, frozen=True, kw_only=True):
    """Which part of a list is asked for; ``after`` and ``before`` are ids, "" for none."""

    limit: int
    order: Order = "desc"
    after: str = ""
    before: str = ""


class Page(Struct, Generic[V], frozen=True, kw_only=True):
    """A part of a list, with what a client asks on with."""

    object: Literal["list"] = "list"
    data: list[V]
    first_id: str | None
    last_id: str | None
    has_more: bool


def paging_of(
    query: Mapping[str, str], usual: int, most: int, others: Sequence[str] = ()
) -> Paging:
    """What a query string asks for: ``usual`` objects unless it says, and up to ``most``.

    Raises ``MalformedRequest``, which names the parameter; one that is neither known nor among
    ``others`` is refused too.
    """
    for name in query:
        if name not in _NAMES and name not in others:
            there = ", ".join(sorted(_NAMES.union(others)))
            raise MalformedRequest(f"{name[:40]}: no such parameter; there are: {there}", name[:40])
    limit, order = query.get("limit", str(usual)), query.get("order", "desc")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= most):
        raise MalformedRequest(f"limit: expected 1 to {most}, found {limit[:40]!r}", "limit")
    after, before = query.get("after", ""), query.get("before", "")
    for known in ORDERS:
        if order == known:
            return Paging(limit=int(limit), order=known, after=after, before=before)
    raise MalformedRequest(f"order: expected asc or desc, found {order[:40]!r}", "order")


def select(
    places: Sequence[Place], paging: Paging, gone: Callable[[str], float | None]
) -> tuple[list[str], bool]:
    """The ids of a page, and whether more follow it.

    ``gone`` tells when an object was made that has been removed since: who goes through a list and
    removes what it reads must be able to go on. Objects that were made at one time are in the order
    of their ids. Raises ``MalformedRequest`` for a cursor that never was in the list.
    """
    known = {id: at for at, id in places}

    def place(name: str, id: str) -> Place:
        at = known.get(id)
        at = gone(id) if at is None else at
        if at is None:
            raise MalformedRequest(f"{name}: {id[:100]!r} is not in this list", name)
        return at, id

    down = paging.order == "desc"
    ordered = sorted(places, reverse=down)
    if paging.after:
        start = place("after", paging.after)
        ordered = [one for one in ordered if (one < start if down else one > start)]
    if paging.before:
        end = place("before", paging.before)
        ordered = [one for one in ordered if (one > end if down else one < end)]
        if not paging.after:  # those that stand right before it
            found = ordered[-paging.limit :]
            return [id for _, id in found], len(ordered) > len(found)
    return [id for _, id in ordered[: paging.limit]], len(ordered) > paging.limit


def page_of(data: list[V], ids: Sequence[str], has_more: bool) -> Page[V]:
    """A page of objects, whose ids these are."""
    ends = (ids[0], ids[-1]) if ids else (None, None)
    return Page(data=data, first_id=ends[0], last_id=ends[1], has_more=has_more)
