from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.chat import ToolCall
from shoal.errors import ArtifactError, LearningError
from shoal.specialists import memo
from shoal.specialists.files import read_model
from shoal.specialists.kind import Recipe
from shoal.specialists.memo import KIND, SIGHTINGS, MemoSpecialist, restore_memo, train_memo
from shoal.specialists.specialist import Prediction, Trained
from shoal.tasks import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    Input,
    LabelContract,
    NumberContract,
    Output,
    TextContract,
)

MOOD = LabelContract(("glad", "sad"))
RECIPE: Recipe = KIND.recipes[0]


def trained(texts: list[str], outputs: list[Output | None], contract: Contract = MOOD) -> Trained:
    return train_memo(contract, [*map(Input, texts)], outputs, None, RECIPE)


def test_what_was_answered_alike_is_answered_again() -> None:
    found = trained(["hi", "hi", "ho"], ["glad", "glad", "sad"]).specialist
    assert found.predict(Input("hi")).output == "glad"
    assert found.predict(Input("ho")) == Prediction(None, 0.0)  # seen once
    assert found.predict(Input("never seen")) == Prediction(None, 0.0)


@pytest.mark.parametrize("text", ["Hi  there", " hi there\n", "HI THERE", "hi\u00a0there"])
def test_case_and_spacing_do_not_matter(text: str) -> None:
    found = trained(["hi there"] * 3, ["glad"] * 3).specialist
    assert found.predict(Input(text)).output == "glad"


@pytest.mark.parametrize("text", ["hi there!", "hi, there", "hither e", "hi there 2"])
def test_anything_else_does(text: str) -> None:
    found = trained(["hi there"] * 3, ["glad"] * 3).specialist
    assert found.predict(Input(text)).output is None


def test_more_agreement_is_a_greater_signal_and_dissent_a_smaller_one() -> None:
    def signal(glad: int, sad: int) -> float:
        outputs: list[Output | None] = [*["glad"] * glad, *["sad"] * sad]
        return trained(["hi"] * len(outputs), outputs).specialist.predict(Input("hi")).signal

    assert signal(2, 0) < signal(3, 0) < signal(30, 0)
    assert signal(4, 2) < signal(4, 1) < signal(4, 0)


answers = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["glad", "sad", None])), min_size=1, max_size=24
)


@settings(max_examples=200, deadline=None)
@given(sightings=answers)
def test_left_out_predictions_are_those_of_memos_without_the_example(
    sightings: list[tuple[int, str | None]],
) -> None:
    texts = [f"input {number}" for number, _ in sightings]
    outputs: list[Output | None] = [answer for _, answer in sightings]
    try:
        left_out = trained(texts, outputs).left_out
    except LearningError:
        return
    for row, text in enumerate(texts):
        rest = texts[:row] + texts[row + 1 :], outputs[:row] + outputs[row + 1 :]
        try:
            expected = trained(*rest).specialist.predict(Input(text))
        except LearningError:
            expected = Prediction(None, 0.0)
        tied = sum(o == "glad" for t, o in zip(*rest, strict=True) if t == text) == sum(
            o == "sad" for t, o in zip(*rest, strict=True) if t == text
        )
        assert left_out[row].signal == expected.signal
        assert tied or left_out[row].output == expected.output


def test_an_examples_own_answer_does_not_count() -> None:
    same = trained(["hi"] * 4, ["glad", "glad", "glad", "sad"]).left_out
    assert [p.output for p in same] == ["glad"] * 4
    assert same[3].signal > same[0].signal  # three agree without the fourth, two of three else
    assert trained(["hi"] * 2, ["glad"] * 2).left_out == [Prediction(None, 0.0)] * 2


def test_what_breaks_the_contract_agrees_with_nothing() -> None:
    found = trained(["hi"] * 5, ["glad", "glad", None, None, None]).specialist
    assert found.predict(Input("hi")).output == "glad"
    assert found.predict(Input("hi")).signal < 0.5


