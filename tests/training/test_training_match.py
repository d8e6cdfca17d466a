"""Fine-tuning for pairs of records."""

import json
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import LearningError
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.pairs import read_record
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_match import PairBlend, TunedMatch, joined
from shoal.tasks import Input, LabelContract
from shoal.training.loop import LoopOptions
from shoal.training.match import MatchOptions, average_precision, blended, tune_match

MATCH = LabelContract(("different", "same"))
OPTIONS = MatchOptions(LoopOptions(epochs=2, batch=32, rate=1e-3))


def pairs(n: int) -> tuple[list[Input], list[str]]:
    """Records of two words; the same if their codes are, whatever their spelling."""
    random = np.random.default_rng(0)
    inputs, outputs = [], []
    for _ in range(n):
        same, (code, other) = bool(random.random() < 0.4), random.integers(100, 999, 2)
        left = json.dumps({"name": f"parcel {random.choice(['order', 'refund'])} x{code}"})
        right = json.dumps({"name": f"the parcel X-{code if same else other}"})
        inputs.append(Input(f"left: {left}\nright: {right}", (("left", left), ("right", right))))
        outputs.append(MATCH.labels[same])
    return inputs, outputs


@pytest.fixture(scope="module")
def tuned(tuned_from: Senses) -> TunedMatch:
    return tune_match(MATCH, *pairs(360), tuned_from, OPTIONS)


def test_it_is_no_worse_than_the_trees_that_it_is_blended_with(tuned: TunedMatch) -> None:
    inputs, outputs = pairs(360)
    said = [tuned.predict(given).output for given in inputs]
    assert np.mean([a == b for a, b in zip(said, outputs, strict=True)]) > 0.95


def test_it_comes_back_from_its_files(
    tuned: TunedMatch, tuned_from: Senses, tmp_path: Path
) -> None:
    tuned.save(tmp_path)
    digest = tuned_from.digest
    card = Card("c", "t", "match", "tuned", MATCH, "llm", digest, "", 9, 1.0, "", 0.0, 0.0)
    loaded = load_specialist(card, tmp_path, tuned_from)
    for given in pairs(30)[0]:
        found, expected = loaded.predict(given), tuned.predict(given)
        assert found.output == expected.output
        assert found.signal == pytest.approx(expected.signal, abs=1e-6)
    again = tmp_path / "again"
    again.mkdir()
    loaded.save(again)
    for name in ("model.json", "model.safetensors"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_an_input_without_a_pair_is_declined(tuned: TunedMatch) -> None:
    assert tuned.predict(Input("no pair at all")).output is None


def test_too_few_pairs_are_refused(tuned_from: Senses) -> None:
    with pytest.raises(LearningError, match="40 pairs: too few to fine-tune"):
        tune_match(MATCH, *pairs(40), tuned_from, OPTIONS)


def test_of_a_long_record_the_other_is_not_crowded_out() -> None:
    text = joined((read_record("word " * 500), read_record("the parcel")))
    assert text.endswith("[SEP] the parcel")
    assert len(text.split()) < 60


def test_average_precision() -> None:
    wanted = np.array([1, 0, 1, 0])
    assert average_precision(np.array([4.0, 3, 2, 1]), wanted) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([4.0, 1, 3, 2]), wanted) == 1
    assert average_precision(np.array([1.0, 2]), np.array([0, 0])) == 0


def test_what_says_nothing_gets_no_weight() -> None:
    random = np.random.default_rng(0)
    wanted = random.integers(0, 2, 2_000)
    tells, noise = 2 * wanted - 1 + random.normal(0, 1, 2_000), random.normal(0, 1, 2_000)
    assert blended(tells, noise, wanted).cross < 0.15 < 1 < blended(tells, noise, wanted).light
    assert blended(tells, -tells, wanted).cross == 0
    assert PairBlend(1, 2, 3).score(10, 100) == 213
