from pathlib import Path

import numpy as np
import pytest
from desk_messages import DEPARTMENTS, LABEL, RECIPE, desk_messages

from shoal.errors import ArtifactError
from shoal.specialists.card import Card
from shoal.specialists.files import read_model, write_model
from shoal.specialists.label import train_label
from shoal.specialists.loading import load_specialist
from shoal.tasks import Input

CARD = Card(
    id="c1",
    task="t1",
    kind="label",
    recipe="terms",
    contract=LABEL,
    llm="llm",
    encoder="",
    artifact="",
    examples=1,
    agreement=1.0,
    data_digest="",
    trained_at=0.0,
    cpu_seconds=0.0,
)


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_model(tmp_path, {"labels": ["größe", None, True]}, {"a": whole, "columns": whole[:, ::2]})
    model, arrays = read_model(tmp_path)
    assert model["labels"] == ["größe", None, True]
    np.testing.assert_array_equal(arrays["a"], whole)
    np.testing.assert_array_equal(arrays["columns"], [[0, 2], [4, 6], [8, 10]])


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, {}, {})
    card = Card(**{name: getattr(CARD, name) for name in CARD.__struct_fields__} | {"kind": "poem"})
    with pytest.raises(ArtifactError, match="unknown kind 'poem'"):
        load_specialist(card, tmp_path, None)


def test_files_without_what_the_kind_needs_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, {"kind": "label"}, {})
    with pytest.raises(ArtifactError, match="do not fit: KeyError\\('labels'\\)"):
        load_specialist(CARD, tmp_path, None)


def test_nothing_in_the_files_is_code(tmp_path: Path) -> None:
    desk = desk_messages(40)
    train_label(LABEL, desk.inputs, desk.outputs(LABEL), None, RECIPE).specialist.save(tmp_path)
    assert (tmp_path / "model.json").read_text().startswith("{")
    assert (tmp_path / "model.safetensors").read_bytes()[8:9] == b"{"
    assert load_specialist(CARD, tmp_path, None).predict(Input(desk.texts[0])).output in DEPARTMENTS
