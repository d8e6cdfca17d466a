"""The vector index: plans against brute force, files that outlive a kill, several processes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from vector_rows import DIM, PLANS, ROWS, Floats, filled, numbers, vectors

from shoal.errors import MissingExtra
from shoal.retrieval.vectors import Cursor, VectorIndex
from shoal.retrieval.vectors.codes import bits_of, coded, cosines, unit
from shoal.retrieval.vectors.plans import DEPTH, BinaryScan, ExactScan, Plan, nearest


def best(rows: Floats, query: Floats, k: int, allowed: NDArray[np.bool_] | None) -> list[int]:
    """Brute force in float: rows, best first."""
    found = rows @ query
    if allowed is not None:
        found = np.where(allowed, found, -np.inf)
    return [int(row) for row in np.argsort(-found, kind="stable")[:k]]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("share", [None, 0.5, 0.1, 0.01])
def test_each_plan_finds_what_brute_force_finds(
    plan: str, share: float | None, tmp_path: Path
) -> None:
    index, rows, queries = filled(tmp_path, plan), vectors(ROWS), vectors(40, seed=1)
    allowed = None if share is None else np.random.default_rng(2).random(ROWS) < share
    hits = 0
    for query in queries:
        found, cosine = index.search(query, 10, allowed)
        expected = best(rows, query, 10, allowed)
        hits += len({number - 1 for number in found.tolist()} & set(expected))
        assert allowed is None or allowed[found - 1].all()
        assert np.all(np.diff(cosine) <= 0)
        np.testing.assert_allclose(cosine, (rows @ query)[found - 1], atol=0.006)
    assert hits / 400 >= (0.93 if plan == "cells" else 0.97)  # int8 costs .02 in so few dimensions


@pytest.mark.parametrize("plan", PLANS)
def test_few_allowed_are_all_returned(plan: str, tmp_path: Path) -> None:
    index = filled(tmp_path, plan)
    allowed = np.zeros(ROWS, np.bool_)
    allowed[[5, 77, 4000]] = True
    found, _ = index.search(vectors(1, seed=3)[0], 10, allowed)
    assert sorted(found.tolist()) == [6, 78, 4001]
    assert index.search(vectors(1)[0], 10, np.zeros(ROWS, np.bool_))[0].tolist() == []


@pytest.mark.parametrize("plan", PLANS)
def test_more_hits_than_rows_are_all_rows(plan: str, tmp_path: Path) -> None:
    index, query = filled(tmp_path, plan, 300), vectors(1, seed=4)[0]
    found, cosine = index.search(query, 1000)
    assert sorted(found.tolist()) == list(range(1, 301))
    assert len(cosine) == 300
    assert index.search(query, 0)[0].tolist() == []


@pytest.mark.parametrize("plan", PLANS)
def test_equal_vectors_come_by_number(plan: str, tmp_path: Path) -> None:
    index = VectorIndex.open(tmp_path, DIM, "d", PLANS[plan])
    index.claim()
    one, other = vectors(2, seed=5)
    rows = np.concatenate([vectors(3000), np.tile(one, (500, 1)), vectors(3000, 6)])
    rows[[10, 3700]] = other
    index.add(numbers(1, len(rows)), rows)
    index.commit(Cursor())
    found, cosine = index.search(one, 20)
    assert found.tolist() == list(range(3001, 3021))
    assert len(set(cosine.tolist())) == 1
    assert index.search(other, 2)[0].tolist() == [11, 3701]


def test_hits_do_not_depend_on_how_rows_came(tmp_path: Path) -> None:
    at_once, bit_by_bit = filled(tmp_path / "a"), VectorIndex.open(tmp_path / "b", DIM, "d")
    bit_by_bit.claim()
    rows = vectors(ROWS)
    for start in range(0, ROWS, 1999):
        part = rows[start : start + 1999]
        bit_by_bit.add(numbers(start + 1, len(part)), part)
        bit_by_bit.commit(Cursor())
        bit_by_bit.search(rows[0], 3)  # a plan that is there grows
    for query in vectors(10, seed=7):
        left, right = at_once.search(query, 25), bit_by_bit.search(query, 25)
        assert left[0].tolist() == right[0].tolist()
        assert left[1].tolist() == right[1].tolist()


@pytest.mark.parametrize("plan", PLANS)
def test_zeros_are_as_near_to_everything(plan: str, tmp_path: Path) -> None:
    index = VectorIndex.open(tmp_path, DIM, "d", PLANS[plan])
    index.claim()
    index.add(numbers(1, 4000), np.concatenate([np.zeros((1, DIM), np.float32), vectors(3999)]))
    index.commit(Cursor())
    found, cosine = index.search(np.zeros(DIM, np.float32), 3)
    assert (found.tolist(), cosine.tolist()) == ([1, 2, 3], [0, 0, 0])
    everything = np.ones(4000, np.bool_)
    found, cosine = index.search(vectors(1, seed=8)[0], 4000, everything)
    assert cosine[found == 1] == 0


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = VectorIndex.open(tmp_path / "new", DIM, "d")
    found, cosine = index.search(vectors(1)[0], 10)
    assert (found.dtype, cosine.dtype, len(found), len(index)) == (np.int64, np.float32, 0, 0)
    assert index.cursor == Cursor(0, 0)
    assert index.search(vectors(1)[0], 10, np.zeros(0, np.bool_))[0].tolist() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.full(DIM, np.nan, np.float32)}, "query: found NaN"),
        ({"query": np.zeros(DIM + 1, np.float32)}, r"query: expected \(32,\), found \(33,\)"),
        ({"k": -1}, "k: expected 0 or more"),
        ({"allowed": np.ones(3, np.bool_)}, r"allowed: expected \(20,\), found \(3,\)"),
        ({"allowed": np.ones(20, np.int64)}, "allowed: expected bool, found int64"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    index = filled(tmp_path, count=20)
    with pytest.raises(ValueError, match=message):
        index.search(**{"query": vectors(1)[0], "k": 3, "allowed": None} | change)


def test_without_faiss_it_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    index = filled(tmp_path, count=20)
    with pytest.raises(MissingExtra, match=r"shoal\[docs\]"):
        index.search(vectors(1)[0], 3)


@pytest.mark.parametrize(
    ("given", "rows", "message"),
    [
        ([3, 3], vectors(2), "ascending"),
        ([20, 21], vectors(2), "ascending ones after 20"),
        ([30], vectors(2), "expected"),
        ([30], np.full((1, DIM), np.inf, np.float32), "NaN or an infinite"),
    ],
)
def test_rows_that_make_no_sense_are_refused(
    given: list[int], rows: Floats, message: str, tmp_path: Path
) -> None:
    index = filled(tmp_path, count=20)
    with pytest.raises(ValueError, match=message):
        index.add(np.array(given), rows)
    index.commit(Cursor(99, 0))
    assert len(index) == 20


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_code_keeps_the_cosine(dim: int, count: int, seed: int) -> None:
    rows = unit(np.random.default_rng(seed).normal(size=(count + 1, dim)).astype(np.float32))
    found = cosines(coded(rows[:-1]), np.arange(count), rows[-1])
    # half a step for each value, added up at worst (Cauchy–Schwarz), and the scale's own change
    np.testing.assert_allclose(found, rows[:-1] @ rows[-1], atol=2 * 0.5 / 127 * np.sqrt(dim))


class InMemory:
    """Rows for a plan, from no file."""

    def __init__(self, rows: Floats) -> None:
        self.held = coded(rows)
        self.columns = {**self.held._asdict(), "bits": bits_of(rows)}

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        return self.columns[name][start:stop]


@given(st.integers(1, 5000), st.integers(1, 200), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_exact_is_exact_about_codes(count: int, k: int, share: float, seed: int) -> None:
    """Whatever is allowed: the same as comparing every code."""
    source, query = InMemory(vectors(count, seed)), vectors(1, seed + 1)[0]
    allowed = np.random.default_rng(seed).random(count) < share
    plan: Plan = ExactScan(DIM)
    plan.add(source, 0, count)
    rows, found = nearest(plan, source.held, query, k, allowed)
    everything = np.flatnonzero(allowed)
    expected = cosines(source.held, everything, query)
    order = np.lexsort((everything, -expected))[:k]
    assert rows.tolist() == everything[order].tolist()
    assert found.tolist() == expected[order].tolist()


@pytest.mark.parametrize("dim", [32, 33, 384])
def test_an_exact_scan_need_not_look_at_every_row_twice(dim: int) -> None:
    """faiss sums bytes in another way where a vector's length allows."""
    rows, queries = vectors(20_000, dim=dim), vectors(20, seed=1, dim=dim)
    source, plan = InMemory(rows), ExactScan(dim)
    plan.add(source, 0, len(rows))
    looked = [plan.candidates(query, 10, None) for query in queries]
    assert np.median([len(found) for found in looked]) < 1000
    for query, found in zip(queries, looked, strict=True):
        expected = cosines(source.held, np.arange(len(rows)), query)
        assert set(np.argsort(-expected)[:10]) <= set(found.tolist())


@pytest.mark.parametrize("every", [2, 7])
def test_a_binary_scan_looks_at_the_nearest_allowed(every: int) -> None:
    """Both ways: picked together, and by a selector."""
    source, allowed = InMemory(vectors(9000)), np.arange(9000) % every == 0
    allowed = allowed if every == 2 else ~allowed
    plan = BinaryScan(DIM)
    plan.add(source, 0, 9000)
    for query in vectors(5, seed=1):
        rows = plan.candidates(query, 10, allowed)
        assert allowed[rows].all()
        assert len(set(rows.tolist())) == len(rows) == DEPTH
        differ = np.unpackbits(source.columns["bits"] ^ bits_of(query[None]), axis=1).sum(axis=1)
        left = allowed.copy()
        left[rows] = False
        assert differ[rows].max() <= differ[left].min()
