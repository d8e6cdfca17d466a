"""The chain tagger: a conditional random field over words that finds values stated verbatim.

A key's margin is the log odds that its values are exactly these and no more, over all paths of the
other tags (constrained forward sums; Culotta & McCallum 2004), with all scores times SOFTNESS: a
field that fits its examples nearly by heart is too sure of its best path.

What it does not know: values that are not in the input, or that end within a word.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.specialists.chain import Floats, best_path, factors, log_sums, runs, tags_in
from shoal.specialists.crf import Crf, Tagged
from shoal.specialists.senses import Senses, Tokens
from shoal.specialists.tagger import Evidence, Places, Run, Span, TaggerFit
from shoal.specialists.words import Words, words_of

FOLDS, FEW_FOLDS = 5, 3
MANY = 5_000
"""Distinct texts from which on there are few folds: each trains nearly as well, and takes long."""
MOST_EXAMPLES = 20_000
"""Trained on at the most, the newest; the others only calibrate."""
SOFTNESS = np.float32(0.7)
_SUREST = 20.0  # a margin: beyond it float32 cannot tell


class ChainTagger:
    """``several``: the keys that may have several values; the others have the likeliest one."""

    def __init__(self, keys: Sequence[str], several: frozenset[str], crf: Crf) -> None:
        self.keys, self._several, self._crf = tuple(keys), several, crf
        self._factors = factors(crf.transitions * SOFTNESS)

    @classmethod
    def train(
        cls,
        keys: Sequence[str],
        texts: Sequence[str],
        places: Sequence[Places],
        senses: Senses,
        several: frozenset[str] = frozenset(),
    ) -> TaggerFit:
        """Fit on texts and the places of their values; cross-fitted in folds.

        Equal texts are in one fold, or each would be judged by a tagger that saw its twin.
        """
        distinct = list(dict.fromkeys(texts))
        tokens = zip(distinct, senses.tokenise(distinct), strict=True)
        words = {text: words_of(text, each) for text, each in tokens}
        folds = min(len(distinct), FOLDS if len(distinct) < MANY else FEW_FOLDS)
        fold = {text: number % folds for number, text in enumerate(distinct)}
        column = {key: i for i, key in enumerate(keys)}
        examples = [
            Tagged(words[text], _tags(words[text], place, column))
            for text, place in zip(texts, places, strict=True)
        ]

        def fitted(without: int | None) -> "ChainTagger":
            rows = [i for i, text in enumerate(texts) if fold[text] != without]
            chosen = [examples[i] for i in rows[-MOST_EXAMPLES:]]
            return cls(keys, several, Crf.train(chosen, 1 + 2 * len(keys)))

        spans = {}
        for number in range(folds):
            tagger = fitted(number)
            for text in (text for text in distinct if fold[text] == number):
                spans[text] = tagger._spans(text, words[text])
        return TaggerFit(fitted(None), [spans[text] for text in texts])

    @classmethod
    def restore(
        cls, keys: Sequence[str], several: frozenset[str], arrays: dict[str, NDArray[np.float32]]
    ) -> "ChainTagger":
        """Of these keys and ``arrays()``. Raises ArtifactError if they do not fit."""
        return cls(keys, several, Crf.restore(arrays, 1 + 2 * len(keys)))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All numbers, by name, for a safetensors file."""
        return self._crf.arrays()

    def find(self, text: str, tokens: Tokens) -> dict[str, Span]:
        """The span of each key in one text."""
        return self._spans(text, words_of(text, tokens))

    def runs(self, text: str, tokens: Tokens) -> list[Run]:
        """All runs on the best path, in order."""
        words = words_of(text, tokens)
        if not len(words.offsets):
            return []
        path = best_path(self._crf.scores(words), self._crf.transitions)
        return [
            (self.keys[key], int(words.offsets[first, 0]), int(words.offsets[after - 1, 1]))
            for key, first, after in runs(path)
        ]

    def evidence(self, text: str, tokens: Tokens) -> list[Evidence]:
        """Each word of each run, in order: its own scores and its neighbours', without the chain's
        transitions."""
        words = words_of(text, tokens)
        if not len(words.offsets):
            return []
        scores = self._crf.scores(words)
        path = best_path(scores, self._crf.transitions)
        return [
            Evidence(
                self.keys[(tag - 1) // 2],
                text[words.offsets[row, 0] : words.offsets[row, 1]],
                float(scores[row, tag] - scores[row, 0]),
            )
            for row, tag in enumerate(path)
            if tag
        ]

    def _spans(self, text: str, words: Words) -> dict[str, Span]:
        if not len(words.offsets):
            return {key: Span((), 0.0) for key in self.keys}
        scores = self._crf.scores(words)
        found: list[list[tuple[int, int]]] = [[] for _ in self.keys]
        for key, first, after in runs(best_path(scores, self._crf.transitions)):
            found[key].append((first, after))
        for key, rivals in enumerate(found):
            if len(rivals) > 1 and self.keys[key] not in self._several:
                found[key] = [self._likeliest(scores, key, rivals)]
        margins = _log_odds(self._log_shares(scores, list(enumerate(found))))
        return {
            key: Span(tuple(_text(text, words, run) for run in chosen), float(margin))
            for key, chosen, margin in zip(self.keys, found, margins, strict=True)
        }

    def _likeliest(
        self, scores: Floats, key: int, rivals: Sequence[tuple[int, int]]
    ) -> tuple[int, int]:
        shares = self._log_shares(scores, [(key, [run]) for run in rivals])
        return rivals[int(shares.argmax())]

    def _log_shares(
        self, scores: Floats, wanted: Sequence[tuple[int, list[tuple[int, int]]]]
    ) -> NDArray[np.float64]:
        """log probability, for each of k (key, its runs), that the key has just these runs; (k,)"""
        masks = np.ones((len(wanted) + 1, *scores.shape), np.bool_)
        for mask, (key, chosen) in zip(masks, wanted, strict=False):
            mask[:, 1 + 2 * key : 3 + 2 * key] = False
            for first, after in chosen:
                mask[first:after] = False
                mask[first, 1 + 2 * key] = True
                mask[first + 1 : after, 2 + 2 * key] = True
        sums = log_sums(scores * SOFTNESS, self._factors, masks)
        return np.asarray(sums[:-1] - sums[-1])


def _tags(words: Words, places: Places, column: dict[str, int]) -> NDArray[np.intp]:
    chosen = [(column[key], place) for key, found in places.items() for place in found]
    return tags_in(words.offsets, chosen)


def _log_odds(log_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        against = np.log(-np.expm1(np.minimum(log_shares, -1e-12)))
    return np.clip(log_shares - against, -_SUREST, _SUREST)


def _text(text: str, words: Words, run: tuple[int, int]) -> str:
    first, after = run
    return text[words.offsets[first, 0] : words.offsets[after - 1, 1]]
