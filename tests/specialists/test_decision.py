import json

import numpy as np
import pytest
from loan_rows import RATE, VERDICT, loan_rows

from shoal.errors import LearningError
from shoal.specialists.decision import KIND, decision_kind
from shoal.specialists.specialist import Trained
from shoal.tasks import Contract, Input, LabelContract, NumberContract, same, written
from shoal.tasks.contract import Output

LOANS, NEW = loan_rows(300), loan_rows(100, seed=1)


def train(
    contract: Contract,
    outputs: list[Output | None],
    inputs: list[Input] | None = None,
    monotone: dict[str, str] | None = None,
) -> Trained:
    kind = decision_kind(monotone or {})
    return kind.train(contract, inputs or LOANS.inputs, outputs, None, kind.recipes[0])


@pytest.fixture(scope="module")
def verdicts() -> Trained:
    return train(VERDICT, LOANS.verdicts)


def test_it_learns_a_label(verdicts: Trained) -> None:
    found = [verdicts.specialist.predict(given).output for given in NEW.inputs]
    assert np.mean([a == b for a, b in zip(found, NEW.verdicts, strict=True)]) >= 0.93


def test_it_learns_a_number_in_its_decimals() -> None:
    trained = train(RATE, LOANS.rates)
    found = [trained.specialist.predict(given).output for given in NEW.inputs]
    assert all(isinstance(x, float) and round(x, 1) == x for x in found)
    gaps = np.array(found, dtype=float) - np.array(NEW.rates, dtype=float)
    assert np.sqrt(np.mean(gaps**2)) < 0.4


def test_a_numbers_signal_is_how_likely_it_is_within_tolerance() -> None:
    """Half of the rows are noise, and only these are unsure."""
    rng = np.random.default_rng(0)
    inputs, outputs = [], []
    for _ in range(600):
        noisy, x = bool(rng.random() < 0.5), float(rng.integers(0, 100))
        inputs.append(Input(json.dumps({"x": x, "noisy": noisy})))
        outputs.append(x + (float(rng.normal(0, 60)) if noisy else 0.0))
    contract = NumberContract(absolute=10)
    left_out = train(contract, list(outputs), inputs).left_out
    right = np.array(
        [
            p.output is not None
            and same(contract, written(contract, p.output), written(contract, y))
            for p, y in zip(left_out, outputs, strict=True)
        ]
    )
    signals = np.array([p.signal for p in left_out])
    calm = np.array(["false" in given.text for given in inputs])
    for part in (calm, ~calm):
        assert signals[part].mean() == pytest.approx(right[part].mean(), abs=0.1)
    assert signals[calm].mean() > signals[~calm].mean() + 0.4


def test_no_example_has_a_say_in_its_own_left_out_prediction() -> None:
    """Nor have its equals: a row that comes twice is left out twice."""
    inputs = [*LOANS.inputs[:80], *LOANS.inputs[:80]]
    for contract, outputs, other in (
        (VERDICT, LOANS.verdicts, "refuse"),
        (RATE, LOANS.rates, 90.0),
    ):
        wanted = [*outputs[:80], *outputs[:80]]
        at = next(i for i, output in enumerate(wanted) if output != other)
        before = train(contract, list(wanted), inputs).left_out
        changed = [other if i in (at, at + 80) else output for i, output in enumerate(wanted)]
        assert changed != wanted
        after = train(contract, changed, inputs).left_out
        assert before[at].output == pytest.approx(before[at + 80].output)
        if isinstance(contract, NumberContract):  # labels are dealt into folds by class
            assert after[at].output == pytest.approx(before[at].output, abs=3)


def test_rows_that_break_the_contract_are_never_right(verdicts: Trained) -> None:
    outputs = [None if i % 2 else output for i, output in enumerate(LOANS.verdicts)]
    signals = [p.signal for p in train(VERDICT, outputs).left_out]
    assert len(signals) == len(outputs)
    assert np.mean(signals) < np.mean([p.signal for p in verdicts.left_out]) - 0.2


