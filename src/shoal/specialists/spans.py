"""The span tagger: finds values that an input states verbatim, one per key.

A linear model over tokens: the encoder's state of each token and hashed features of its spelling
and neighbours, regularised least squares on begin/inside/outside tags, best path with the only
constraint that an inside follows its own begin. All of a message's tokens are left out together in
closed form, so spans calibrate on every example too (block leave-one-out of a linear smoother;
Cook & Weisberg 1982, section 2.2).

It does not know: values that are not in the input, or several values of one key.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.specialists.senses import Senses, Tokens

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

HASHED = 1024  # columns for spelling features
RIDGE = 3.0
_BATCH = 200  # messages whose features are held at once: a token's take 6 KB
_SHAPES = ((re.compile("[A-Z]"), "X"), (re.compile("[a-z]"), "x"), (re.compile("[0-9]"), "9"))
_CHUNK = re.compile(r"\S+")


class Span(Struct, frozen=True):
    """The value found for a key, None if there is none, and how clearly (score units)."""

    value: str | None
    margin: float


class _Example(NamedTuple):
    """A text, how often it occurs, and the sum of its tags (t, 1 + 2 keys) over the copies."""

    text: str
    tokens: Tokens
    tags: Floats
    copies: int


class TaggerFit(NamedTuple):
    """A tagger, and for each example its spans by a tagger that had not seen it."""

    tagger: "SpanTagger"
    left_out: list[dict[str, Span]]


class SpanTagger:
    """``weights`` (HASHED + d + 1, 1 + 2 * len(keys)): tag 0 is outside, then begin and inside of
    each key."""

    def __init__(self, keys: Sequence[str], weights: Floats) -> None:
        self.keys, self.weights = tuple(keys), weights

    @classmethod
    def train(
        cls,
        keys: Sequence[str],
        texts: Sequence[str],
        places: Sequence[dict[str, tuple[int, int]]],
        senses: Senses,
    ) -> TaggerFit:
        """Fit on texts and, for each, the (start, end) characters of the value of a key.

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
        tagger = cls(keys, weights.astype(np.float32))
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
    def restore(cls, keys: Sequence[str], weights: Floats) -> "SpanTagger":
        """The tagger of these keys and weights. Raises ArtifactError if they do not fit."""
        if weights.shape[1:] != (1 + 2 * len(keys),):
            raise ArtifactError("the specialist's keys and weights differ: train it again")
        return cls(keys, weights)

    def find(self, text: str, tokens: Tokens) -> dict[str, Span]:
        """The span of each key in one text."""
        return self.spans(text, tokens[0], token_features(text, tokens) @ self.weights)

    def spans(self, text: str, offsets: NDArray[np.int32], scores: Floats) -> dict[str, Span]:
        """Spans from tag scores (t, 1 + 2 keys)."""
        if len(scores) == 0:
            return {key: Span(None, 0.0) for key in self.keys}
        path = best_path(scores)
        return {
            key: self._span(text, offsets, scores, path, column)
            for column, key in enumerate(self.keys)
        }

    def _span(
        self,
        text: str,
        offsets: NDArray[np.int32],
        scores: Floats,
        path: NDArray[np.intp],
        column: int,
    ) -> Span:
        begin, inside = 1 + 2 * column, 2 + 2 * column
        assigned = scores[np.arange(len(path)), path]
        runs = _runs(path, begin, inside)
        if not runs:
            return Span(None, float((assigned - scores[:, begin]).min()))
        start, stop = max(runs, key=lambda run: float(assigned[run[0] : run[1]].mean()))
        # What else could the span be? Another tag inside it, or one token more or less.
        around = slice(max(0, start - 1), min(len(path), stop + 1))
        others = scores[around].copy()
        others[np.arange(len(others)), path[around]] = -np.inf
        margin = float((assigned[around] - others.max(axis=1)).min())
        rivals = [float(assigned[a:b].mean()) for a, b in runs if a != start]
        if rivals:  # a second value for the same key: as unsure as they are close
            margin = min(margin, float(assigned[start:stop].mean()) - max(rivals))
        return Span(text[offsets[start, 0] : offsets[stop - 1, 1]], margin)


def tags_of(
    keys: Sequence[str], offsets: NDArray[np.int32], place: dict[str, tuple[int, int]]
) -> Floats:
    """One-hot tags (t, 1 + 2 keys) of the tokens that lie in the places of the keys."""
    tag = np.zeros(len(offsets), dtype=np.intp)
    for column, key in enumerate(keys):
        if key not in place:
            continue
        start, end = place[key]
        covered = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
        tag[covered] = 2 + 2 * column
        tag[covered[:1]] = 1 + 2 * column
    return np.eye(1 + 2 * len(keys), dtype=np.float32)[tag]


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
    places: Sequence[dict[str, tuple[int, int]]],
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


def best_path(scores: Floats) -> NDArray[np.intp]:
    """Tags (t,) with the greatest sum, an inside only after its begin or inside (Viterbi 1967)."""
    count = scores.shape[1]
    allowed = np.zeros((count, count))  # from, to
    for inside in range(2, count, 2):
        allowed[:, inside] = -np.inf
        allowed[[inside - 1, inside], inside] = 0
    total = scores[0].astype(np.float64)
    total[2::2] = -np.inf
    came = np.zeros(scores.shape, dtype=np.intp)
    for row in range(1, len(scores)):
        through = total[:, None] + allowed
        came[row] = through.argmax(axis=0)
        total = through.max(axis=0) + scores[row]
    path = np.empty(len(scores), dtype=np.intp)
    path[-1] = total.argmax()
    for row in range(len(scores) - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path


def _runs(path: NDArray[np.intp], begin: int, inside: int) -> list[tuple[int, int]]:
    runs = []
    for start in np.flatnonzero(path == begin):
        stop = start + 1
        while stop < len(path) and path[stop] == inside:
            stop += 1
        runs.append((int(start), int(stop)))
    return runs


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