FORMS: list[tuple[Contract, Output, Output]] = [
    (TextContract(), "Have a nice day.", "have a  nice day"),
    (TextContract(json=True), '{"a": 1}', '{"a":1}'),
    (NumberContract(), 3.0, 3),
    (
        CallContract(("look",)),
        (ToolCall("1", "look", '{"a": 1}'),),
        (ToolCall("2", "look", '{"a":1}'),),
    ),
    (CallContract(("look",), says=("DONE",)), "DONE", "DONE"),
    (FieldsContract((Field("who", "span"),)), {"who": "Ann"}, {"who": "ann"}),
]


@pytest.mark.parametrize(("contract", "one", "other"), FORMS)
def test_any_contract_is_remembered_and_comes_back(
    contract: Contract, one: Output, other: Output, tmp_path: Path
) -> None:
    """What counts as agreeing is the comparator's to say; what is served is an answer seen."""
    found = trained(["hi"] * 3, [one, other, one], contract).specialist
    assert found.predict(Input("hi")) == Prediction(one, 3.5 / 4)
    found.save(tmp_path)
    again = restore_memo(contract, *read_model(tmp_path), None)
    assert again.predict(Input("hi")) == found.predict(Input("hi"))


def test_files_hold_no_inputs(tmp_path: Path) -> None:
    trained(["a secret word"] * 3, ["glad"] * 3).specialist.save(tmp_path)
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    trained(["hi"] * 3, ["glad"] * 3).specialist.save(tmp_path)
    model, arrays = read_model(tmp_path)
    with pytest.raises(ArtifactError, match="differ in number"):
        restore_memo(MOOD, model | {"outputs": []}, arrays, None)
    with pytest.raises(ValueError, match="does not fit"):
        restore_memo(MOOD, model | {"outputs": ["angry"]}, arrays, None)


def test_it_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MOST_INPUTS", 2)
    texts = ["often"] * 4 + ["old"] * 2 + ["new"] * 2
    found = trained(texts, ["glad"] * 8).specialist
    kept = [found.predict(Input(text)).output for text in ("often", "old", "new")]
    assert kept == ["glad", None, "glad"]


def test_nothing_seen_often_enough_is_a_clear_error() -> None:
    with pytest.raises(LearningError, match="nothing to remember"):
        trained(["a", "b", "c"], ["glad"] * 3)


def test_reasons_are_sightings() -> None:
    found = trained(["hi"] * 4, ["glad"] * 3 + ["sad"]).specialist
    assert [(r.what, r.weight) for r in found.explain(Input("hi"))] == [
        ("sightings with this answer", 3.0),
        ("sightings with another", -1.0),
    ]
    assert found.explain(Input("ho")) == ()


def test_it_is_tried_only_where_inputs_recur() -> None:
    recurring = [Input("hi")] * (SIGHTINGS + 1)
    rare = [Input(str(i)) for i in range(100)]
    assert KIND.refusal(TextContract(), recurring + rare[:10], RECIPE) == ""
    for contract in (MOOD, TextContract()):
        assert "seldom recur" in KIND.refusal(contract, recurring + rare, RECIPE)
    assert "no specialist learns that yet" in KIND.refusal(TextContract(), [], RECIPE)


def test_an_unstable_reference_gives_no_sure_answer() -> None:
    """Where the LLM throws dice, left-out signals do not promise more than it keeps."""
    rng = np.random.default_rng(0)
    texts = [f"input {i % 50}" for i in range(1_000)]
    outputs: list[Output | None] = [str(rng.choice(MOOD.labels)) for _ in texts]
    found = trained(texts, outputs)
    right = [p.output == o for p, o in zip(found.left_out, outputs, strict=True)]
    assert isinstance(found.specialist, MemoSpecialist)
    assert np.mean(right) == pytest.approx(0.5, abs=0.1)
    assert np.mean([p.signal for p in found.left_out]) < 0.65
