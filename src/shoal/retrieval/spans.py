"""The words of a passage that answer a question, without a language model.

Every span of up to twelve words is scored by small trees over what it looks like and where it
stands (``span_features``); no token states are needed, one vector a sentence is. The trees are
LightGBM's (LambdaRank), trained on half of XQuAD's articles, and lie in ``spans.json`` with a note
of that. How often the span is right: ``benchmarks/spans.py``.

What it does not know: that a question has no answer, sums, yes and no, and answers that are told in
several places. Three passages are answered no better than the best one. Show the
sentence with the span marked, not the span alone.
"""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.errors import ArtifactError
from shoal.retrieval.span_features import Array, features
from shoal.retrieval.span_words import Words

MODEL = "spans.json"


class Span(Struct, frozen=True, kw_only=True):
    """``text[start:end]`` of passage number ``passage`` (of those given, from 0); ``sentence`` is
    where the sentence around it stands. ``signal``, 0 to 1: how sure."""

    passage: int
    start: int
    end: int
    sentence: tuple[int, int]
    signal: float


class SentenceEncoder(Protocol):
    """What makes vectors: ``shoal.encoder.Encoder``."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (n, d)."""
        ...


class SpanModel:
    """The trees. ``stored`` is what ``spans.json`` holds: ``note``, ``features`` (names, in order),
    ``trees`` (LightGBM's text), ``passage`` (the weight of a passage's score) and ``signal``
    (intercept and slope). Raises ``ArtifactError`` if it is not that."""

    def __init__(self, stored: dict[str, Any]) -> None:
        import lightgbm

        try:
            self.names: list[str] = stored["features"]
            self.passage = float(stored["passage"])
            self.intercept, self.slope = map(float, stored["signal"])
            self._trees = lightgbm.Booster(model_str=stored["trees"])
        except (KeyError, TypeError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise ArtifactError(f"{MODEL}: no model of spans: {error!r}; install again") from error

    @classmethod
    def shipped(cls) -> "SpanModel":
        """The one in this package."""
        return cls(json.loads((files("shoal.retrieval") / MODEL).read_bytes()))

    def scores(self, found: dict[str, Array]) -> Array:
        """Scores (s,) of s candidates by their features."""
        rows = np.column_stack([found[name] for name in self.names])
        return np.asarray(self._trees.predict(rows, num_threads=1), np.float64)


def find_span(
    question: str,
    passages: Sequence[str],
    encoder: SentenceEncoder,
    model: SpanModel,
    scores: ArrayLike | None = None,
) -> Span | None:
    """The best span of the passages, or None if they hold no words.

    ``scores`` (p,) are what the search gave the passages (``fuse``); without them all count alike.
    """
    texts = [Words(passage) for passage in passages]
    given = np.zeros(len(texts)) if scores is None else np.asarray(scores, np.float64)
    if given.shape != (len(texts),):
        raise ValueError(f"scores: expected {len(texts)}, found shape {given.shape}")
    told = [words.text[a:b].strip() for words in texts for a, b in words.spans]
    vectors = encoder.encode([question, *told])
    cosines = vectors[1:] @ vectors[0]
    best: Span | None = None
    at, highest = 0, -np.inf
    for number, words in enumerate(texts):
        mine = cosines[at : at + len(words.spans)]
        at += len(words.spans)
        if not words.text.strip():
            continue
        values = model.scores(features(question, words, mine)) + model.passage * given[number]
        if values.max() > highest:
            highest = float(values.max())
            best = _span(number, words, int(values.argmax()), _signal(values, model))
    return best


def _signal(values: Array, model: SpanModel) -> float:
    """How likely the best is right, by how much of the weight of all lies on it."""
    share = 1 / np.exp(values - values.max()).sum()
    return float(1 / (1 + np.exp(-(model.intercept + model.slope * share))))


def _span(passage: int, words: Words, chosen: int, signal: float) -> Span:
    first, last = (int(each[chosen]) for each in words.candidates())
    return Span(
        passage=passage,
        start=words.places[first][0],
        end=words.places[last][1],
        sentence=words.spans[words.sentence[first]],
        signal=signal,
    )
