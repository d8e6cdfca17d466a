"""The ladder: which recipes learn which contract."""

import importlib.util
from collections.abc import Sequence

import pytest
from parcel_office import TASK, make_lessons, make_task

from shoal.chat import Message
from shoal.errors import LearningError
from shoal.flywheel.ladder import effort, recipes_for, train, why_not
from shoal.specialists.senses import Senses
from shoal.tasks import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    Input,
    NumberContract,
    TextContract,
)

LABEL = Field("desk", "label", ("garden", "kitchen"))
SPAN = Field("sender", "span")
NUMBER = Field("weight", "number")
DATE, SPANS = Field("sent", "date"), Field("goods", "spans")
BOTH = ["terms", "terms+encoder"]
TEXTS = [Input("a violin"), Input("a spade")]
ROWS = [Input('{"weight": 3, "fragile": true}'), Input('{"weight": 5, "fragile": false}')]


def names(contract: Contract, inputs: Sequence[Input] = TEXTS) -> list[str]:
    return [recipe.name for recipe in recipes_for(make_task(contract=contract), inputs)]


def test_labels_are_learned_cheapest_first() -> None:
    assert names(TASK.contract) == BOTH
    assert [recipe.encoder for recipe in recipes_for(TASK, TEXTS)] == [False, True]


def test_rows_of_a_table_are_decided_by_trees_as_well() -> None:
    assert sorted(names(TASK.contract, ROWS)) == sorted(["trees", *BOTH])
    assert names(NumberContract(), ROWS) == ["trees"]
    with pytest.raises(LearningError, match="its inputs are no table"):
        names(NumberContract(), TEXTS)


def test_calls_need_messages() -> None:
    contract = CallContract(("look_up",))
    asked = [Input("where?", messages=(Message("user", "where?"),))]
    assert names(contract, asked) == ["trees", "trees+encoder"]
    with pytest.raises(LearningError, match="no messages"):
        names(contract, TEXTS)


def test_fields_without_spans_need_no_encoder() -> None:
    assert names(FieldsContract((LABEL, Field("urgent", "boolean")))) == BOTH


@pytest.mark.parametrize("field", [SPAN, NUMBER, DATE, SPANS])
def test_what_is_copied_from_the_input_needs_the_encoder(field: Field) -> None:
    assert names(FieldsContract((LABEL, field))) == ["terms+encoder", "crf+encoder"]


def test_what_trains_quickest_comes_first() -> None:
    contracts = [FieldsContract((SPAN,)), FieldsContract((LABEL,)), TASK.contract]
    tasks = [make_task(contract=contract) for contract in contracts]
    assert sorted(tasks, key=effort) == tasks[::-1]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_free_fields_are_refused_by_name(kind: str) -> None:
    contract = FieldsContract((LABEL, Field("remark", kind)))  # type: ignore[arg-type]
    reason = why_not(make_task(contract=contract))
    assert "'remark'" in reason
    assert kind in reason
    with pytest.raises(LearningError, match="no specialist learns that yet"):
        names(contract)


@pytest.mark.parametrize("contract", [TextContract(), TextContract(json=True)])
def test_other_contracts_are_refused_in_plain_words(contract: Contract) -> None:
    reason = why_not(make_task(contract=contract))
    assert reason.startswith("its answers are ")
    assert type(contract).__name__ not in reason
    with pytest.raises(LearningError):
        names(contract)


def test_what_can_be_learned_is_not_refused() -> None:
    assert why_not(TASK) == ""
    assert why_not(make_task(contract=FieldsContract((LABEL, SPAN)))) == ""


def test_each_recipe_trains_by_its_name(senses: Senses) -> None:
    lessons = make_lessons(range(60))
    for recipe in recipes_for(TASK, lessons.inputs):
        specialist, left_out = train(lessons, recipe, senses)
        assert specialist.recipe == recipe.name
        assert len(left_out) == 60
        assert specialist.predict(Input("a violin")).output == "music"


def test_tuning_is_tried_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    light = recipes_for(TASK)
    assert not any(recipe.held_out for recipe in light)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    tuned = recipes_for(TASK, (), fine_tune=True)
    assert [recipe.name for recipe in tuned] == [*BOTH, "tuned"]
    assert tuned[-1].held_out


def test_without_torch_nothing_is_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert recipes_for(TASK, (), fine_tune=True) == recipes_for(TASK)
