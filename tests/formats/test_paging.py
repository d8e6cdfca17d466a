"""Pages of lists: together they are the list, whatever is removed in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import MalformedRequest
from shoal.formats.paging import ORDERS, Order, Paging, Place, paging_of, select

PLACES = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 5), max_size=30)


def nobody(id: str) -> None:
    return None


@given(PLACES, st.sampled_from(ORDERS), st.integers(1, 7))
def test_pages_together_are_the_list(made: dict[str, int], order: Order, limit: int) -> None:
    places: list[Place] = [(float(at), id) for id, at in made.items()]
    seen, after, more = list[str](), "", True
    while more:
        asked = Paging(limit=limit, order=order, after=after)
        ids, more = select(places, asked, nobody)
        assert len(ids) == limit or not more
        seen += ids
        after = ids[-1] if ids else ""
    whole = [id for _, id in sorted(places, reverse=order == "desc")]
    assert seen == whole


@given(PLACES, st.sampled_from(ORDERS), st.integers(1, 7))
def test_who_removes_what_it_reads_reads_all(
    made: dict[str, int], order: Order, limit: int
) -> None:
    places: list[Place] = [(float(at), id) for id, at in made.items()]
    gone, seen, after, more = dict[str, float](), list[str](), "", True
    while more:
        ids, more = select(places, Paging(limit=limit, order=order, after=after), gone.get)
        seen += ids
        gone |= {id: at for at, id in places if id in ids}
        places = [(at, id) for at, id in places if id not in ids]
        after = ids[-1] if ids else ""
    assert (sorted(seen), places) == (sorted(made), [])


@given(PLACES.filter(bool), st.sampled_from(ORDERS), st.integers(1, 7), st.data())
def test_back_is_where_one_came_from(
    made: dict[str, int], order: Order, limit: int, data: st.DataObject
) -> None:
    places: list[Place] = [(float(at), id) for id, at in made.items()]
    whole = [id for _, id in sorted(places, reverse=order == "desc")]
    at = data.draw(st.integers(0, len(whole) - 1))
    ids, more = select(places, Paging(limit=limit, order=order, before=whole[at]), nobody)
    assert ids == whole[:at][-limit:]
    assert more == (at > limit)


def test_a_cursor_that_never_was() -> None:
    with pytest.raises(MalformedRequest, match="not in this list"):
        select([(1.0, "a")], Paging(limit=1, after="b"), nobody)


def test_what_a_query_asks() -> None:
    assert paging_of({}, 20, 100) == Paging(limit=20)
    asked = {"limit": "100", "order": "asc", "after": "a", "before": "b", "filter": "x"}
    assert paging_of(asked, 20, 100, ("filter",)) == Paging(
        limit=100, order="asc", after="a", before="b"
    )
    for wrong in (
        {"limit": "-1"},
        {"limit": "101"},
        {"limit": "²"},
        {"order": ""},
        {"filter": "x"},
    ):
        with pytest.raises(MalformedRequest) as caught:
            paging_of(wrong, 20, 100)
        assert caught.value.param == next(iter(wrong))
