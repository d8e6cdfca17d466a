"""Thresholds over calls that belong together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoal.guarantees import (
    LabelSelection,
    Refusal,
    RiskCurve,
    Selection,
    select,
    select_by_label,
)

outcomes = st.lists(
    st.tuples(st.integers(0, 30), st.booleans(), st.integers(0, 6)), min_size=1, max_size=60
)


@given(outcomes)
def test_each_conversation_counts_once(rows: list[tuple[int, bool, int]]) -> None:
    scores, wrong, names = (list(column) for column in zip(*rows, strict=True))
    curve = RiskCurve.of(scores, wrong, together=names)
    for at, threshold in enumerate(curve.threshold):
        accepted = [row for row in rows if row[0] >= threshold]
        known = {name for *_, name in accepted}
        assert curve.firsts[at] == len(known)
        surely = sum(all(bad for _, bad, of in accepted if of == name) for name in known)
        maybe = sum(any(bad for _, bad, of in accepted if of == name) for name in known)
        assert surely <= curve.first_errors[at] <= maybe


@given(outcomes)
def test_conversations_of_one_call_change_nothing(rows: list[tuple[int, bool, int]]) -> None:
    scores, wrong, _ = (list(column) for column in zip(*rows, strict=True))
    alone = RiskCurve.of(scores, wrong, together=range(len(rows)))
    for found, expected in zip(alone, RiskCurve.of(scores, wrong), strict=True):
        assert np.array_equal(found, expected)


def test_many_calls_of_few_conversations_prove_little() -> None:
    scores, wrong = np.linspace(0, 1, 400), [False] * 400
    assert isinstance(select(scores, wrong, 0.1, 0.05), Selection)
    few = [at % 10 for at in range(400)]
    assert not isinstance(select(scores, wrong, 0.1, 0.05, together=few), Selection)
    many = [at % 100 for at in range(400)]
    assert isinstance(select(scores, wrong, 0.1, 0.05, together=many), Selection)


def test_an_agent_of_whose_steps_few_recur_is_certified_for_these() -> None:
    """A tenth of the steps is always foreseen, the rest mostly not: 200 conversations of ten."""
    rng = np.random.default_rng(0)
    scores = rng.random(2_000)
    wrong = (scores < 0.9) & (rng.random(2_000) < 0.7)
    names = [at // 10 for at in range(2_000)]
    found = select(scores, wrong, 0.1, 0.05, together=names)
    assert isinstance(found, Selection)
    assert 0.05 < found.coverage < 0.15


def test_each_label_needs_conversations_of_its_own() -> None:
    scores, wrong, labels = np.linspace(0, 1, 400), [False] * 400, ["a", "b"] * 200
    assert isinstance(select_by_label(scores, wrong, labels, 0.1, 0.05), LabelSelection)
    few = [at % 20 for at in range(400)]
    assert isinstance(select_by_label(scores, wrong, labels, 0.1, 0.05, together=few), Refusal)
    many = [at // 2 for at in range(400)]
    found = select_by_label(scores, wrong, labels, 0.1, 0.05, together=many)
    assert isinstance(found, LabelSelection)
    assert [proof.label for proof in found.proofs] == ["a", "b"]
