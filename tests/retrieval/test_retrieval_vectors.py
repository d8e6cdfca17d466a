"""The vector index: plans against brute force, files that outlive a kill, several processes."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray

from shoal.errors import Conflict, MissingExtra
from shoal.retrieval.vectors import Cursor, Limits, VectorIndex
from shoal.retrieval.vectors.codes import bits_of, coded, cosines, unit
from shoal.retrieval.vectors.plans import DEPTH, BinaryScan, ExactScan, Plan, nearest

PLANS = {
    "exact": Limits(),
    "binary": Limits(exact=0),
    "cells": Limits(exact=0, binary=0),
}
DIM, ROWS = 32, 6000

Floats = NDArray[np.float32]


def vectors(count: int, seed: int = 0, dim: int = DIM) -> Floats:
    """Around 50 topics, as texts are."""
    draw = np.random.default_rng(seed)
    topics = np.random.default_rng(99).normal(size=(50, dim))
    noisy = topics[draw.integers(0, 50, count)] + draw.normal(size=(count, dim))
    return unit(noisy.astype(np.float32))


def numbers(start: int, count: int) -> NDArray[np.int64]:
    return np.arange(start, start + count, dtype=np.int64)


def filled(folder: Path, plan: str = "exact", count: int = ROWS) -> VectorIndex:
    index = VectorIndex.open(folder, DIM, "d", PLANS[plan])
    assert index.claim()
    index.add(numbers(1, count), vectors(count))
    index.commit(Cursor(count, 0))
    return index


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


# what is on the disk


def test_what_was_committed_is_there_again(tmp_path: Path) -> None:
    index, query = filled(tmp_path), vectors(1, seed=1)[0]
    index.remove(10, 2000)
    index.commit(Cursor(ROWS, 7))
    before = index.search(query, 50)
    index.close()
    again = VectorIndex.open(tmp_path, DIM, "d")
    after = again.search(query, 50)
    assert (again.cursor, len(again)) == (Cursor(ROWS, 7), ROWS - 1991)
    assert before[0].tolist() == after[0].tolist()
    assert before[1].tolist() == after[1].tolist()
    assert not set(after[0].tolist()) & set(range(10, 2001))


def test_what_was_not_committed_is_gone(tmp_path: Path) -> None:
    index = filled(tmp_path, count=100)
    index.add(numbers(101, 50), vectors(50))
    index.remove(1, 100)
    assert len(index) == 100
    index.close()
    again = VectorIndex.open(tmp_path, DIM, "d")
    assert (len(again), again.cursor) == (100, Cursor(100, 0))
    assert again.claim()
    again.add(numbers(101, 3), vectors(3))
    again.commit(Cursor(103, 0))
    assert len(VectorIndex.open(tmp_path, DIM, "d")) == 103


def test_a_removal_spares_what_is_added_after_it(tmp_path: Path) -> None:
    index = filled(tmp_path, count=10)
    index.remove(1, 1000)
    index.add(numbers(11, 5), vectors(5))
    index.commit(Cursor())
    assert sorted(index.search(vectors(1)[0], 20)[0].tolist()) == list(range(11, 16))


def test_compaction_drops_the_dead_and_keeps_the_rest(tmp_path: Path) -> None:
    index, rows = filled(tmp_path), vectors(ROWS)
    index.remove(1, ROWS // 2)
    index.commit(Cursor(ROWS, 1))
    assert index.rows.tolist() == list(range(ROWS // 2 + 1, ROWS + 1))
    sizes = {path.suffix: path.stat().st_size for path in tmp_path.glob("*-*")}
    assert sizes[".i8"] == ROWS // 2 * DIM
    assert len(list(tmp_path.glob("codes-*"))) == 1
    found, _ = index.search(rows[4000], 1)
    assert found.tolist() == [4001]
    index.add(numbers(ROWS + 1, 1), vectors(1, seed=9))
    index.commit(Cursor(ROWS + 1, 1))
    assert index.search(vectors(1, seed=9)[0], 1)[0].tolist() == [ROWS + 1]


def test_cells_follow_the_rows(tmp_path: Path) -> None:
    limits = Limits(exact=100, binary=1000)
    index = VectorIndex.open(tmp_path, DIM, "d", limits)
    index.claim()
    rows = vectors(ROWS)
    for start in (0, 90, 900, 1800, 5000):
        part = rows[start : {0: 90, 90: 900, 900: 1800, 1800: 5000, 5000: ROWS}[start]]
        index.add(numbers(start + 1, len(part)), part)
        index.commit(Cursor())
        assert index.search(part[-1], 1)[0].tolist() == [start + len(part)]
        assert bool(list(tmp_path.glob("cells-*"))) == (start + len(part) > 1000)
    index.remove(1, ROWS - 300)
    index.commit(Cursor())
    assert not list(tmp_path.glob("cells-*"))
    assert index.search(rows[-1], 1)[0].tolist() == [ROWS]


def spoil(path: Path, how: str) -> None:
    if how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "gone":
        path.unlink()
    elif how == "zeros":
        path.write_bytes(bytes(path.stat().st_size))
    else:
        path.write_text(how)


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("state.json", "gone"),
        ("state.json", "cut"),
        ("state.json", "zeros"),
        ("state.json", "{}"),
        ("state.json", "[1, 2"),
        ("codes-1.i8", "cut"),
        ("codes-1.i8", "gone"),
        ("bits-1.u8", "cut"),
        ("numbers-1.i64", "gone"),
        ("numbers-1.i64", "zeros"),
        ("scales-1.f32", "cut"),
    ],
)
def test_a_damaged_index_counts_as_empty_and_is_rebuilt(
    file: str, how: str, tmp_path: Path
) -> None:
    filled(tmp_path, count=500).close()
    spoil(tmp_path / file, how)
    index = VectorIndex.open(tmp_path, DIM, "d")
    assert (len(index), index.cursor) == (0, Cursor())
    assert index.claim()
    index.add(numbers(1, 500), vectors(500))
    index.commit(Cursor(500, 0))
    again = VectorIndex.open(tmp_path, DIM, "d")
    assert len(again) == 500
    assert again.search(vectors(500)[3], 1)[0].tolist() == [4]
    assert len(list(tmp_path.glob("codes-*"))) == 1


def test_negative_counts_are_no_state(tmp_path: Path) -> None:
    filled(tmp_path, count=500).close()
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps(state | {"rows": -1}))
    assert len(VectorIndex.open(tmp_path, DIM, "d")) == 0


@pytest.mark.parametrize(("dim", "digest"), [(DIM, "other"), (2 * DIM, "d")])
def test_another_encoder_begins_empty(dim: int, digest: str, tmp_path: Path) -> None:
    filled(tmp_path, count=500).close()
    index = VectorIndex.open(tmp_path, dim, digest)
    assert (len(index), index.cursor) == (0, Cursor())
    index.claim()
    index.add(numbers(1, 5), vectors(5, dim=dim))
    index.commit(Cursor(5, 0))
    assert len(VectorIndex.open(tmp_path, DIM, "d")) == 0
    assert len(VectorIndex.open(tmp_path, dim, digest)) == 5


def test_a_commit_that_fails_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(tmp_path, count=100)
    index.add(numbers(101, 50), vectors(50, seed=1))

    def full(*_: object) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            index.commit(Cursor(150, 0))
    assert (len(index), index.cursor) == (100, Cursor(100, 0))
    assert len(VectorIndex.open(tmp_path, DIM, "d")) == 100
    index.commit(Cursor(150, 0))
    assert len(VectorIndex.open(tmp_path, DIM, "d")) == 150


def test_a_compaction_that_fails_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, write = filled(tmp_path), os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 1000:
            raise OSError(28, "no space left")
        return write(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        index.remove(1, 4000)
        index.commit(Cursor(ROWS, 1))
    assert (len(index), len(index.rows), index.cursor) == (2000, ROWS, Cursor(ROWS, 1))
    assert len(list(tmp_path.glob("numbers-*"))) == 1
    index.commit(Cursor(ROWS, 2))
    assert (len(index), len(index.rows)) == (2000, 2000)
    assert len(VectorIndex.open(tmp_path, DIM, "d")) == 2000


# several processes


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    first, second = filled(tmp_path, count=10), VectorIndex.open(tmp_path, DIM, "d")
    assert not second.claim()
    with pytest.raises(Conflict, match="claim the index first"):
        second.add(numbers(11, 1), vectors(1))
    first.add(numbers(11, 1), vectors(1))
    first.commit(Cursor(11, 0))
    first.release()
    assert second.claim()
    assert second.cursor == Cursor(11, 0)
    with pytest.raises(Conflict):
        first.commit(Cursor(99, 0))


def test_a_reader_sees_commits_when_it_refreshes(tmp_path: Path) -> None:
    writer, reader = filled(tmp_path, count=1000), VectorIndex.open(tmp_path, DIM, "d")
    fresh = vectors(1, seed=11)
    assert not reader.refresh()
    writer.add(numbers(1001, 1), fresh)
    writer.remove(1, 5)
    writer.commit(Cursor(1001, 1))
    assert (len(reader), reader.search(fresh[0], 1)[0].tolist()) != (996, [1001])
    assert reader.refresh()
    assert (len(reader), reader.search(fresh[0], 1)[0].tolist()) == (996, [1001])
    assert not reader.refresh()


@pytest.mark.parametrize("plan", PLANS)
def test_a_reader_outlives_compactions(plan: str, tmp_path: Path) -> None:
    """Also one that has not searched yet, and so has read little of what is unlinked."""
    writer, query = filled(tmp_path, plan), vectors(1, seed=12)[0]
    readers = [VectorIndex.open(tmp_path, DIM, "d", PLANS[plan]) for _ in range(2)]
    before = readers[0].search(query, 10)[0].tolist()
    writer.remove(1, 3000)
    writer.commit(Cursor(ROWS, 1))
    assert len(writer.rows) == 3000
    for reader in readers:
        assert reader.search(query, 10)[0].tolist() == before
        assert reader.refresh()
        assert reader.search(query, 10)[0].tolist() == writer.search(query, 10)[0].tolist()


WAVES = np.sqrt(np.arange(2, DIM + 2))


def wave(rows: NDArray[np.int64]) -> Floats:
    """A vector for each number that tells it from all others."""
    waves: Floats = np.cos(np.outer(rows, WAVES)).astype(np.float32)
    return waves


def write_until_killed(folder: Path, acknowledge: int) -> None:
    """Add 200 and acknowledge, over and over; remove 300 every other time."""
    index = VectorIndex.open(folder, DIM, "d")
    assert index.claim()
    at, gone = index.cursor.added, index.cursor.removed
    while True:
        os.write(acknowledge, f"{at}\n".encode())
        rows = np.arange(at + 1, at + 201)
        index.add(rows, wave(rows))
        if at % 400 == 200:
            index.remove(gone + 1, gone + 300)
            gone += 300
        at += 200
        index.commit(Cursor(at, gone))


@contextmanager
def writing(folder: Path) -> Iterator[tuple[IO[bytes], int]]:
    """What a process acknowledges, and its id; it writes until it is killed, at the end of this."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(folder, write)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        try:
            yield told, child
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_kill_at_any_point_leaves_a_whole_state(tmp_path: Path) -> None:
    """A writer that appends, removes and compacts is killed 30 times: what it had acknowledged is
    there, the rest as a whole or not at all, and nothing that was removed."""
    draw = random.Random(5)
    for _ in range(30):
        with writing(tmp_path) as (told, child):
            said = [told.readline() for _ in range(draw.randrange(1, 12))]
            time.sleep(draw.random() * 0.02)
            os.kill(child, signal.SIGKILL)
            said += told.readlines()
        check_whole(tmp_path, int(said[-1]))


