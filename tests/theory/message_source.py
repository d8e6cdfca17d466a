"""Messages drawn from a known law, so that the true risk of an answer to each can be computed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


class Drawn(NamedTuple):
    """``texts`` (n), ``labels`` (n,), and for each the probability of every label (n, classes)."""

    texts: list[str]
    labels: NDArray[np.intp]
    chances: NDArray[np.float64]


class MessageSource:
    """Words come one by one from a Zipf law that all classes share, or from the class's own.

    Each message is as telling as a number drawn for it says, from "all chatter" to "all about its
    class". A share ``noise`` of the labels is another class's. A word's law is heavy-tailed, so that
    most messages hold words and pairs of words that were never seen before, as real ones do.
    """

    def __init__(self, seed: int, classes: int = 3, words: int = 3_000, noise: float = 0.02) -> None:
        rng = np.random.default_rng(seed)
        self.classes, self.noise = classes, noise
        self._words = np.array(
            ["".join(rng.choice(_SYLLABLES, rng.integers(1, 5))) for _ in range(words)]
        )
        zipf = 1 / np.arange(1, words + 1)
        shared = zipf / zipf.sum()
        own = [rng.permutation(shared) for _ in range(classes)]
        self._telling = np.array([0.0, 0.3, 0.7])
        # (degrees, classes, words): the law of a word, given how telling the message is
        self._laws = np.stack(
            [[(1 - t) * shared + t * law for law in own] for t in self._telling]
        )

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw ``n`` messages, independently."""
        texts, chances = [], np.empty((n, self.classes))
        labels = np.empty(n, dtype=np.intp)
        for i in range(n):
            degree, kind = rng.integers(len(self._telling)), rng.integers(self.classes)
            words = rng.choice(len(self._words), rng.integers(4, 9), p=self._laws[degree, kind])
            texts.append(" ".join(self._words[words]))
            chances[i] = self._label_chances(words)
            labels[i] = self._label(kind, rng)
        return Drawn(texts, labels, chances)

    def _label(self, kind: int, rng: np.random.Generator) -> int:
        if rng.random() >= self.noise:
            return kind
        return int((kind + rng.integers(1, self.classes)) % self.classes)

    def _label_chances(self, words: NDArray[np.intp]) -> NDArray[np.float64]:
        """P(label | words), by Bayes' rule over degree and class, then the noise."""
        likelihood = self._laws[:, :, words].prod(axis=2).sum(axis=0)  # (classes,)
        kinds = likelihood / likelihood.sum()
        return (1 - self.noise) * kinds + self.noise * (1 - kinds) / (self.classes - 1)
