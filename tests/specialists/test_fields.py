import numpy as np
import pytest
from desk_messages import FIELDS, HEADS, LABEL, RECIPE, SPANS, Desk, desk_messages, inputs_of

from shoal.errors import LearningError
from shoal.specialists.fields import train_fields
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Trained
from shoal.tasks import Field, FieldsContract, Input, parse, render
from shoal.tasks.contract import Output, Scalar

DESK = desk_messages(200)
NEW = desk_messages(60, seed=1)


@pytest.fixture(scope="module")
def trained(senses: Senses) -> Trained:
    return train_fields(FIELDS, DESK.inputs, DESK.outputs(FIELDS), senses, RECIPE)


def agreement(trained: Trained, desk: Desk, name: str) -> float:
    """The share of messages of which one field is predicted rightly."""
    found = [trained.specialist.predict(Input(text)).output for text in desk.texts]
    pairs = zip(found, desk.rows, strict=True)
    return float(np.mean([isinstance(f, dict) and f[name] == row[name] for f, row in pairs]))


@pytest.mark.parametrize("name", ["department", "urgent", "order", "amount"])
def test_it_learns_every_kind_of_field(trained: Trained, name: str) -> None:
    assert agreement(trained, NEW, name) >= 0.9


def test_predictions_keep_the_contract(trained: Trained) -> None:
    for text in [*NEW.texts, "", "\ud83d", "1" * 500, "x" * 100_000]:
        prediction = trained.specialist.predict(Input(text))
        assert 0 <= prediction.signal <= 1
        if prediction.output is not None:
            written = render(FIELDS, prediction.output)
            assert parse(FIELDS, written) == prediction.output


def test_labels_and_booleans_need_no_encoder() -> None:
    trained = train_fields(HEADS, DESK.inputs, DESK.outputs(HEADS), None, RECIPE)
    assert agreement(trained, NEW, "department") >= 0.95
    assert agreement(trained, NEW, "urgent") >= 0.95


def test_what_is_copied_needs_the_encoder() -> None:
    with pytest.raises(LearningError, match=r"order .* needs the encoder"):
        train_fields(SPANS, DESK.inputs, DESK.outputs(SPANS), None, RECIPE)


def test_the_signal_is_that_of_all_fields_together(senses: Senses) -> None:
    rng = np.random.default_rng(0)
    noisy = Desk(DESK.texts, [dict(row) for row in DESK.rows])
    for row in noisy.rows:  # so that no field is sure
        row["department"] = (
            str(rng.choice(LABEL.labels)) if rng.random() < 0.3 else row["department"]
        )
        row["urgent"] = bool(rng.random() < 0.5) if rng.random() < 0.3 else row["urgent"]
        row["order"] = None if rng.random() < 0.3 else row["order"]
    whole, heads, spans = (
        train_fields(contract, noisy.inputs, noisy.outputs(contract), senses, RECIPE).specialist
        for contract in (FIELDS, HEADS, SPANS)
    )
    for text in NEW.texts[:20]:
        parts = heads.predict(Input(text)).signal, spans.predict(Input(text)).signal
        assert max(parts) < 0.995
        assert whole.predict(Input(text)).signal == pytest.approx(np.prod(parts), rel=1e-3)


def test_optional_fields_may_be_missing_and_others_make_it_decline(senses: Senses) -> None:
    plain = "hello, my parcel is late"
    loose = train_fields(SPANS, DESK.inputs, DESK.outputs(SPANS), senses, RECIPE)
    assert loose.specialist.predict(Input(plain)).output == {"order": None, "amount": None}
    strict = FieldsContract((Field("order", "span"),))
    outputs: list[Output | None] = [
        {"order": row["order"]} if row["order"] else None for row in DESK.rows
    ]
    trained = train_fields(strict, DESK.inputs, outputs, senses, RECIPE)
    assert trained.specialist.predict(Input(plain)).output is None
    told = trained.specialist.predict(Input("hello, my parcel is late, my order is AB-12345"))
    assert told.output == {"order": "AB-12345"}
    # Left out it declines as well, where the reference says that there is none.
    without = [p for p, output in zip(trained.left_out, outputs, strict=True) if output is None]
    assert np.mean([prediction.output is None for prediction in without]) >= 0.9


def test_a_number_that_is_none_makes_it_decline(senses: Senses) -> None:
    contract = FieldsContract((Field("amount", "number"),))
    texts = [f"it was {n} euros" for n in range(10, 90)]
    outputs: list[Output | None] = [{"amount": float(n)} for n in range(10, 90)]
    trained = train_fields(contract, inputs_of(texts), outputs, senses, RECIPE)
    assert trained.specialist.predict(Input("it was 42 euros")).output == {"amount": 42.0}
    assert trained.specialist.predict(Input("it was some euros")).output is None
    assert trained.specialist.predict(Input(f"it was {'9' * 400} euros")).output is None


def test_rows_that_break_the_contract_are_never_right(senses: Senses) -> None:
    outputs: list[Output | None] = DESK.outputs(HEADS)
    for i in range(0, 200, 2):
        outputs[i] = None
    trained = train_fields(HEADS, DESK.inputs, outputs, None, RECIPE)
    assert np.mean([p.signal for p in trained.left_out]) < 0.65


def test_rows_that_break_the_contract_are_no_missing_values() -> None:
    contract = FieldsContract((Field("department", "label", LABEL.labels, optional=True),))
    outputs: list[Output | None] = []
    for row in DESK.rows:
        known: dict[str, Output | None] = {
            "delivery": {"department": "delivery"},
            "returns": {"department": None},
            "payments": None,
        }
        outputs.append(known[str(row["department"])])
    trained = train_fields(contract, DESK.inputs, outputs, None, RECIPE)
    pairs = list(zip(trained.left_out, outputs, strict=True))
    missing = [p.signal for p, output in pairs if output == {"department": None}]
    broken = [p.signal for p, output in pairs if output is None]
    assert {str(p.output) for p, output in pairs if output} == {
        "{'department': 'delivery'}",
        "{'department': None}",
    }
    assert np.mean(broken) < np.mean(missing) - 0.5


@pytest.mark.parametrize("contract", [FIELDS, HEADS, SPANS])
def test_nothing_to_learn_is_a_clear_error(senses: Senses, contract: FieldsContract) -> None:
    for texts in ([], DESK.texts):
        with pytest.raises(LearningError, match="none of the reference answers keeps the contract"):
            train_fields(contract, inputs_of(texts), [None] * len(texts), senses, RECIPE)


def test_no_example_has_a_say_in_its_own_left_out_prediction(senses: Senses) -> None:
    desk = desk_messages(60, seed=2)
    before = train_fields(FIELDS, desk.inputs, desk.outputs(FIELDS), senses, RECIPE).left_out[7]
    other: dict[str, Scalar] = {
        "department": "returns",
        "urgent": False,
        "order": None,
        "amount": None,
    }
    assert desk.rows[7] != other
    desk.rows[7] = other
    after = train_fields(FIELDS, desk.inputs, desk.outputs(FIELDS), senses, RECIPE).left_out[7]
    assert after.output == before.output
    assert after.signal == pytest.approx(before.signal, abs=1e-3)
