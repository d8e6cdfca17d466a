"""Kind ``match``, recipe ``tuned``: a fine-tuned cross-encoder beside the trees of ``pairs``.

The cross-encoder reads both records as one text, "left [SEP] right", so every word of one meets
every word of the other; the trees read how they compare. What is said is a weighted sum of the
two's log-odds.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from shoal.errors import ArtifactError
from shoal.specialists.files import write_model
from shoal.specialists.match import MatchSpecialist, Scale, restore_match, within
from shoal.specialists.pairs import Pair, Record, find_pair
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason
from shoal.specialists.tuned_encoder import TUNED, tuned_encoder
from shoal.tasks.contract import Contract
from shoal.tasks.input import Input

_MOST_WORDS = 48  # of a record: of a longer one the other record would be crowded out
_LEAST = 1e-4  # a probability of 0 or 1 has no log-odds


class PairBlend(Struct, frozen=True):
    """log-odds = ``light`` * the trees' + ``cross`` * the cross-encoder's + ``constant``."""

    light: float
    cross: float
    constant: float

    def score(self, light: float, cross: float) -> float:
        """Log-odds of a match."""
        return self.light * light + self.cross * cross + self.constant


def joined(pair: Pair) -> str:
    """The text that the cross-encoder reads."""
    left, right = pair
    return f"{_words(left)} [SEP] {_words(right)}"


def light_log_odds(labels: tuple[str, str], said: Prediction) -> float:
    """Of a match, from what the trees' specialist says."""
    if said.output is None:
        return 0.0
    right = min(max(said.signal, _LEAST), 1 - _LEAST)
    odds = math.log(right / (1 - right))
    return odds if said.output == labels[1] else -odds


class TunedMatch:
    """``arrays`` hold the tuned encoder, ``direction`` (d,) and ``bias`` (1,)."""

    kind, recipe = "match", TUNED

    def __init__(
        self,
        light: MatchSpecialist,
        arrays: dict[str, Any],
        blend: PairBlend,
        scale: Scale,
        senses: Senses | None,
    ) -> None:
        self._light, self._arrays, self._blend, self._scale = light, arrays, blend, scale
        self._encoder = tuned_encoder(senses, arrays)
        self._direction = np.asarray(arrays["direction"], np.float32)
        self._bias = float(arrays["bias"][0])
        if self._direction.shape != (self._encoder.dim,):
            raise ArtifactError("the specialist's encoder and head differ: train it again")

    def predict(self, given: Input) -> Prediction:
        """Predict one of the two labels; declines where the trees' specialist does: the input holds
        no pair, or one of another catalogue, which the cross-encoder cannot tell."""
        pair = find_pair(given, self._light.way)
        if pair is None:
            return Prediction(None, 0.0)
        said = self._light.predict(given)
        if said.output is None:
            return said
        cross = float(self._encoder.encode([joined(pair)])[0] @ self._direction) + self._bias
        score = self._blend.score(light_log_odds(self._light.labels, said), cross)
        found = self._scale.prediction(self._light.labels, score)
        return within(found, self._light.judge(pair).inside)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """What the trees go by; the cross-encoder's share has no reasons."""
        return self._light.explain(given)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        light, arrays = self._light.parts()
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "light": light,
            "blend": [self._blend.light, self._blend.cross, self._blend.constant],
            "scale": self._scale.numbers(),
        }
        write_model(folder, model, arrays | self._arrays)


def restore_tuned_match(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> TunedMatch:
    """The specialist that ``save`` wrote."""
    own = {
        name: array
        for name, array in arrays.items()
        if name in ("direction", "bias") or name.startswith("encoder/")
    }
    rest = {name: array for name, array in arrays.items() if name not in own}
    light = restore_match(contract, model["light"], rest, None)
    blend, scale = PairBlend(*model["blend"]), Scale.restore(model["scale"])
    return TunedMatch(light, own, blend, scale, senses)


def _words(record: Record) -> str:
    words = " ".join(value for _, value in record.fields).split()
    return " ".join(words[:_MOST_WORDS])
