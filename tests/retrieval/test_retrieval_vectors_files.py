"""The vector index on the disk: what outlives a kill, damage, and other processes."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray
from vector_rows import DIM, PLANS, ROWS, Floats, filled, numbers, vectors

from shoal.errors import Conflict
from shoal.retrieval.vectors import Cursor, Limits, VectorIndex

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
