"""Gradient-boosted trees: what they learn, what they promise, and what is said if they cannot."""

import builtins
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import ArtifactError, LearningError
from shoal.specialists.boosting import Boosting, BoostingOptions, cross_fit, folds_of

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(600, 4))
YES = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
BINARY = BoostingOptions("binary", rounds=60)


def test_binary_gives_probabilities() -> None:
    trees = Boosting.train(ROWS[:400], YES[:400], BINARY)
    found = trees.predict(ROWS[400:])
    assert found.shape == (200,)
    assert ((found > 0) & (found < 1)).all()
    assert np.mean((found > 0.5) == YES[400:]) > 0.9
    assert 1 / (1 + np.exp(-trees.raw(ROWS[400:]))) == pytest.approx(found)


def test_multiclass_gives_a_probability_a_class() -> None:
    classes = np.digitize(ROWS[:, 0], [-0.5, 0.5])
    options = BoostingOptions("multiclass", classes=3, rounds=40)
    trees = Boosting.train(ROWS[:400], classes[:400], options)
    found = trees.predict(ROWS[400:])
    assert found.shape == (200, 3)
    assert found.sum(axis=1) == pytest.approx(1)
    assert np.mean(found.argmax(axis=1) == classes[400:]) > 0.9
    assert trees.contributions(ROWS[0]).shape == (3, 5)


def test_regression_gives_numbers() -> None:
    wanted = 10 + 3 * ROWS[:, 0]
    trees = Boosting.train(ROWS[:400], wanted[:400], BoostingOptions("regression", rounds=100))
    assert np.abs(trees.predict(ROWS[400:]) - wanted[400:]).mean() < 0.6


def test_codes_are_no_numbers() -> None:
    """Even against odd codes takes many splits of a number, and one of a category."""
    codes = RNG.integers(0, 20, size=(600, 1)).astype(float)
    odd = (codes[:, 0] % 2).astype(int)
    stump = {"rounds": 1, "leaves": 2, "learning_rate": 1.0}
    as_codes = BoostingOptions("binary", categorical=(0,), **stump)  # type: ignore[arg-type]
    as_number = BoostingOptions("binary", **stump)  # type: ignore[arg-type]
    assert right(codes, odd, as_codes) > 0.9
    assert right(codes, odd, as_number) < 0.7
    unseen = Boosting.train(codes, odd, as_codes).predict(np.array([[np.nan], [99.0]]))
    assert ((unseen >= 0) & (unseen <= 1)).all()


def right(rows: Any, wanted: Any, options: BoostingOptions) -> float:
    return float(np.mean((Boosting.train(rows, wanted, options).predict(rows) > 0.5) == wanted))


@pytest.mark.parametrize("sign", [1, -1])
def test_monotone_columns_only_ever_push_one_way(sign: int) -> None:
    noisy = np.where(RNG.random(600) < 0.2, 1 - YES, YES)
    options = BoostingOptions("binary", rounds=60, monotone=(sign, 0, 0, 0))
    trees = Boosting.train(ROWS, noisy, options)
    grid = np.repeat(ROWS[:20], 50, axis=0)
    grid[:, 0] = np.tile(np.linspace(-3, 3, 50), 20)
    steps = np.diff(trees.raw(grid).reshape(20, 50), axis=1)
    assert (sign * steps >= -1e-9).all()
    assert np.any(np.diff(Boosting.train(ROWS, noisy, BINARY).raw(grid).reshape(20, 50)) < -1e-6)


def test_contributions_add_up_to_the_score_and_name_the_column() -> None:
    trees = Boosting.train(ROWS, YES, BINARY)
    for row in ROWS[:20]:
        parts = trees.contributions(row)[0]
        assert parts.sum() == pytest.approx(trees.raw(row[None, :])[0])
        assert np.abs(parts[:2]).sum() > np.abs(parts[2:4]).sum()


def test_early_stopping_ends_where_nothing_is_gained() -> None:
    noise = RNG.integers(0, 2, size=600)
    options = BoostingOptions("binary", rounds=500, patience=10)
    apart = (ROWS[400:], noise[400:])
    stopped = Boosting.train(ROWS[:400], noise[:400], options, apart=apart)
    assert stopped.rounds < 50
    learns = Boosting.train(ROWS[:400], YES[:400], options, apart=(ROWS[400:], YES[400:]))
    assert learns.rounds > stopped.rounds


