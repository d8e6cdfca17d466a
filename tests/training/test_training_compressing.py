"""Students of every kind of tuned specialist: smaller, of the same kind, drawn to their teacher."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_training_fields as fields_test
import test_training_match as match_test
import test_training_text as text_test
import torch
from tiny_messages import LABEL

from shoal.encoder.tuned import TunedWeights
from shoal.errors import LearningError
from shoal.specialists.card import Card
from shoal.specialists.files import read_model
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_of
from shoal.tasks import Input
from shoal.training import compressing
from shoal.training.bert import Bert, load, pooled
from shoal.training.compressing import Teacher, shrink, soft_hints
from shoal.training.fields import tune_fields
from shoal.training.guide import Guide
from shoal.training.label import LabelOptions, tune_label
from shoal.training.loop import LoopOptions
from shoal.training.match import tune_match
from shoal.training.shapes import Shape
from shoal.training.text import tune_text

Messages = tuple[list[Input], list[str]]
OPTIONS = LabelOptions(LoopOptions(epochs=3, batch=16, rate=1e-3))
Tune = Callable[..., Any]
WAYS: dict[str, tuple[Any, Callable[[], Any], Tune, Any]] = {
    "fields": (fields_test.FIELDS, lambda: fields_test.desk(120), tune_fields, fields_test.OPTIONS),
    "match": (match_test.MATCH, lambda: match_test.pairs(360), tune_match, match_test.OPTIONS),
    "text": (text_test.TEXT, text_test.asked, tune_text, text_test.BRIEF),
}


@pytest.fixture(scope="module")
def teacher(
    tuned_from: Senses, messages: Messages, tmp_path_factory: pytest.TempPathFactory
) -> Teacher:
    home = tmp_path_factory.mktemp("teacher")
    tune_label(LABEL, *messages, tuned_from, OPTIONS).save(home)
    return Teacher(*read_model(home))


def test_a_student_of_labels(
    teacher: Teacher, tuned_from: Senses, messages: Messages, tmp_path: Path
) -> None:
    student = shrink(LABEL, *messages, teacher, Shape(1, 0.5), tuned_from)
    right = [student.predict(i).output == said for i, said in zip(*messages, strict=True)]
    assert np.mean(right) > 0.95
    student.save(tmp_path)
    digest = tuned_from.digest
    card = Card("c", "t", "label", "tuned/x", LABEL, "llm", digest, "", 9, 1.0, "", 0.0, 0.0)
    loaded = load_specialist(card, tmp_path, tuned_from)
    for given in messages[0]:
        assert loaded.predict(given).signal == pytest.approx(
            student.predict(given).signal, abs=1e-6
        )
    weights = TunedWeights(tuned_from.encoder.weights.folder, encoder_of(read_model(tmp_path)[1]))
    assert (weights.architecture().layers, weights.architecture().heads) == (1, 2)
    assert "embeddings" not in read_model(tmp_path)[1]  # of the light machine: words alone


@pytest.mark.parametrize("kind", WAYS)
def test_students_of_other_kinds(
    kind: str, tuned_from: Senses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, made, tune, options = WAYS[kind]
    inputs, outputs = made()
    tune(contract, inputs, outputs, tuned_from, options).save(tmp_path)

    def brief(*given: Any) -> Any:
        contract, inputs, outputs, senses, _, *rest = given
        return tune(contract, inputs, outputs, senses, options, *rest)

    monkeypatch.setattr(compressing, f"tune_{kind}", brief)
    teacher = Teacher(*read_model(tmp_path))
    student = shrink(contract, inputs, outputs, teacher, Shape(1), tuned_from)
    (tmp_path / "student").mkdir()
    student.save(tmp_path / "student")
    sizes = [(folder / "model.safetensors").stat().st_size
             for folder in (tmp_path / "student", tmp_path)]  # fmt: skip
    assert sizes[0] < sizes[1]
    digest = tuned_from.digest
    card = Card("c", "t", kind, "tuned/x", contract, "llm", digest, "", 9, 1.0, "", 0.0, 0.0)
    loaded = load_specialist(card, tmp_path / "student", tuned_from)
    for given in inputs[:5]:
        found, expected = loaded.predict(given), student.predict(given)
        assert found.output == expected.output
        assert found.signal == pytest.approx(expected.signal, abs=1e-6)


def test_half_of_a_target_is_the_teachers(
    teacher: Teacher, tuned_from: Senses, messages: Messages
) -> None:
    inputs, outputs = messages
    hints = soft_hints(teacher, tuned_from, inputs, [None, *outputs[1:]])
    assert hints[0].soft == {}
    for hint, label in zip(hints[1:], outputs[1:], strict=True):
        assert sum(hint.soft.values()) == pytest.approx(1, abs=0.01)
        assert hint.soft[label] >= 0.5


def test_what_cannot_be_cut_is_refused(
    teacher: Teacher, tuned_from: Senses, messages: Messages
) -> None:
    with pytest.raises(LearningError, match="9 layers: the encoder has 2"):
        shrink(LABEL, *messages, teacher, Shape(9), tuned_from)
    bare = Teacher(teacher.model, {"prototypes": teacher.arrays["prototypes"]})
    with pytest.raises(LearningError, match="nothing to make smaller"):
        shrink(LABEL, *messages, bare, Shape(1), tuned_from)


class Reader:
    """As much of a learner as a guide needs."""

    guide: Guide | None = None

    def __init__(self, encoder: Bert) -> None:
        self.encoder, self.identity = encoder, "reader"


def test_the_guide_measures_how_far_the_states_are(tuned_from: Senses) -> None:
    weights = tuned_from.encoder.weights
    size, tensors = weights.architecture(), weights.tensors()
    reader = Reader(load(size, tensors, 0.0))
    guide = Guide(load(size, tensors, 0.0))
    guide.attach(reader)
    assert reader.guide is guide
    assert reader.identity != "reader"
    ids, mask = batch([[2, 5, 6, 3], [2, 7, 3]])
    reader.encoder.train()
    reader.encoder(ids, mask)
    assert guide.loss().item() == pytest.approx(0, abs=1e-3)  # the teacher itself
    assert guide.loss().item() == 0  # told once
    with torch.no_grad():
        for parameter in reader.encoder.layers.parameters():
            parameter.normal_()
    states = reader.encoder(ids, mask)
    far = guide.loss()
    assert far > 0.1
    far.backward()  # states are known by now: the same from memory
    assert any(p.grad is not None for p in reader.encoder.layers.parameters())
    wanted = guide._teacher(ids, mask)
    near = torch.nn.functional.cosine_similarity(states, wanted, dim=-1)
    means = (pooled(states, mask) * pooled(wanted, mask)).sum(-1)
    expected = 2 * (((1 - near) * mask).sum() / mask.sum() + (1 - means).mean())
    assert far.item() == pytest.approx(expected.item(), abs=1e-2)
    reader.encoder.eval()
    reader.encoder(ids, mask)
    assert guide.loss().item() == 0  # what is only judged guides nothing


def batch(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    return ids, ids != 0
