"""What an LLM tells of an example beyond its answer, and how that trains.

- *Soft labels*: how likely it found each label, where it gave log-probabilities (Hinton et al.
  2015).
- *Rationales*, "distilling step by step" (Hsieh et al. 2023): there, a generative model learns to
  write the rationale as a second task. An encoder writes nothing, so here, in the form that suits
  it, it learns to predict the rationale's vector (the frozen encoder's) from the input's.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from msgspec import Struct

from shoal.specialists.head import Floats, Head
from shoal.specialists.senses import Senses


class Hint(Struct, frozen=True):
    """``soft``: a probability a label, empty if unknown; ``rationale``: why, "" if not told.
    ``augmented``: the input was made up by an LLM, so the example trains and never judges."""

    soft: Mapping[str, float] = {}
    rationale: str = ""
    augmented: bool = False


def soft_labels(labels: Sequence[str], tokens: Mapping[str, float]) -> dict[str, float]:
    """A probability a label from the log-probabilities of an answer's possible first ``tokens``.

    A token counts for the one label that it begins; one that begins several, or none, says nothing.
    Empty if nothing was said: then the answer itself is the target.
    """
    found: dict[str, float] = {}
    for token, log_probability in tokens.items():
        start = token.strip().casefold()
        begun = [label for label in labels if start and label.casefold().startswith(start)]
        if len(begun) == 1:
            found[begun[0]] = found.get(begun[0], 0.0) + math.exp(log_probability)
    total = sum(found.values())
    return {label: value / total for label, value in found.items()} if total > 0 else {}


def soft_targets(head: Head, wanted: np.ndarray, hints: Sequence[Hint]) -> Floats:
    """Distributions (n, k): the hint's where there is one, else all on the wanted column (n,)."""
    targets = np.zeros((len(wanted), len(head.values)), np.float32)
    targets[np.arange(len(wanted)), wanted] = 1
    for row, hint in enumerate(hints):
        told = np.array([hint.soft.get(str(v), 0.0) for v in head.values], np.float32)
        if told.sum() > 0:
            targets[row] = told / told.sum()
    return targets


def rationale_vectors(
    hints: Sequence[Hint], rows: Sequence[int], senses: Senses
) -> torch.Tensor | None:
    """Unit vectors (rows, d) of the rationales, 0 where none was told; None if none was at all."""
    told = [hints[row].rationale for row in rows] if hints else []
    if not any(told):
        return None
    vectors = senses.embed(told)
    vectors[[not text for text in told]] = 0
    return torch.from_numpy(vectors)
