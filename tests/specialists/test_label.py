from pathlib import Path

import numpy as np
import pytest
from desk_messages import LABEL, RECIPE, desk_messages, inputs_of

from shoal.errors import LearningError
from shoal.specialists.files import read_model
from shoal.specialists.label import LabelSpecialist, restore_label, train_label
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract
from shoal.tasks.contract import Output

DESK = desk_messages(150)
NEW = desk_messages(60, seed=1)


@pytest.mark.parametrize("embedded", [False, True])
def test_it_learns_what_recurs(senses: Senses, embedded: bool) -> None:
    used = senses if embedded else None
    trained = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), used, RECIPE)
    predicted = [trained.specialist.predict(Input(text)).output for text in NEW.texts]
    agree = [a == b for a, b in zip(predicted, NEW.outputs(LABEL), strict=True)]
    assert np.mean(agree) >= 0.95


def test_signals_tell_right_from_wrong() -> None:
    """The labels of messages about payments are drawn at random."""
    rng = np.random.default_rng(0)
    outputs = DESK.outputs(LABEL)
    for i, output in enumerate(outputs):
        if output == "payments":
            outputs[i] = str(rng.choice(LABEL.labels))
    found = train_label(LABEL, DESK.inputs, outputs, None, RECIPE).left_out
    signals = np.array([prediction.signal for prediction in found])
    right = np.array([p.output == output for p, output in zip(found, outputs, strict=True)])
    assert ((signals > 0) & (signals < 1)).all()
    assert signals[right].mean() > signals[~right].mean() + 0.1


def test_a_signal_estimates_the_probability_of_being_right() -> None:
    rng = np.random.default_rng(0)
    outputs = DESK.outputs(LABEL)
    for i, output in enumerate(outputs):
        if output == "payments":
            outputs[i] = str(rng.choice(LABEL.labels))
    found = train_label(LABEL, DESK.inputs, outputs, None, RECIPE).left_out
    right = np.mean([p.output == output for p, output in zip(found, outputs, strict=True)])
    assert np.mean([p.signal for p in found]) == pytest.approx(right, abs=0.03)


def test_left_out_signals_are_on_the_scale_of_served_ones() -> None:
    """Where training ends with the example in it, only its own weight makes a difference."""
    trained = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), None, RECIPE)
    served = [trained.specialist.predict(Input(text)).signal for text in NEW.texts]
    left_out = [prediction.signal for prediction in trained.left_out]
    assert np.mean(served) == pytest.approx(np.mean(left_out), abs=0.05)


def test_what_breaks_the_contract_is_no_label_and_never_right() -> None:
    outputs: list[Output | None] = DESK.outputs(LABEL)
    broken = range(0, 150, 3)
    for i in broken:
        outputs[i] = None
    trained = train_label(LABEL, DESK.inputs, outputs, None, RECIPE)
    assert {p.output for p in trained.left_out} <= set(LABEL.labels)
    clean = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), None, RECIPE)
    assert np.mean([p.signal for p in trained.left_out]) < np.mean(
        [p.signal for p in clean.left_out]
    )


def test_a_label_without_examples_is_never_predicted() -> None:
    contract = LabelContract((*LABEL.labels, "press"))
    trained = train_label(contract, DESK.inputs, DESK.outputs(LABEL), None, RECIPE)
    assert {trained.specialist.predict(Input(text)).output for text in NEW.texts} <= set(
        LABEL.labels
    )


def test_one_label_alone_is_learned_too() -> None:
    trained = train_label(LabelContract(("yes",)), DESK.inputs, ["yes"] * 150, None, RECIPE)
    assert trained.specialist.predict(Input("anything")).output == "yes"
    assert all(prediction.signal > 0.5 for prediction in trained.left_out)


@pytest.mark.parametrize("texts", [[], ["one"], DESK.texts])
def test_nothing_to_learn_is_a_clear_error(texts: list[str]) -> None:
    with pytest.raises(LearningError, match="none of the reference answers keeps the contract"):
        train_label(LABEL, inputs_of(texts), [None] * len(texts), None, RECIPE)


@pytest.mark.parametrize("text", ["", " ", "\ud83d", "x" * 1_000_000, "\0"])
def test_any_text_gets_an_answer(senses: Senses, text: str) -> None:
    trained = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), senses, RECIPE)
    prediction = trained.specialist.predict(Input(text))
    assert prediction.output in LABEL.labels
    assert 0 <= prediction.signal <= 1


def test_files_from_before_there_were_scopes_are_read(senses: Senses, tmp_path: Path) -> None:
    trained = train_label(LABEL, DESK.inputs, DESK.outputs(LABEL), senses, RECIPE).specialist
    trained.save(tmp_path)
    model, arrays = read_model(tmp_path)
    del model["scope"]
    old = restore_label(LABEL, model, arrays, senses)
    for given in NEW.inputs:
        assert old.predict(given).output == trained.predict(given).output
        assert old.predict(given).signal >= trained.predict(given).signal  # no scope takes from it
        assert old.scope_rank(given) == 1


def test_a_labels_name_is_an_example_of_it(senses: Senses) -> None:
    """Of a label that was seen once, its name says more than the one message."""
    contract = LabelContract((*LABEL.labels, "lost_luggage"))
    texts = [*DESK.inputs, Input("it went astray on my flight")]
    outputs = [*DESK.outputs(LABEL), "lost_luggage"]
    trained = train_label(contract, texts, outputs, senses, RECIPE).specialist
    assert isinstance(trained, LabelSpecialist)
    assert trained.predict(Input("lost luggage")).output == "lost_luggage"
