import numpy as np
import pytest
from desk_messages import LABELS, RECIPE, desk_messages
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import LearningError
from shoal.specialists.multi_label import least_errors, train_labels
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelsContract, Output

DESK = desk_messages(200)
NEW = desk_messages(80, seed=1)


@pytest.mark.parametrize("embedded", [False, True])
def test_it_learns_the_whole_set(senses: Senses, embedded: bool) -> None:
    used = senses if embedded else None
    trained = train_labels(LABELS, DESK.inputs, DESK.outputs(LABELS), used, RECIPE)
    told = [trained.specialist.predict(given).output for given in NEW.inputs]
    assert np.mean([a == b for a, b in zip(told, NEW.outputs(LABELS), strict=True)]) >= 0.95


def noisy() -> list[Output | None]:
    """The departments of messages about payments are drawn at random."""
    rng = np.random.default_rng(0)
    outputs = DESK.outputs(LABELS)
    for i, output in enumerate(outputs):
        assert isinstance(output, tuple)
        if "payments" in output:
            outputs[i] = (str(rng.choice(LABELS.labels[:3])), *map(str, output[1:]))
    return outputs


def test_a_signal_estimates_that_the_whole_set_is_right() -> None:
    outputs = noisy()
    found = train_labels(LABELS, DESK.inputs, outputs, None, RECIPE).left_out
    right = np.array([p.output == output for p, output in zip(found, outputs, strict=True)])
    signals = np.array([p.signal for p in found])
    assert ((signals >= 0) & (signals <= 1)).all()
    assert signals.mean() == pytest.approx(right.mean(), abs=0.04)
    assert signals[right].mean() > signals[~right].mean() + 0.1


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(10, 60))
def test_no_other_threshold_errs_less(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, n).astype(np.float32)
    wanted = rng.random(n) < 1 / (1 + np.exp(-scores))
    chosen = least_errors(scores, wanted)
    errors = int(((scores >= chosen) != wanted).sum())
    if min(wanted.sum(), (~wanted).sum()) < 5:
        assert chosen == 0
        return
    assert errors == min(int(((scores >= t) != wanted).sum()) for t in np.arange(-4, 5) - 0.5)


def test_a_rare_label_gets_a_threshold_of_its_own() -> None:
    """Its scores lie below 0, where the many that lack it pull them."""
    scores = np.concatenate([np.full(6, -0.4), np.full(94, -0.9)]).astype(np.float32)
    chosen = least_errors(scores, np.arange(100) < 6)
    assert -0.9 < chosen <= -0.4


def test_no_label_at_all_is_an_answer_where_the_llm_gives_it() -> None:
    outputs: list[Output | None] = [
        () if "delivery" in str(output) else output for output in DESK.outputs(LABELS)
    ]
    asked = next(
        g for g, o in zip(NEW.inputs, NEW.outputs(LABELS), strict=True) if o == ("delivery",)
    )
    found = train_labels(LABELS, DESK.inputs, outputs, None, RECIPE).specialist
    assert found.predict(asked).output == ()
    listed = LabelsContract(LABELS.labels, separator=", ")
    found = train_labels(listed, DESK.inputs, outputs, None, RECIPE).specialist
    assert found.predict(asked).output is None


def test_what_breaks_the_contract_is_never_right() -> None:
    outputs = DESK.outputs(LABELS)
    clean = train_labels(LABELS, DESK.inputs, outputs, None, RECIPE).left_out
    outputs[::3] = [None] * len(outputs[::3])
    broken = train_labels(LABELS, DESK.inputs, outputs, None, RECIPE).left_out
    assert np.mean([p.signal for p in broken]) < np.mean([p.signal for p in clean]) - 0.1


@pytest.mark.parametrize("outputs", [[None] * 200, [()] * 200])
def test_nothing_to_learn_is_a_clear_error(outputs: list[Output | None]) -> None:
    with pytest.raises(LearningError, match="nothing to learn"):
        train_labels(LABELS, DESK.inputs, outputs, None, RECIPE)


def test_odd_inputs_get_a_smaller_signal(senses: Senses) -> None:
    found = train_labels(LABELS, DESK.inputs, DESK.outputs(LABELS), senses, RECIPE).specialist
    usual = np.median([found.predict(given).signal for given in NEW.inputs])
    assert found.predict(Input("zz yy xx ww")).signal < usual


def test_reasons_are_those_of_the_labels_chosen() -> None:
    found = train_labels(LABELS, DESK.inputs, DESK.outputs(LABELS), None, RECIPE).specialist
    given = Input("my parcel is late, this is urgent, answer today")
    assert found.predict(given).output == ("delivery", "urgent")
    best = [reason.what for reason in found.explain(given)[:4]]
    assert {"parcel", "late"} & set(best)
    assert {"urgent", "answer", "today"} & set(best)


def test_no_example_has_a_say_in_the_thresholds_it_is_judged_by() -> None:
    """Of labels drawn by coin, half can be told of new inputs; so of left-out ones no more."""
    right = []
    for seed in range(10):
        flips = np.random.default_rng(seed).random((60, 4)) < 0.5
        names = LABELS.labels
        outputs: list[Output | None] = [
            tuple(name for name, on in zip(names, row, strict=True) if on) for row in flips
        ]
        inputs = [Input(f"{chr(97 + i % 7)} {chr(97 + i % 11)} {i}") for i in range(60)]
        found = [p.output for p in train_labels(LABELS, inputs, outputs, None, RECIPE).left_out]
        told = np.array([[name in (output or ()) for name in names] for output in found])
        right.append((told == flips).mean())
    assert np.mean(right) <= 0.5 + 3 * np.std(right) / np.sqrt(len(right))
