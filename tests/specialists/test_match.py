"""Kind match: what it learns, what it declines, and that its signals keep what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
from product_pairs import MATCH, input_of, product_pairs

from shoal.errors import LearningError
from shoal.specialists.files import read_model
from shoal.specialists.match import KIND, Matches, MatchSpecialist, restore_match, train_match
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Trained
from shoal.tasks import FieldsContract, Input, LabelContract
from shoal.tasks.contract import Output

LIGHT, EMBEDDED = KIND.recipes
SEEN, NEW = product_pairs(400), product_pairs(150, seed=1)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_match(MATCH, SEEN.inputs, SEEN.outputs, None, LIGHT)


def agreement(said: list[Prediction], wanted: list[Output | None]) -> float:
    return float(np.mean([p.output == label for p, label in zip(said, wanted, strict=True)]))


def test_it_learns_which_records_match(trained: Trained) -> None:
    said = [trained.specialist.predict(given) for given in NEW.inputs]
    assert agreement(said, NEW.outputs) > 0.95
    assert agreement(trained.left_out, SEEN.outputs) > 0.95


def test_it_reads_one_slot_with_two_blocks_as_well() -> None:
    def block(given: Input) -> Input:
        (_, left), (_, right) = given.slots
        return Input(f"Entity 1: {json.loads(left)['name']}. Entity 2: {json.loads(right)['name']}")

    found = train_match(MATCH, [*map(block, SEEN.inputs)], SEEN.outputs, None, LIGHT)
    said = [found.specialist.predict(block(given)) for given in NEW.inputs]
    assert agreement(said, NEW.outputs) > 0.9


@pytest.mark.parametrize("labels", [("yes", "no"), ("no", "yes"), ("ungleich", "gleich")])
def test_spelling_and_order_of_the_labels_do_not_matter(labels: tuple[str, str]) -> None:
    same = labels[1] if labels[1] == "gleich" else "yes"
    other = next(label for label in labels if label != same)
    outputs: list[Output | None] = [same if o == "same" else other for o in SEEN.outputs]
    found = train_match(LabelContract(labels), SEEN.inputs, outputs, None, LIGHT)
    wanted = [same if o == "same" else other for o in NEW.outputs]
    assert agreement([*map(found.specialist.predict, NEW.inputs)], [*wanted]) > 0.95


def questions(seed: int, n: int = 60) -> tuple[list[Input], list[Output | None]]:
    """Each with one right passage of five, mostly told by a number."""
    random, inputs, outputs = np.random.default_rng(seed), list[Input](), list[Output | None]()
    for at in range(n):
        first, *others = random.choice(np.arange(1000, 1200), size=5, replace=False).tolist()
        for place, other in enumerate([first, *others]):
            number = first if random.random() < (0.1 if place else 0.8) else other + 500
            slots = ("q", f"part kx{first} {seed * n + at}?"), ("p", f"The KX-{number}")
            inputs.append(Input("", slots))
            outputs.append("different" if place else "same")
    return inputs, outputs


def test_where_the_left_record_is_always_new() -> None:
    """That the question of a wrong passage has another match gives it away in training, and never
    again: what is left out one by one is far too good."""
    (inputs, outputs), (others, wanted) = questions(0), questions(1)
    counting = train_match(MATCH, inputs, outputs, None, LIGHT, groups=list)
    found = train_match(MATCH, inputs, outputs, None, LIGHT)
    assert decided_by_count(counting, inputs) > 100
    assert decided_by_count(found, inputs) == 0, "seen in the order of time"
    later = agreement([*map(found.specialist.predict, others)], wanted)
    assert later > 0.85
    assert agreement(found.left_out, outputs) < later + 0.1
    hopeful = agreement([*map(counting.specialist.predict, others)], wanted)
    assert agreement(counting.left_out, outputs) > hopeful + 0.2


def decided_by_count(trained: Trained, inputs: list[Input]) -> int:
    reasons = [trained.specialist.explain(given) for given in inputs]
    return sum(any("other matches of left" in one.what for one in some) for some in reasons)


def test_noise_is_not_learned_from_twins() -> None:
    """Every pair comes twice with one random label: a model that saw the twin would know it."""
    rng = np.random.default_rng(0)
    noise: list[Output | None] = [str(label) for label in rng.choice(MATCH.labels, size=150)]
    found = train_match(MATCH, SEEN.inputs[:150] * 2, noise * 2, None, LIGHT)
    assert agreement(found.left_out, noise * 2) < 0.65


def test_known_matches_of_a_record_leave_out_the_pair_itself() -> None:
    matches = Matches.of([("a", "x"), ("a", "y"), ("b", "x")])
    assert matches.row("a", "x") == (1, 1)
    assert matches.row("b", "y") == (1, 1)
    assert matches.row("c", "z") == (0, 0)


def test_a_record_that_has_its_match_seldom_has_another() -> None:
    """Names say nothing here; only that every left record matches once."""
    rng = np.random.default_rng(0)
    inputs, outputs = [], []
    for at in range(200):
        candidates = [{"name": f"item {n}"} for n in rng.integers(0, 10**6, size=3)]
        for place, right in enumerate(candidates):
            inputs.append(input_of({"name": f"thing {at}"}, right))
            outputs.append(MATCH.labels[place == 0])
    order = rng.permutation(len(inputs))
    found = train_match(MATCH, [inputs[i] for i in order], [outputs[i] for i in order], None, LIGHT)
    matched = [f"other matches of left = {n}" for n in (0, 1)]
    told = [reason.what for given in inputs[:9] for reason in found.specialist.explain(given)]
    assert set(matched) & set(told)


def test_signals_estimate_the_probability_of_being_right() -> None:
    rng = np.random.default_rng(0)
    outputs: list[Output | None] = [
        str(rng.choice(MATCH.labels)) if rng.random() < 0.3 else output for output in SEEN.outputs
    ]
    found = train_match(MATCH, SEEN.inputs, outputs, None, LIGHT)
    right = agreement(found.left_out, outputs)
    assert np.mean([p.signal for p in found.left_out]) == pytest.approx(right, abs=0.04)


def test_served_signals_are_on_the_scale_of_left_out_ones(trained: Trained) -> None:
    served = [trained.specialist.predict(given).signal for given in NEW.inputs]
    left_out = [prediction.signal for prediction in trained.left_out]
    assert np.mean(served) == pytest.approx(np.mean(left_out), abs=0.03)


def test_it_declines_what_holds_no_pair(trained: Trained) -> None:
    for given in (Input("where is my parcel?"), Input("", (("left", "a"), ("right", "")))):
        assert trained.specialist.predict(given) == Prediction(None, 0.0)
        assert trained.specialist.explain(given) == ()


def test_an_example_without_a_pair_is_declined_too() -> None:
    odd = [*SEEN.inputs[:99], Input("no pair")]
    found = train_match(MATCH, odd, SEEN.outputs[:100], None, LIGHT)
    assert found.left_out[99] == Prediction(None, 0.0)
    assert None not in [p.output for p in found.left_out[:99]]


def test_answers_that_break_the_contract_teach_nothing() -> None:
    outputs = list(SEEN.outputs)
    for at in range(0, 400, 4):
        outputs[at] = None
    found = train_match(MATCH, SEEN.inputs, outputs, None, LIGHT)
    assert {p.output for p in found.left_out} <= set(MATCH.labels)
    assert agreement(found.left_out, SEEN.outputs) > 0.93


def test_reasons_name_what_decided(trained: Trained) -> None:
    given, wanted = NEW.inputs[0], NEW.outputs[0]
    assert trained.specialist.predict(given).output == wanted
    reasons = trained.specialist.explain(given)
    assert 0 < len(reasons) <= 8
    assert sum(reason.weight for reason in reasons) > 0, "they speak for what was said"
    assert any(":" in reason.what and " = " in reason.what for reason in reasons)


def test_the_encoder_adds_a_column(senses: Senses, trained: Trained) -> None:
    found = train_match(MATCH, SEEN.inputs[:100], SEEN.outputs[:100], senses, EMBEDDED)
    assert isinstance(found.specialist, MatchSpecialist)
    said = [found.specialist.predict(given) for given in NEW.inputs[:30]]
    assert agreement(said, NEW.outputs[:30]) > 0.8


def test_what_it_fits_and_why_not() -> None:
    assert KIND.fits(MATCH)
    assert not KIND.fits(LabelContract(("a", "b", "c")))
    assert not KIND.fits(FieldsContract(()))
    assert KIND.refusal(MATCH, SEEN.inputs, LIGHT) == ""
    assert "hold no pair of records" in KIND.refusal(MATCH, [Input("hello")], LIGHT)
    assert KIND.refusal(MATCH, [], LIGHT).endswith("is not known")


def test_what_cannot_be_learned_is_a_clear_error() -> None:
    with pytest.raises(LearningError, match="no reference answer keeps the contract"):
        train_match(MATCH, SEEN.inputs, [None] * 400, None, LIGHT)
    with pytest.raises(LearningError, match="no pair of records"):
        train_match(MATCH, [Input("hello")] * 9, ["same"] * 9, None, LIGHT)
    with pytest.raises(LearningError, match="all inputs are equal"):
        train_match(MATCH, SEEN.inputs[:1] * 9, ["same"] * 9, None, LIGHT)


def test_of_too_many_examples_the_older_only_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.specialists.match.MOST_EXAMPLES", 150)
    turned: list[Output | None] = [MATCH.labels[o == "different"] for o in SEEN.outputs[:100]]
    found = train_match(MATCH, SEEN.inputs, [*turned, *SEEN.outputs[100:]], None, LIGHT)
    assert agreement(found.left_out[250:], SEEN.outputs[250:]) > 0.9
    assert agreement(found.left_out[:100], turned) < 0.1, "what they say was not learned"


def test_a_way_that_nobody_knows_is_refused(trained: Trained, tmp_path: Path) -> None:
    trained.specialist.save(tmp_path)
    model, arrays = read_model(tmp_path)
    with pytest.raises(KeyError):
        restore_match(MATCH, model | {"way": "by magic"}, arrays, None)


def test_one_label_alone_is_learned_too() -> None:
    found = train_match(MATCH, SEEN.inputs[:40], ["same"] * 40, None, LIGHT)
    assert {p.output for p in found.left_out} == {"same"}
    assert found.specialist.predict(NEW.inputs[0]).output == "same"
