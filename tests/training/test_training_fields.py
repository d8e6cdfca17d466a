"""Fine-tuning for fields."""

from pathlib import Path

import numpy as np
import pytest

from shoal.errors import LearningError
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_fields import TunedFields
from shoal.tasks import Field, FieldsContract, Input
from shoal.training import fields
from shoal.training.fields import targets_of, tune_fields
from shoal.training.loop import LoopOptions
from shoal.training.split import validation_rows
from shoal.training.texts import TokenisedTexts

FIELDS = FieldsContract(
    (
        Field("what", "label", ("order", "refund")),
        Field("code", "span", optional=True),
        Field("please", "boolean"),
    )
)
OPTIONS = LoopOptions(epochs=3, batch=16, rate=1e-3)


def desk(n: int, seed: int = 0) -> tuple[list[Input], list[dict[str, object]]]:
    """Messages with a code or without."""
    random = np.random.default_rng(seed)
    inputs, rows = [], []
    for _ in range(n):
        what, asks = str(random.choice(["order", "refund"])), bool(random.random() < 0.5)
        code = f"{random.choice(['x', 'y'])}{random.integers(10, 99)}"
        has = random.random() < 0.7
        text = f"{'please ' if asks else ''}{what} my parcel {code if has else ''}".strip()
        inputs.append(Input(text))
        rows.append({"what": what, "code": code if has else None, "please": asks})
    return inputs, rows


@pytest.fixture(scope="module")
def tuned(tuned_from: Senses) -> TunedFields:
    return tune_fields(FIELDS, *desk(120), tuned_from, OPTIONS)


def test_it_learns(tuned: TunedFields) -> None:
    inputs, rows = desk(60, seed=1)
    said = [tuned.predict(given).output for given in inputs]
    assert np.mean([a == b for a, b in zip(said, rows, strict=True)]) > 0.9


def test_it_comes_back_from_its_files(
    tuned: TunedFields, tuned_from: Senses, tmp_path: Path
) -> None:
    tuned.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.json", "model.safetensors"}
    digest = tuned_from.digest
    card = Card("c", "t", "fields", "tuned", FIELDS, "llm", digest, "", 9, 1.0, "", 0.0, 0.0)
    loaded = load_specialist(card, tmp_path, tuned_from)
    for given in [*desk(20, seed=2)[0], Input(""), Input("\ud83d?")]:
        found, expected = loaded.predict(given), tuned.predict(given)
        assert found.output == expected.output
        assert found.signal == pytest.approx(expected.signal, abs=1e-6)
    again = tmp_path / "again"
    again.mkdir()
    loaded.save(again)
    for name in ("model.json", "model.safetensors"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_token_is_tagged_where_its_value_is_stated(tuned_from: Senses) -> None:
    texts = ["order my parcel", "refund"]
    tokens = TokenisedTexts(tuned_from.encoder, texts)
    rows = [
        {"what": "order", "code": "my parcel", "please": False},
        {"what": "refund", "code": None, "please": True},
    ]
    found = targets_of(FIELDS.fields, texts, rows, tokens)
    assert [tags.tolist() for tags in found.tags] == [[0, 0, 1, 2, 0], [0, 0, 0]]
    assert found.values.tolist() == [[0, 0], [1, 1]]
    assert found.padded([1, 0]).tolist() == [[0, 0, 0, -100, -100], [0, 0, 1, 2, 0]]


def test_a_validation_part_is_scored(tuned_from: Senses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "validation_rows", lambda texts: validation_rows(texts, 4, 10))
    found = tune_fields(FIELDS, *desk(60), tuned_from, OPTIONS)
    assert found.predict(Input("please order my parcel x12")).output == {
        "what": "order",
        "code": "x12",
        "please": True,
    }


def test_without_a_reference_that_keeps_the_contract_nothing_is_learned(
    tuned_from: Senses,
) -> None:
    with pytest.raises(LearningError, match="nothing to learn"):
        tune_fields(FIELDS, [Input("a")], [None], tuned_from)
