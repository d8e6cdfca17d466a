"""The e-process as a value, and confidence sequences."""

import math

import msgspec
import numpy as np
import pytest

from shoal.guarantees import (
    EProcess,
    anytime_lower_bound,
    anytime_upper_bound,
    confidence_sequence,
    log_e_path,
    lower_bound,
    upper_bound,
)


def _after(outcomes: list[bool], alpha: float = 0.05) -> EProcess:
    process = EProcess.start(alpha)
    for wrong in outcomes:
        process = process.update(wrong)
    return process


def test_it_begins_with_an_e_value_of_one() -> None:
    start = EProcess.start(0.05)
    assert (start.n, start.errors, start.e_value) == (0, 0, 1.0)
    assert not start.crossed(0.999)


def test_update_is_pure_and_counts() -> None:
    start = EProcess.start(0.05)
    later = start.update(True).update(False)
    assert start == EProcess.start(0.05)
    assert (later.n, later.errors) == (2, 1)


def test_errors_raise_the_evidence_and_right_answers_lower_it() -> None:
    process = _after([False] * 5)
    assert process.update(True).e_value > process.e_value > process.update(False).e_value


def test_one_audit_is_a_fair_game_at_alpha() -> None:
    for process in (
        EProcess.start(0.1),
        _after([True, False, False], 0.1),
        _after([False] * 50, 0.1),
    ):
        expected = 0.1 * process.update(True).e_value + 0.9 * process.update(False).e_value
        assert expected == pytest.approx(process.e_value, rel=1e-12)


def test_a_crossing_is_remembered() -> None:
    broken = _after([True] * 6)
    assert broken.crossed(0.05)
    recovered = _after([True] * 6 + [False] * 2000)
    assert recovered.e_value < 20
    assert recovered.crossed(0.05)


def test_a_break_after_a_long_good_spell_is_still_found() -> None:
    good = _after([False] * 2000)
    assert good.e_value < 1
    audits = 0
    while not good.crossed(0.05):
        good = good.update(True)
        audits += 1
    assert audits <= 8


def test_the_path_replays_the_updates() -> None:
    outcomes = np.random.default_rng(2).random((3, 40)) < 0.2
    path = log_e_path(outcomes, 0.05)
    assert path.shape == (3, 40)
    for row, stream in zip(path, outcomes, strict=True):
        process = EProcess.start(0.05)
        for expected, wrong in zip(row, stream, strict=True):
            process = process.update(bool(wrong))
            assert process.log_e == pytest.approx(expected, abs=1e-9)


def test_json_there_and_back() -> None:
    process = _after([True, False, True])
    assert msgspec.json.decode(msgspec.json.encode(process), type=EProcess) == process


def test_a_state_of_another_shape_is_refused() -> None:
    state = msgspec.json.encode(EProcess.start(0.05)).replace(
        b'"log_wealth":[', b'"log_wealth":[0.0,'
    )
    with pytest.raises(msgspec.ValidationError, match="expected 6 bets"):
        msgspec.json.decode(state, type=EProcess)
    with pytest.raises(ValueError, match="alpha"):
        EProcess.start(1.0)


def test_the_e_value_overflows_to_infinity_not_to_an_error() -> None:
    process = _after([True] * 400, alpha=0.01)
    assert process.e_value == math.inf
    assert process.crossed(1e-300)


def test_a_confidence_sequence_is_wider_than_a_single_look_and_narrows() -> None:
    assert anytime_upper_bound(10, 200, 0.05) > upper_bound(10, 200, 0.05)
    assert anytime_lower_bound(10, 200, 0.05) < lower_bound(10, 200, 0.05)
    widths = [
        high - low
        for low, high in (confidence_sequence(n // 20, n, 0.05) for n in (100, 1000, 10_000))
    ]
    assert widths == sorted(widths, reverse=True)


def test_confidence_sequences_at_the_edges() -> None:
    assert confidence_sequence(0, 0, 0.05) == (0.0, 1.0)
    assert anytime_upper_bound(9, 9, 0.05) == 1.0
    assert anytime_lower_bound(0, 9, 0.05) == 0.0
    assert 0.0 < anytime_upper_bound(0, 1000, 0.05) < 0.02
    with pytest.raises(ValueError, match="got 3 errors of 2"):
        anytime_upper_bound(3, 2, 0.05)