def test_what_is_no_row_is_declined(verdicts: Trained) -> None:
    assert verdicts.specialist.predict(Input("hello")).output is None
    assert verdicts.specialist.explain(Input("hello")) == ()


def test_reasons_name_columns_with_their_values(verdicts: Trained) -> None:
    given = Input('{"applicant": {"income": "900 EUR"}, "amount": 80000, "purpose": "car"}')
    assert verdicts.specialist.predict(given).output == "refuse"
    reasons = verdicts.specialist.explain(given)
    assert {r.what for r in reasons} == {
        "applicant.income = 900 EUR",
        "amount = 80000",
        "purpose = car",
    }
    assert all(reason.weight > 0 for reason in reasons[:2])
    missing = verdicts.specialist.explain(Input('{"amount": 80000, "purpose": "car"}'))
    assert any(reason.what == "applicant.income = missing" for reason in missing)


@pytest.mark.parametrize("way", ["increasing", "decreasing"])
def test_numbers_keep_the_direction_that_people_give(way: str) -> None:
    """Against the data too, where it has to."""
    trained = train(RATE, LOANS.rates, monotone={"amount": way})
    row = {"applicant": {"income": "5,000 EUR"}, "purpose": "car"}
    found = [
        trained.specialist.predict(Input(json.dumps({**row, "amount": amount}))).output
        for amount in range(1_000, 90_000, 2_000)
    ]
    steps = np.diff(np.array(found, dtype=float)) * (1 if way == "increasing" else -1)
    assert (steps >= 0).all()
    assert (steps > 0).any() == (way == "increasing")


def test_labels_keep_the_direction_that_people_give() -> None:
    trained = train(VERDICT, LOANS.verdicts, monotone={"applicant.income": "grant"})
    for amount in (10_000, 50_000, 80_000):
        row = {"amount": amount, "purpose": "school"}
        found = [
            trained.specialist.predict(
                Input(json.dumps({**row, "applicant": {"income": f"{income} EUR"}}))
            ).output
            for income in range(800, 30_000, 700)
        ]
        assert found == sorted(found, key=str, reverse=True)  # refuse, refuse, …, grant


@pytest.mark.parametrize(
    ("monotone", "said"),
    [
        ({"age": "grant"}, r"monotone.age: no such column of numbers; there are: .*amount"),
        ({"purpose": "grant"}, r"monotone.purpose: no such column of numbers"),
        ({"amount": "up"}, r"monotone.amount: 'up' is none of refuse, grant"),
    ],
)
def test_a_direction_that_means_nothing_is_a_clear_error(
    monotone: dict[str, str], said: str
) -> None:
    with pytest.raises(LearningError, match=said):
        train(VERDICT, LOANS.verdicts, monotone=monotone)


def test_nothing_to_learn_is_a_clear_error() -> None:
    with pytest.raises(LearningError, match="none of the reference answers keeps the contract"):
        train(VERDICT, [None] * 300)
    with pytest.raises(LearningError, match="all reference answers are 'grant'"):
        train(VERDICT, ["grant"] * 300)
    with pytest.raises(LearningError, match="no column of numbers or categories that varies"):
        train(RATE, [1.0, 2.0], [Input('{"a": 1, "b": null}'), Input('{"a": 1, "b": null}')])


def test_three_labels() -> None:
    outputs: list[Output | None] = [
        "high" if x > 3.5 else "middle" if x > 2.5 else "low"
        for x in LOANS.rates
        if isinstance(x, float)
    ]
    trained = train(LabelContract(("low", "middle", "high")), outputs)
    right = [p.output == output for p, output in zip(trained.left_out, outputs, strict=True)]
    assert np.mean(right) > 0.85


def test_it_refuses_what_is_no_table() -> None:
    assert KIND.refusal(VERDICT, LOANS.inputs, KIND.recipes[0]) == ""
    assert KIND.refusal(VERDICT, [], KIND.recipes[0]).endswith("is not known")
    assert "no table" in KIND.refusal(VERDICT, [Input("hello")] * 9, KIND.recipes[0])
