"""Texts as the encoder reads them, and batches of texts of about one length."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from shoal.encoder import Encoder

_POOL = 32  # batches whose texts are sorted together: enough to pad little, random enough to learn


class TokenisedTexts:
    """``ids`` of n texts, each with [CLS] and [SEP]; no more than the first ``most`` tokens."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], most: int = 256) -> None:
        pieces = encoder.pieces(texts)
        # A longer text is cut as the tokenizer would: its end is still the sign of an end.
        self.ids = [i if len(i) <= most else [*i[: most - 1], i[-1]] for i, _ in pieces]
        self.offsets = [offsets for _, offsets in pieces]
        self.lengths = np.array([len(ids) for ids in self.ids])

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Ids (b, t) int64 and mask (b, t) bool of these texts; padding is id 0, masked."""
        longest = int(self.lengths[list(rows)].max())
        ids = np.zeros((len(rows), longest), np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(self.ids[row])] = self.ids[row]
        mask = np.arange(longest) < self.lengths[list(rows), None]
        return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def shuffled(
    lengths: Sequence[int] | np.ndarray, size: int, random: np.random.Generator
) -> list[list[int]]:
    """All row numbers once, in batches of ``size`` rows of about one length, in random order."""
    lengths = np.asarray(lengths)
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), size * _POOL):
        pool = order[start : start + size * _POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + size].tolist() for at in range(0, len(pool), size)]
    return [batches[at] for at in random.permutation(len(batches))]


def in_order(lengths: Sequence[int] | np.ndarray, size: int) -> Iterator[list[int]]:
    """All row numbers once, in batches of ``size``, the shortest texts first."""
    order = np.argsort(np.asarray(lengths), kind="stable").tolist()
    yield from (order[start : start + size] for start in range(0, len(order), size))
