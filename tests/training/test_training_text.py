"""Training what writes: it learns, is served as it was trained, and without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_messages import SAID

from shoal.errors import LearningError
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.text import TextSpecialist
from shoal.specialists.writing.decoders import Decoders
from shoal.specialists.writing.pieces import Source
from shoal.specialists.writing.search import log_probability
from shoal.specialists.writing.vocabulary import Vocabulary
from shoal.tasks import Input, TextContract
from shoal.training import text
from shoal.training.loop import LoopOptions
from shoal.training.text import TextOptions, tune_text
from shoal.training.writing import Decoder, Example, WriterSizes, targets

TEXT = TextContract()
SIZES = WriterSizes(decoders=2, embedding=16, hidden=32, out=24)
LOOP = LoopOptions(rate=3e-3, head_rate=2e-2, average=0.9, patience=100, batch=16)
OPTIONS = TextOptions(loop=LOOP, epochs=70, sizes=SIZES, dropout=0.02, blank=0.0)
BRIEF = TextOptions(loop=LOOP, epochs=3, sizes=SIZES)
NAMES = ("anna", "ben", "cleo", "dora")


def asked() -> tuple[list[Input], list[str]]:
    """Requests of four people, and a reply to each: the name is copied, with a capital."""
    made = [(text, name) for said in SAID.values() for text in said for name in NAMES]
    inputs = [Input(f"{text} {name}") for text, name in made]
    return inputs, [f"Dear {name.capitalize()}, it is done." for _, name in made]


@pytest.fixture(scope="module")
def tuned(tuned_from: Senses) -> TextSpecialist:
    return tune_text(TEXT, *asked(), tuned_from, OPTIONS)


def test_it_learns_to_write_and_to_copy(tuned: TextSpecialist) -> None:
    inputs, outputs = asked()
    right = [tuned.predict(i).output == said for i, said in zip(inputs, outputs, strict=True)]
    assert np.mean(right) > 0.9
    new = tuned.predict(Input("please refund my parcel zoe"))
    assert new.output == "Dear Zoe, it is done."
    assert 0.5 < new.signal <= 1


def test_loaded_it_says_the_same(tuned: TextSpecialist, tuned_from: Senses, tmp_path: Path) -> None:
    tuned.save(tmp_path)
    digest = tuned_from.digest
    card = Card("c", "t", "text", "tuned", TEXT, "llm", digest, "", 9, 1.0, "", 0.0, 0.0)
    loaded = load_specialist(card, tmp_path, tuned_from)
    for given in asked()[0][::9]:
        assert loaded.predict(given) == tuned.predict(given)
    reasons = loaded.explain(Input("refund please anna"))
    assert {reason.what for reason in reasons} == {"refund", "please", "anna"}


def test_serving_it_needs_no_torch(
    tuned: TextSpecialist, tuned_from: Senses, tmp_path: Path
) -> None:
    tuned.save(tmp_path)
    code = f"""
import sys
sys.modules["torch"] = None  # as if it were not installed; CTranslate2 would load it if it were
from pathlib import Path
from shoal.encoder import Encoder
from shoal.specialists.files import read_model
from shoal.specialists.senses import Senses
from shoal.specialists.text import restore_text
from shoal.tasks import Input, TextContract
folder = Path({str(tmp_path)!r})
base = Encoder(Path({str(tuned_from.encoder.weights.folder)!r}), folder / "cache")
found = restore_text(TextContract(), *read_model(folder), Senses(base))
print(found.predict(Input("refund please anna")).output)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == tuned.predict(Input("refund please anna")).output


def test_a_training_that_was_broken_off_ends_as_one_that_was_not(
    tuned_from: Senses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal.training import loop

    whole = tune_text(TEXT, *asked(), tuned_from, BRIEF)
    keep = loop._Run.keep

    def ended_after_two(run: loop._Run, folder: Path) -> None:
        keep(run, folder)
        if run.epoch == 2:
            raise SystemExit

    monkeypatch.setattr(loop._Run, "keep", ended_after_two)
    with pytest.raises(SystemExit):
        tune_text(TEXT, *asked(), tuned_from, BRIEF, tmp_path)
    monkeypatch.setattr(loop._Run, "keep", keep)
    resumed = tune_text(TEXT, *asked(), tuned_from, BRIEF, tmp_path)
    given = asked()[0][::7]
    assert [*map(resumed.predict, given)] == [*map(whole.predict, given)]


def test_too_few_examples_are_refused(tuned_from: Senses, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, outputs = asked()
    with pytest.raises(LearningError, match="takes 30 at least"):
        tune_text(TEXT, inputs[:12], outputs[:12], tuned_from, OPTIONS)
    with pytest.raises(LearningError, match="0 answers"):
        tune_text(TEXT, inputs, [None] * len(inputs), tuned_from, OPTIONS)
    monkeypatch.setattr(text, "MOST_UNITS", 2)
    with pytest.raises(LearningError, match="none of more than 2 units"):
        tune_text(TEXT, inputs, outputs, tuned_from, OPTIONS)
    long = [Input("word " * 300)] * len(inputs)
    with pytest.raises(LearningError, match="fewer than 256 word pieces"):
        tune_text(TEXT, long, outputs, tuned_from, OPTIONS)


def test_the_served_decoders_give_the_trained_ones_probabilities() -> None:
    """One example, padded by a longer one: the same log-probability by torch and by numpy."""
    torch.manual_seed(0)
    pairs = [("go to Oslo now", "go: Oslo"), ("a b c d e f", "a; b; c; d; zz")]
    sources = [Source(text) for text, _ in pairs]
    vocabulary = Vocabulary.learn(sources, [said for _, said in pairs])
    examples = []
    for source, (_, said) in zip(sources, pairs, strict=True):
        units = vocabulary.encode(source, said)
        assert units is not None
        examples.append(Example(source, units))
    decoder = Decoder(len(vocabulary), 8, SIZES, 0.0).eval()
    states = torch.randn(2, 6, 8)
    mask = torch.tensor([[True] * len(source) + [False] * (6 - len(source)) for source in sources])
    given = targets(examples, 6)
    blank = torch.zeros_like(given.before, dtype=torch.bool)
    said = decoder(states, mask, given, blank)[0]
    served = Decoders({n: a[None] for n, a in decoder.arrays().items()}, vocabulary)
    for row, (source, units) in enumerate(examples):
        expected = float((said[row] * given.real[row]).sum().detach())
        found = log_probability(served, source, states[row, : len(source)].numpy(), units)
        assert found == pytest.approx(expected, abs=1e-3)
