"""The learned gate: which task a request that belongs to none is most like."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.chat import Message, Request
from shoal.errors import ConfigError
from shoal.routing.gate import LEAST, Gate, Vectors, gate_text, learn_gate, read_gate

DIM = 16


def cloud(seed: int, axis: int, n: int = 60, spread: float = 0.1) -> Vectors:
    """Unit rows (n, DIM) around one axis."""
    rows = np.random.default_rng(seed).normal(0, spread, (n, DIM)).astype(np.float32)
    rows[:, axis] += 1
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def gate() -> Gate:
    return learn_gate("d", {"one": cloud(1, 0), "two": cloud(2, 1)})[0]


def test_what_is_like_a_task_goes_there(gate: Gate) -> None:
    said = [gate.task_of(row)[0] for row in cloud(3, 1, 200)]
    assert said.count("one") == 0
    assert said.count("two") >= 160, "about one in twenty is further off than its own calls"


def test_what_is_like_nothing_goes_nowhere(gate: Gate) -> None:
    assert {gate.task_of(row)[0] for row in cloud(4, 7, 200)} == {""}
    middle = (cloud(5, 0, 1) + cloud(5, 1, 1))[0] / 2**0.5
    assert gate.task_of(middle.astype(np.float32))[0] == ""


def test_two_tasks_that_look_alike_are_not_told_apart() -> None:
    rows = cloud(6, 0, 120)
    gate, seen = learn_gate("d", {"one": rows[:60], "two": rows[60:]})
    assert sum(one.wrong for one in seen) <= 2
    assert sum(one.unsure for one in seen) >= 20
    assert "as much like" in gate.task_of(rows[0])[1] or gate.task_of(rows[0])[0]


def test_held_out_calls_are_counted_and_not_learned() -> None:
    calls = {"one": cloud(1, 0, 40), "two": cloud(2, 1, 21), "few": cloud(3, 2, LEAST - 1)}
    gate, seen = learn_gate("d", calls)
    assert [(one.task, one.n) for one in seen] == [("one", 8), ("two", 5)]
    assert all(one.right + one.unsure + one.wrong == one.n for one in seen)
    calls["one"][::5] = -calls["one"][::5]
    assert learn_gate("d", calls)[0] == gate
    with pytest.raises(ConfigError, match="no task has 8 recorded calls"):
        learn_gate("d", {"few": calls["few"]})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.4))
def test_whom_it_names_is_the_nearest(seed: int, spread: float) -> None:
    calls = {f"t{axis}": cloud(seed + axis, axis, 30, spread) for axis in range(4)}
    gate, _ = learn_gate("d", calls)
    for row in cloud(seed + 9, seed % 5, 20, spread):
        task, _ = gate.task_of(row)
        cosines = {one.task: float(np.float32(one.vector) @ row) for one in gate.centres}
        assert not task or cosines[task] == max(cosines.values())


def test_it_is_kept_in_a_file(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "desk.gate.json"
    assert read_gate(path, "models.desk.gate") is None
    gate.save(path)
    assert read_gate(path, "models.desk.gate") == gate
    for damaged in (path.read_bytes()[:-20], b'{"encoder":"d","centres":[]}', b""):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"models\.desk\.gate: .*learn it again"):
            read_gate(path, "models.desk.gate")


def test_what_comes_after_the_question_changes_nothing() -> None:
    asked = (Message("system", "Rules."), Message("user", "What is late?"))
    later = (*asked, Message("assistant", "A call."), Message("tool", "A result."))
    assert gate_text(Request("m", asked)) == gate_text(Request("m", later))
    assert gate_text(Request("m", ())) == "\n"