def test_weights_count() -> None:
    heavy = Boosting.train(ROWS, YES, BINARY, weights=np.where(YES == 1, 5.0, 1.0))
    assert heavy.predict(ROWS).mean() > Boosting.train(ROWS, YES, BINARY).predict(ROWS).mean()


def test_a_text_restores_the_same_trees() -> None:
    trees = Boosting.train(ROWS, YES, BINARY)
    again = Boosting.restore(trees.text())
    assert again.text() == trees.text()
    assert (again.predict(ROWS) == trees.predict(ROWS)).all()
    assert (again.rounds, again.columns) == (60, 4)


def test_equal_data_gives_equal_trees() -> None:
    options = BoostingOptions("binary", rounds=30, feature_share=0.5, row_share=0.7)
    assert Boosting.train(ROWS, YES, options).text() == Boosting.train(ROWS, YES, options).text()


@pytest.mark.parametrize("damage", [lambda t: "", lambda t: t[:2_000], lambda t: t[100:]])
def test_damaged_text_is_a_clear_error(damage: Callable[[str], str]) -> None:
    text = Boosting.train(ROWS, YES, BINARY).text()
    with pytest.raises(ArtifactError, match="damaged"):
        Boosting.restore(damage(text))


def test_a_cut_text_never_ends_the_process() -> None:
    """In a process of its own: LightGBM used to abort on such texts."""
    code = """
import numpy as np
from shoal.errors import ArtifactError
from shoal.specialists.boosting import Boosting, BoostingOptions
rows = np.random.default_rng(0).normal(size=(200, 3))
yes = (rows[:, 0] > 0).astype(int)
text = Boosting.train(rows, yes, BoostingOptions("binary", rounds=9)).text()
for end in range(0, text.index("end of trees"), 211):
    try:
        Boosting.restore(text[:end])
    except ArtifactError:
        pass
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_cross_fitting_has_not_seen_what_it_predicts() -> None:
    """Labels are noise, and every input has a twin with the same label: whoever saw it knows."""
    rows = np.repeat(RNG.normal(size=(150, 4)), 2, axis=0)
    noise = np.repeat(RNG.integers(0, 2, size=150), 2)
    options = BoostingOptions("binary", rounds=100, least_in_leaf=2)
    twins = cross_fit(rows, noise, options, [row.tobytes() for row in rows])
    alone = cross_fit(rows, noise, options, list(range(300)))
    assert 0.35 < np.mean((twins.left_out > 0.5) == noise) < 0.65
    assert np.mean((alone.left_out > 0.5) == noise) > 0.75
    assert np.mean((twins.boosting.predict(rows) > 0.5) == noise) > 0.9


def test_cross_fitting_finds_the_number_of_rounds() -> None:
    options = BoostingOptions("binary", rounds=400, patience=10)
    fitted = cross_fit(ROWS, YES, options, list(range(600)))
    assert 10 < fitted.boosting.rounds < 400
    assert np.mean((fitted.left_out > 0.5) == YES) > 0.9


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(2, 6))
def test_equals_share_a_fold(groups: list[int], folds: int) -> None:
    targets = np.array(groups) % 2
    distinct = len(set(groups))
    if distinct < 2:
        with pytest.raises(LearningError, match="equal"):
            folds_of(groups, targets, folds)
        return
    fold = folds_of(groups, targets, folds)
    assert len({(g, f) for g, f in zip(groups, fold, strict=True)}) == distinct
    assert set(fold) == set(range(min(folds, distinct)))


def test_every_fold_has_its_share_of_a_rare_class() -> None:
    rare = (np.arange(500) < 25).astype(int)
    fold = folds_of(list(range(500)), rare)
    assert {int(rare[fold == k].sum()) for k in range(5)} == {5}


def test_one_example_is_too_few() -> None:
    with pytest.raises(LearningError, match="1 examples"):
        Boosting.train(ROWS[:1], YES[:1], BINARY)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ModuleNotFoundError("No module named 'lightgbm'"), "pip install lightgbm"),
        (OSError("libgomp.so.1: cannot open shared object file"), "apt-get install libgomp1"),
    ],
)
def test_what_to_install_is_said(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, said: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "lightgbm":
            raise problem
        return real(name, *rest)

    text = Boosting.train(ROWS, YES, BINARY).text()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LearningError, match=said):
        Boosting.train(ROWS, YES, BINARY)
    with pytest.raises(ArtifactError, match=said):
        Boosting.restore(text)


def test_importing_it_does_not_load_lightgbm() -> None:
    code = "import sys, shoal.specialists.boosting; print('lightgbm' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "False"
