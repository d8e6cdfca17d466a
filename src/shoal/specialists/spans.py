"""The span tagger: finds values that an input states verbatim, one per key.

A linear model over tokens: the encoder's state of each token and hashed features of its spelling
and neighbours, regularised least squares on begin/inside/outside tags, best path with the only
constraint that an inside follows its own begin. All of a message's tokens are left out together in
closed form, so spans calibrate on every example too (block leave-one-out of a linear smoother;
Cook & Weisberg 1982, section 2.2).

It does not know: values that are not in the input.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.specialists.chain import best_path, runs, tags_in
from shoal.specialists.senses import Senses, Tokens
from shoal.specialists.tagger import Evidence, Places, Run, Span, TaggerFit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

HASHED = 1024  # columns for spelling features
RIDGE = 3.0
_BATCH = 200  # messages whose features are held at once: a token's take 6 KB
_SHAPES = ((re.compile("[A-Z]"), "X"), (re.compile("[a-z]"), "x"), (re.compile("[0-9]"), "9"))
_CHUNK = re.compile(r"\S+")

_Bounds = tuple[int, int]  # first token, after the last


class _Example(NamedTuple):
    """A text, how often it occurs, and the sum of its tags (t, 1 + 2 keys) over the copies."""

    text: str
    tokens: Tokens
    tags: Floats
    copies: int


class SpanTagger:
    """``weights`` (HASHED + d + 1, 1 + 2 * len(keys)): tag 0 is outside, then begin and inside of
    each key. ``several``: the keys that may have several values; the others have the clearest."""

    def __init__(
        self, keys: Sequence[str], weights: Floats, several: frozenset[str] = frozenset()
    ) -> None:
        self.keys, self.weights, self._several = tuple(keys), weights, several

    @classmethod
    def train(
        cls,
        keys: Sequence[str],
        texts: Sequence[str],
        places: Sequence[Places],
        senses: Senses,
        several: frozenset[str] = frozenset(),
    ) -> TaggerFit:
        """Fit on texts and the places of their values.

        Equal texts are left out together, or each would be judged by a tagger that saw its twin.
        """
        examples = _distinct(keys, texts, places, senses)
        every = list(examples.values())
        batches = [every[at : at + _BATCH] for at in range(0, len(every), _BATCH)]
        width = HASHED + every[0].tokens[1].shape[1] + 1
        square, cross = np.eye(width) * RIDGE, np.zeros((width, 1 + 2 * len(keys)))
        for batch in batches:
            rows = _rows(batch)
            copies = np.concatenate([np.full(len(x.tags), x.copies) for x in batch])
            square += (rows * copies[:, None]).T @ rows
            cross += rows.T @ np.concatenate([x.tags for x in batch])
        inverse = np.linalg.inv(square).astype(np.float64, copy=False)
        weights: Doubles = inverse @ cross
        tagger = cls(keys, weights.astype(np.float32), several)
        spans = {
            text: found
            for batch in batches
            for text, found in tagger._left_out(batch, inverse, weights)
        }
        return TaggerFit(tagger, [spans[text] for text in texts])

    def _left_out(
        self, batch: Sequence["_Example"], inverse: Doubles, weights: Doubles
    ) -> Iterator[tuple[str, dict[str, Span]]]:
        """Each text and its spans by a tagger that was trained without it and its copies.

        With H = X P X' of the text's tokens, k copies and S the sum of their tags, the scores are
        (I - k H)^-1 (X w - H S): Woodbury's identity on the normal equations without the copies.
        With many copies I - k H is small, hence the double precision.
        """
        rows = _rows(batch)
        spread, scores = rows @ inverse, rows @ weights
        end = 0
        for x in batch:
            mine = slice(end, end + len(x.tags))
            end = mine.stop
            hat = spread[mine] @ rows[mine].T
            unseen = np.linalg.solve(np.eye(len(hat)) - x.copies * hat, scores[mine] - hat @ x.tags)
            yield x.text, self.spans(x.text, x.tokens[0], unseen.astype(np.float32))

    @classmethod
    def restore(cls, keys: Sequence[str], weights: Floats, several: frozenset[str]) -> "SpanTagger":
        """The tagger of these keys and weights. Raises ArtifactError if they do not fit."""
        if weights.shape[1:] != (1 + 2 * len(keys),):
            raise ArtifactError("the specialist's keys and weights differ: train it again")
        return cls(keys, weights, several)

    def arrays(self) -> dict[str, Floats]:
        """All numbers, by name, for a safetensors file."""
        return {"tags": self.weights}

    def find(self, text: str, tokens: Tokens) -> dict[str, Span]:
        """The span of each key in one text."""
        return self.spans(text, tokens[0], token_features(text, tokens) @ self.weights)

    def runs(self, text: str, tokens: Tokens) -> list[Run]:
        """All runs on the best path, in order."""
        offsets = tokens[0]
        if not len(offsets):
            return []
        path = best_path(token_features(text, tokens) @ self.weights)
        return [
            (self.keys[key], int(offsets[first, 0]), int(offsets[after - 1, 1]))
            for key, first, after in runs(path)
        ]

    def evidence(self, text: str, tokens: Tokens) -> list[Evidence]:
        """Each token of each run, in order."""
        offsets = tokens[0]
        if not len(offsets):
            return []
        scores = token_features(text, tokens) @ self.weights
        return [
            Evidence(
                self.keys[(tag - 1) // 2],
                text[offsets[row, 0] : offsets[row, 1]],
                float(scores[row, tag] - scores[row, 0]),
            )
            for row, tag in enumerate(best_path(scores))
            if tag
        ]

    def spans(self, text: str, offsets: NDArray[np.int32], scores: Floats) -> dict[str, Span]:
        """Spans from tag scores (t, 1 + 2 keys)."""
        if len(scores) == 0:
            return {key: Span((), 0.0) for key in self.keys}
        path = best_path(scores)
        found: list[list[_Bounds]] = [[] for _ in self.keys]
        for column, first, after in runs(path):
            found[column].append((first, after))
        return {
            key: self._span(text, offsets, scores, path, column, found[column])
            for column, key in enumerate(self.keys)
        }

    def _span(
        self,
        text: str,
        offsets: NDArray[np.int32],
        scores: Floats,
        path: NDArray[np.intp],
        column: int,
        found: list[_Bounds],
    ) -> Span:
        assigned = scores[np.arange(len(path)), path]
        if not found:
            return Span((), float((assigned - scores[:, 1 + 2 * column]).min()))
        chosen = found
        margins = []
        if len(found) > 1 and self.keys[column] not in self._several:
            # Another value for the same key: as unsure as they are close.
            means = {run: float(assigned[run[0] : run[1]].mean()) for run in found}
            chosen = [max(found, key=lambda run: means[run])]
            margins.append(means[chosen[0]] - max(means[run] for run in found if run != chosen[0]))
        margins += [_margin(scores, assigned, path, run) for run in chosen]
        values = tuple(text[offsets[a, 0] : offsets[b - 1, 1]] for a, b in chosen)
        return Span(values, min(margins))


def _margin(scores: Floats, assigned: Floats, path: NDArray[np.intp], run: _Bounds) -> float:
    """What else could a run be? Another tag inside it, or one token more or less."""
    around = slice(max(0, run[0] - 1), min(len(path), run[1] + 1))
    others = scores[around].copy()
    others[np.arange(len(others)), path[around]] = -np.inf
    return float((assigned[around] - others.max(axis=1)).min())


def tags_of(keys: Sequence[str], offsets: NDArray[np.int32], places: Places) -> Floats:
    """One-hot tags (t, 1 + 2 keys) of the tokens that lie in the places of the keys."""
    column = {key: i for i, key in enumerate(keys)}
    chosen = [(column[key], place) for key, found in places.items() for place in found]
    return np.eye(1 + 2 * len(keys), dtype=np.float32)[tags_in(offsets, chosen)]


def token_features(text: str, tokens: Tokens) -> Floats:
    """Features (t, HASHED + d + 1): hashed spelling, the token's state as a unit vector, a 1."""
    offsets, states = tokens
    hashed = np.zeros((len(offsets), HASHED), dtype=np.float32)
    for row, names in enumerate(_spellings(text, offsets)):
        for name in names:
            code = zlib.crc32(name.encode("utf-8", "surrogatepass"))
            hashed[row, code % HASHED] += 1.0 if code & 0x10000 else -1.0
    hashed *= np.float32(0.3)
    length = np.linalg.norm(states, axis=1, keepdims=True)
    unit = states / np.maximum(length, 1e-6)
    return np.hstack([hashed, unit * np.float32(3), np.ones((len(offsets), 1), np.float32)])


