"""Messages drawn from a known law, so that the true risk of an answer to each can be computed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LABELS = ("delivery", "payments", "returns")
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
_WORDS, _OWN = 3_000, 40
_TELLING = (0.2, 0.5, 0.8)


class Drawn(NamedTuple):
    """``texts`` (n), ``labels`` (n), and for each the probability of every label (n, 3)."""

    texts: list[str]
    labels: list[str]
    chances: NDArray[np.float64]


class MessageSource:
    """Words come one by one from a Zipf law that all classes share, or from the class's own words.

    How telling a message is is drawn for it, from hardly to very. A share ``noise`` of the labels
    is another class's. The shared law is heavy-tailed, so that most messages hold words and pairs
    of words that were never seen before, as real ones do.
    """

    def __init__(self, seed: int, noise: float = 0.02) -> None:
        rng = np.random.default_rng(seed)
        self.noise = noise
        self._words = np.array(
            ["".join(rng.choice(_SYLLABLES, rng.integers(1, 4))) for _ in range(_WORDS)]
        )
        shared = rng.permutation(_zipf(_WORDS))
        own = np.zeros((len(LABELS), _WORDS))
        for law in own:
            law[rng.choice(_WORDS, _OWN, replace=False)] = _zipf(_OWN)
        # (degrees, classes, words): the law of a word, given how telling the message is
        self._laws = np.stack([(1 - t) * shared + t * own for t in _TELLING])
        self._cumulated = self._laws.cumsum(axis=2)

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw ``n`` messages, independently."""
        drawn = Drawn([], [], np.empty((n, len(LABELS))))
        for i in range(n):
            degree, kind = rng.integers(len(_TELLING)), rng.integers(len(LABELS))
            at = self._cumulated[degree, kind].searchsorted(rng.random(rng.integers(3, 8)))
            words = np.minimum(at, _WORDS - 1)
            drawn.texts.append(" ".join(self._words[words]))
            drawn.labels.append(LABELS[self._noisy(int(kind), rng)])
            drawn.chances[i] = self._chances(words)
        return drawn

    def _noisy(self, kind: int, rng: np.random.Generator) -> int:
        if rng.random() >= self.noise:
            return kind
        return int((kind + rng.integers(1, len(LABELS))) % len(LABELS))

    def _chances(self, words: NDArray[np.intp]) -> NDArray[np.float64]:
        """P(label | words), by Bayes' rule over degree and class, then the noise."""
        likelihood = self._laws[:, :, words].prod(axis=2).sum(axis=0)  # (classes,)
        kinds = likelihood / likelihood.sum()
        return np.asarray((1 - self.noise) * kinds + self.noise * (1 - kinds) / (len(LABELS) - 1))


def _zipf(size: int) -> NDArray[np.float64]:
    law = 1 / np.arange(1, size + 1)
    return np.asarray(law / law.sum())