def test_a_reader_is_never_wrong_beside_a_busy_writer(tmp_path: Path) -> None:
    reader, states = VectorIndex.open(tmp_path, DIM, "d"), set()
    with writing(tmp_path) as (told, _):
        while len(states) < 40:
            told.readline()
            reader.refresh()
            added, removed = reader.cursor.added, reader.cursor.removed
            assert len(reader) == added - removed
            expected = [removed + 1] if added else []
            assert reader.search(np.zeros(DIM, np.float32), 1)[0].tolist() == expected
            states.add((added, removed))


def check_whole(folder: Path, acknowledged: int) -> None:
    index = VectorIndex.open(folder, DIM, "d")
    added, removed = index.cursor.added, index.cursor.removed
    assert added in (acknowledged, acknowledged + 200)
    assert len(index) == added - removed
    for number in (removed + 1, added, (removed + 1 + added) // 2):
        found, cosine = index.search(wave(np.array([number]))[0], 1)
        assert found.tolist() == [number]
        assert cosine[0] > 0.999
    assert index.search(np.zeros(DIM, np.float32), 1)[0].tolist() == [removed + 1]


class AgainstADictionary(RuleBasedStateMachine):
    """Any order of adding, removing, committing, giving up and reopening."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(mkdtemp(dir=self.folder))
        self.index = VectorIndex.open(self.path, 4, "d", Limits(exact=300, binary=900))
        self.index.claim()
        self.kept: dict[int, Floats] = {}
        self.pending: dict[int, Floats] = {}
        self.last = 0

    @rule(count=st.integers(0, 400), gap=st.integers(1, 3))
    def add(self, count: int, gap: int) -> None:
        rows = np.arange(count) * gap + self.last + 1
        values = vectors(count, seed=self.last, dim=4)
        self.index.add(rows, values)
        self.pending |= dict(zip(rows.tolist(), values, strict=True))
        self.last = int(rows[-1]) if count else self.last

    @rule(at=st.floats(0, 1), width=st.integers(0, 700))
    def remove(self, at: float, width: int) -> None:
        first = int(at * self.last)
        self.index.remove(first, first + width)
        self.pending = {n: v for n, v in self.pending.items() if not first <= n <= first + width}

    @rule()
    def commit(self) -> None:
        self.index.commit(Cursor(self.last, 0))
        self.kept = dict(self.pending)

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = VectorIndex.open(self.path, 4, "d", Limits(exact=300, binary=900))
        assert self.index.claim()
        self.pending, self.last = dict(self.kept), self.index.cursor.added

    @invariant()
    def holds_what_was_committed(self) -> None:
        assert len(self.index) == len(self.kept)
        found, _ = self.index.search(np.zeros(4, np.float32), len(self.kept) + 5)
        assert found.tolist() == sorted(self.kept)

    def teardown(self) -> None:
        self.index.close()


def test_against_a_dictionary(tmp_path: Path) -> None:
    AgainstADictionary.folder = tmp_path
    run_state_machine_as_test(
        AgainstADictionary,
        settings=settings(max_examples=25, stateful_step_count=15, deadline=None),
    )
