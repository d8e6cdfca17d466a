"""Fine-tuning for labels, from messages to a specialist that serves without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_messages import LABEL

from shoal.errors import ArtifactError, LearningError
from shoal.specialists.card import Card
from shoal.specialists.head import Head
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_label import Blend, TunedLabel
from shoal.tasks import Input
from shoal.training import label
from shoal.training.hints import Aids, Hint
from shoal.training.label import LabelOptions, blended, tune_label
from shoal.training.loop import LoopOptions
from shoal.training.split import validation_rows

Messages = tuple[list[Input], list[str]]
OPTIONS = LabelOptions(LoopOptions(epochs=3, batch=16, rate=1e-3), contrastive=0.5, r_drop=0.5)


@pytest.fixture(scope="module")
def tuned(tuned_from: Senses, messages: Messages) -> TunedLabel:
    return tune_label(LABEL, *messages, tuned_from, OPTIONS)


def card(senses: Senses) -> Card:
    return Card("c", "t", "label", "tuned", LABEL, "llm", senses.digest, "", 60, 1.0, "", 0.0, 0.0)


def said(specialist: object, inputs: list[Input]) -> list[object]:
    assert hasattr(specialist, "predict")
    return [specialist.predict(each) for each in inputs]


def test_it_learns(tuned: TunedLabel, messages: Messages) -> None:
    right = [tuned.predict(i).output == label for i, label in zip(*messages, strict=True)]
    assert np.mean(right) > 0.95
    assert tuned.predict(Input("refund the word")).output == "refund"


def test_signals_are_probabilities_and_any_text_is_answered(tuned: TunedLabel) -> None:
    for text in ("", "\ud83d?", "ü" * 3_000, "order " * 500):
        assert 0 <= tuned.predict(Input(text)).signal <= 1


def test_it_comes_back_from_its_files(
    tuned: TunedLabel, tuned_from: Senses, messages: Messages, tmp_path: Path
) -> None:
    tuned.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.json", "model.safetensors"}
    loaded = load_specialist(card(tuned_from), tmp_path, tuned_from)
    for message in messages[0]:
        found, expected = loaded.predict(message), tuned.predict(message)
        assert found.output == expected.output
        assert found.signal == pytest.approx(expected.signal, abs=1e-6)
    again = tmp_path / "again"
    again.mkdir()
    loaded.save(again)
    for name in ("model.json", "model.safetensors"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_serving_it_needs_no_torch(tuned: TunedLabel, tuned_from: Senses, tmp_path: Path) -> None:
    tuned.save(tmp_path)
    (tmp_path / "labels").write_text(json.dumps(LABEL.labels))
    code = f"""
import json, sys
sys.modules["torch"] = None  # as if it were not installed; CTranslate2 would load it if it were
from pathlib import Path
from shoal.encoder import Encoder
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract
folder = Path({str(tmp_path)!r})
base = Encoder(Path({str(tuned_from.encoder.weights.folder)!r}), folder / "cache")
contract = LabelContract(tuple(json.loads((folder / "labels").read_text())))
card = Card("c", "t", "label", "tuned", contract, "llm", base.digest, "", 60, 1.0, "", 0.0, 0.0)
found = load_specialist(card, folder, Senses(base)).predict(Input("refund it"))
print(found.output, found.signal)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = tuned.predict(Input("refund it"))
    output, signal = ran.stdout.split()
    assert output == expected.output
    assert float(signal) == pytest.approx(expected.signal, abs=1e-6)


def test_files_that_do_not_fit_are_refused(
    tuned: TunedLabel, tuned_from: Senses, tmp_path: Path
) -> None:
    tuned.save(tmp_path)
    model = tmp_path / "model.json"
    model.write_text(model.read_text().replace('"cancel"]', '"cancel", "more"]'))
    with pytest.raises(ArtifactError, match="train it again"):
        load_specialist(card(tuned_from), tmp_path, tuned_from)


def test_training_is_deterministic(
    tuned: TunedLabel, tuned_from: Senses, messages: Messages
) -> None:
    again = tune_label(LABEL, *messages, tuned_from, OPTIONS)
    assert said(again, messages[0]) == said(tuned, messages[0])


def test_what_breaks_the_contract_is_left_out(tuned_from: Senses, messages: Messages) -> None:
    inputs, outputs = messages
    with pytest.raises(LearningError, match="fewer than two labels"):
        tune_label(LABEL, inputs, [None if o != "order" else o for o in outputs], tuned_from)


def test_a_validation_part_stops_and_blends(
    tuned_from: Senses, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label, "validation_rows", lambda texts: validation_rows(texts, 3, 10))
    found = tune_label(LABEL, *messages, tuned_from, OPTIONS)
    right = [found.predict(i).output == want for i, want in zip(*messages, strict=True)]
    assert np.mean(right) > 0.9


def test_hints_train_and_what_was_made_up_never_validates(
    tuned_from: Senses, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, outputs = messages
    drawn = validation_rows([each.text for each in inputs], 3, 10)
    monkeypatch.setattr(label, "validation_rows", lambda texts: drawn)
    hints = [Hint({o: 0.8, "cancel": 0.2}, f"it says {o}", augmented=True) for o in outputs]
    with_hints = tune_label(LABEL, inputs, outputs, tuned_from, OPTIONS, Aids(tuple(hints)))
    assert with_hints.blend == Blend(OPTIONS.scale)  # nothing was left to fit it on
    assert with_hints.predict(Input("refund it")).output == "refund"


@given(st.integers(0, 2**32 - 1))
def test_the_blend_is_no_worse_than_either_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    head, wanted = Head("label", ("a", "b", "c")), random.integers(0, 3, 200)
    truth = np.eye(3)[wanted]
    cosines = (0.3 * truth + random.normal(0, 0.2, (200, 3))).astype(np.float32)
    light = (truth + random.normal(0, 0.7, (200, 3))).astype(np.float32)
    blend, _ = blended(head, cosines, light, wanted)

    def loss(found: Blend) -> float:
        logits = found.logits(cosines, light)
        logits = logits - logits.max(1, keepdims=True)
        chosen = logits[np.arange(200), wanted]
        return float((np.log(np.exp(logits).sum(1)) - chosen).mean())

    alone = min(loss(Blend(s, 1e-3)) for s in (2, 5, 10)), min(loss(Blend(1e-3, w)) for w in (1, 3))
    assert loss(blend) <= min(alone) + 1e-3
