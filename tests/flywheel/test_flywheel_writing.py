"""Answers that are written, through the ladder: learned from calls, certified, kept and loaded."""

import importlib.util
from pathlib import Path

import msgspec
import pytest
from parcel_office import (
    OPTIONS,
    PROMISE,
    SENDERS,
    add_calls,
    add_task,
    make_call,
    make_task,
    text_of,
)

from shoal.assembly.loader import Loader
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.errors import LearningError
from shoal.flywheel.certification import Examiner
from shoal.flywheel.ladder import recipes_for
from shoal.specialists.card import Card
from shoal.specialists.senses import Senses
from shoal.storage import Store
from shoal.tasks import Input, TextContract
from shoal.training import recipes
from tiny_checkpoint import tiny_checkpoint

NOTES = make_task(contract=TextContract())
TUNING = OPTIONS.model_copy(update={"fine_tune": True})
with_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="the extra `train` is not installed"
)


def note_of(number: int) -> str:
    return f"Parcel of {SENDERS[number % len(SENDERS)].upper()} noted."


def test_without_fine_tuning_it_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LearningError, match=r"free text: .*fine_tune = true under \[learn\]"):
        recipes_for(NOTES)
    monkeypatch.setattr(recipes, "missing", lambda: "needs the extra `train`")
    with pytest.raises(LearningError, match="free text: needs the extra `train`"):
        recipes_for(NOTES, fine_tune=True)
    monkeypatch.setattr(recipes, "missing", lambda: "")
    assert [(r.kind, r.name) for r in recipes_for(NOTES, fine_tune=True)] == [("text", "tuned")]


@pytest.mark.train
@with_torch
def test_it_is_learned_certified_and_loaded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal.training import text
    from shoal.training.loop import LoopOptions
    from shoal.training.writing import WriterSizes

    tiny = text.TextOptions(
        loop=LoopOptions(rate=3e-3, head_rate=2e-2, average=0.9, patience=100, batch=16),
        epochs=25,
        sizes=WriterSizes(decoders=2, embedding=16, hidden=32, out=24),
        dropout=0.02,
        blank=0.0,
    )
    monkeypatch.setattr(text, "TextOptions", lambda: tiny)
    senses = Senses(Encoder(tiny_checkpoint(tmp_path / "weights"), tmp_path / "cache"))
    add_task(store, NOTES)
    add_calls(store, (make_call(n, task=NOTES.id, answer=Answer(note_of(n))) for n in range(240)))
    examiner = Examiner(store, TUNING, lambda: senses)
    verdict = examiner.certify(examiner.lessons(NOTES), PROMISE)
    assert verdict.certificate is not None
    assert verdict.certificate.method == "held-out"
    card = msgspec.json.decode(store.cards.get(verdict.certificate.specialist).spec, type=Card)
    assert (card.kind, card.recipe, card.encoder) == ("text", "tuned", senses.digest)
    loaded = Loader(store, None)
    loaded._senses = senses
    said = loaded.load(card).predict(Input(text_of(1_000)))
    assert said.output == note_of(1_000)
    assert said.signal >= verdict.certificate.threshold
