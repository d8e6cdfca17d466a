"""Filters for property tests: all operators, over keys and values that are easily confused."""

from hypothesis import strategies as st

from shoal.retrieval.documents import Value
from shoal.retrieval.filters import Comparison, Compound, Filter

KEYS = ("year", "a.b", "draft[0]", 'say "x"', "über")
VALUES: tuple[Value, ...] = (
    *(True, False, 1.0, 0.0, 2020.5, -3.0, 1e300),
    *("1", "", "a", "ab", "b", "ü", "true"),
)
_ENDLESS = (float("inf"), float("-inf"))


def filters() -> st.SearchStrategy[Filter]:
    """Of at most six comparisons."""
    key, value = st.sampled_from(KEYS), st.sampled_from(VALUES)
    ordered = st.sampled_from([*(v for v in VALUES if not isinstance(v, bool)), *_ENDLESS])
    several = st.lists(value, max_size=4).map(tuple)
    one = st.one_of(
        st.builds(Comparison, st.sampled_from(["eq", "ne"]), key, value),
        st.builds(Comparison, st.sampled_from(["gt", "gte", "lt", "lte"]), key, ordered),
        st.builds(Comparison, st.sampled_from(["in", "nin"]), key, several),
    )
    return st.recursive(one, _joined, max_leaves=6)


def _joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.builds(Compound, st.sampled_from(["and", "or"]), parts)
