"""Recipe ``tuned`` of kind match: what the trees decline it declines too. Without torch: the
encoder is a fake that knows no word."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from product_pairs import MATCH
from shop_catalogue import catalogue, offers

from shoal.specialists import tuned_match
from shoal.specialists.confidence import Curve
from shoal.specialists.files import read_model
from shoal.specialists.match import KIND, MatchSpecialist, Scale, train_match
from shoal.specialists.specialist import Prediction
from shoal.specialists.tuned_match import PairBlend, TunedMatch, restore_tuned_match
from shoal.tasks import Input

OURS, THEIRS = catalogue(1), catalogue(2)
SEEN = offers(OURS, 60)
ARRAYS = {
    "direction": np.array([1.0, 0.0], np.float32),
    "bias": np.array([0.0], np.float32),
}


class FakeEncoder:
    """Takes every pair for a match, and counts what it is asked."""

    dim = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.tile(np.array([3.0, 0.0], np.float32), (len(texts), 1))


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    fake = FakeEncoder()
    monkeypatch.setattr(tuned_match, "tuned_encoder", lambda senses, arrays: fake)
    return fake


@pytest.fixture(scope="module")
def light() -> MatchSpecialist:
    found = train_match(MATCH, SEEN.inputs, SEEN.outputs, None, KIND.recipes[0]).specialist
    assert isinstance(found, MatchSpecialist)
    return found


def tuned(light: MatchSpecialist, arrays: dict[str, Any] = ARRAYS) -> TunedMatch:
    scale = Scale(0.0, 1.0, (Curve(0.0, 1.0), Curve(0.0, 1.0)))
    return TunedMatch(light, arrays, PairBlend(0.0, 1.0, 0.0), scale, None)


def test_pairs_of_another_catalogue_are_declined_before_the_encoder_is_asked(
    light: MatchSpecialist, encoder: FakeEncoder
) -> None:
    specialist = tuned(light)
    for asked in (*offers(THEIRS, 5, seed=3).inputs, Input("no pair")):
        assert specialist.predict(asked) == Prediction(None, 0.0)
    assert encoder.asked == []


def test_in_scope_the_cross_encoder_speaks(light: MatchSpecialist, encoder: FakeEncoder) -> None:
    specialist = tuned(light)
    said = [specialist.predict(asked) for asked in SEEN.inputs[:8]]
    assert {p.output for p in said} == {"same"}
    assert len(encoder.asked) == 8
    assert all(" [SEP] " in text for text in encoder.asked)


def test_it_declines_after_loading_too(
    light: MatchSpecialist, encoder: FakeEncoder, tmp_path: Path
) -> None:
    tuned(light).save(tmp_path)
    model, arrays = read_model(tmp_path)
    back = restore_tuned_match(MATCH, model, arrays, None)
    for asked in (*offers(THEIRS, 2, seed=3).inputs, *SEEN.inputs[:4]):
        assert back.predict(asked) == tuned(light).predict(asked)