def _distinct(
    keys: Sequence[str],
    texts: Sequence[str],
    places: Sequence[Places],
    senses: Senses,
) -> dict[str, _Example]:
    """The examples by text; of equal texts one, with their number and the sum of their tags."""
    examples: dict[str, _Example] = {}
    every = list(dict.fromkeys(texts))
    tokens = dict(zip(every, senses.tokenise(every), strict=True))
    for text, place in zip(texts, places, strict=True):
        tags = tags_of(keys, tokens[text][0], place)
        known = examples.get(text)
        examples[text] = (
            _Example(text, tokens[text], known.tags + tags, known.copies + 1)
            if known
            else _Example(text, tokens[text], tags, 1)
        )
    return examples


def _rows(batch: Sequence[_Example]) -> Doubles:
    """Features of all tokens of a batch, one text after the other."""
    rows = np.concatenate([token_features(x.text, x.tokens) for x in batch])
    return rows.astype(np.float64)


def _spellings(text: str, offsets: NDArray[np.int32]) -> list[list[str]]:
    """Names of the spelling features of each token: itself, its word, shapes, neighbours."""
    end = int(offsets[-1, 1]) if len(offsets) else 0  # of a long text no more was tokenised
    chunks = [(m.start(), m.end(), m.group()) for m in _CHUNK.finditer(text, 0, end)]
    pieces = [text[start:end] for start, end in offsets]
    chunk_of = _chunk_of(chunks, offsets)
    names = []
    for i, piece in enumerate(pieces):
        word = chunks[chunk_of[i]][2] if chunks else ""
        before = pieces[i - 1] if i else "^"
        after = pieces[i + 1] if i + 1 < len(pieces) else "$"
        previous = chunks[chunk_of[i] - 1][2] if chunks and chunk_of[i] else "^"
        names.append(
            [
                f"is {piece.lower()}",
                f"shape {_shape(piece)}",
                f"word {word.lower()}",
                f"word shape {_shape(word)}",
                f"starts {word[:3].lower()}",
                f"ends {word[-3:].lower()}",
                f"before {before.lower()}",
                f"after {after.lower()}",
                f"before shape {_shape(before)}",
                f"after shape {_shape(after)}",
                f"previous {previous.lower()}",
                f"pair {before.lower()} {piece.lower()}",
            ]
        )
    return names


def _chunk_of(chunks: list[tuple[int, int, str]], offsets: NDArray[np.int32]) -> list[int]:
    """For each token the number of the whitespace-separated chunk it lies in."""
    if not chunks:
        return [0] * len(offsets)
    starts = np.array([start for start, _, _ in chunks])
    return [int(i) for i in np.searchsorted(starts, offsets[:, 0], side="right") - 1]


def _shape(text: str) -> str:
    shape = text[:12]
    for pattern, sign in _SHAPES:
        shape = pattern.sub(sign, shape)
    return re.sub(r"(.)\1+", r"\1+", shape)
