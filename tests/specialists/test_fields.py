import numpy as np
import pytest
from desk_messages import FIELDS, HEADS, LABEL, RECIPE, SPANS, Desk, desk_messages, inputs_of

from shoal.errors import LearningError
from shoal.specialists.fields import train_fields
from shoal.specialists.kind import Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Trained
from shoal.tasks import Field, FieldsContract, Input, parse, render
from shoal.tasks.contract import Output, Scalar, written_list

CRF = Recipe("fields", "crf+encoder", encoder=True, cost=1, share=1)
DESK = desk_messages(200)
NEW = desk_messages(60, seed=1)


@pytest.fixture(scope="module", params=[RECIPE, CRF], ids=["least squares", "chain"])
def trained(request: pytest.FixtureRequest, senses: Senses) -> Trained:
    return train_fields(FIELDS, DESK.inputs, DESK.outputs(FIELDS), senses, request.param)


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


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec")


def due_dates(n: int, day_first: bool) -> tuple[list[str], list[Output | None]]:
    """Messages with a date, written in one of three ways, and its normal form."""
    rng = np.random.default_rng(0)
    texts, outputs = [], list[Output | None]()
    for i in range(n):
        day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(2020, 2030)
        first, second = (day, month) if day_first else (month, day)
        written = f"{first:02}/{second:02}/{year}"
        if i % 3 == 0:
            written = f"{day} {MONTHS[month - 1]} {year}"
        texts.append(f"hello, invoice {rng.integers(100, 999)} is due on {written}, thanks")
        outputs.append({"due": f"{year}-{month:02}-{day:02}"})
    return texts, outputs


@pytest.mark.parametrize("recipe", [RECIPE, CRF], ids=["least squares", "chain"])
@pytest.mark.parametrize("day_first", [True, False])
def test_dates_are_read_in_the_order_that_the_examples_show(
    senses: Senses, recipe: Recipe, day_first: bool
) -> None:
    contract = FieldsContract((Field("due", "date"),))
    texts, outputs = due_dates(60, day_first)
    trained = train_fields(contract, inputs_of(texts), outputs, senses, recipe)
    agreed = [p.output == wanted for p, wanted in zip(trained.left_out, outputs, strict=True)]
    assert np.mean(agreed) >= 0.9
    asked = Input("hello, invoice 123 is due on 03/04/2026, thanks")
    expected = "2026-04-03" if day_first else "2026-03-04"
    assert trained.specialist.predict(asked).output == {"due": expected}
    plain = Input("hello, invoice 123 is due on 5 June 2026, thanks")
    assert trained.specialist.predict(plain).output == {"due": "2026-06-05"}
    unclear = Input("hello, invoice 123 is due on tomorrow, thanks")
    assert trained.specialist.predict(unclear).output is None


def test_the_order_of_a_left_out_date_is_that_of_the_others(senses: Senses) -> None:
    """One example alone shows the order: its own left-out prediction declines."""
    contract = FieldsContract((Field("due", "date"),))
    texts = [f"it is due on {day} May 2026, thanks" for day in range(1, 31)]
    outputs: list[Output | None] = [{"due": f"2026-05-{day:02}"} for day in range(1, 31)]
    texts.append("it is due on 03/04/2026, thanks")
    outputs.append({"due": "2026-04-03"})
    trained = train_fields(contract, inputs_of(texts), outputs, senses, RECIPE)
    assert trained.left_out[-1].output is None
    assert trained.specialist.predict(Input(texts[-1])).output == outputs[-1]


@pytest.mark.parametrize("recipe", [RECIPE, CRF], ids=["least squares", "chain"])
def test_lists_have_every_value_that_the_input_states(senses: Senses, recipe: Recipe) -> None:
    contract = FieldsContract((Field("goods", "spans"), Field("urgent", "boolean")))
    rng = np.random.default_rng(0)
    goods = ("apples", "pears", "plums", "red cherries", "nuts", "figs")
    texts, outputs = [], list[Output | None]()
    for _ in range(120):
        chosen = rng.choice(goods, rng.integers(0, 4), replace=False).tolist()
        urgent = bool(rng.random() < 0.5)
        texts.append(f"send us {' and '.join(chosen) or 'nothing'} {'now' if urgent else 'later'}")
        outputs.append({"goods": written_list(chosen), "urgent": urgent})
    trained = train_fields(contract, inputs_of(texts), outputs, senses, recipe)
    asked = Input("send us red cherries and figs and plums later")
    found = trained.specialist.predict(asked).output
    assert found == {"goods": '["red cherries", "figs", "plums"]', "urgent": False}
    assert (
        render(contract, found) == '{"goods": ["red cherries", "figs", "plums"], "urgent": false}'
    )
    none = trained.specialist.predict(Input("send us nothing now")).output
    assert none == {"goods": "[]", "urgent": True}
    agreed = [p.output == wanted for p, wanted in zip(trained.left_out, outputs, strict=True)]
    assert np.mean(agreed) >= 0.9


def test_reasons_are_the_words_of_the_values(trained: Trained) -> None:
    text = "hello, my parcel is late, my order is AB-77777, it was 45 euros"
    reasons = {reason.what: reason.weight for reason in trained.specialist.explain(Input(text))}
    for what in ("order: AB", "order: 77777", "amount: 45", "department: parcel"):
        assert reasons[what] > 0
    assert not any(what.startswith(("order: hello", "amount: my")) for what in reasons)
