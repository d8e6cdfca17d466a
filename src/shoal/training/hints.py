"""What an LLM tells of an example beyond its answer, and how that trains.

- *Soft labels*: how likely it found each label, where it gave log-probabilities (Hinton et al.
  2015).
- *Rationales*, "distilling step by step" (Hsieh et al. 2023): there, a generative model learns to
  write the rationale as a second task. An encoder writes nothing, so here, in the form that suits
  it, it learns to predict the rationale's vector (the frozen encoder's) from the input's.

Nothing here needs torch.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from shoal.chat import Alternatives, Answer
from shoal.specialists.head import Floats, Head
from shoal.specialists.senses import Senses
from shoal.tasks import Contract, LabelContract, Output
from shoal.tasks.contract import read
from shoal.tasks.label_place import place_of_label, rationale


class Hint(Struct, frozen=True):
    """``soft``: a probability a label, empty if unknown; ``rationale``: why, "" if not told.
    ``augmented``: the input was made up by an LLM, so the example trains and never judges."""

    soft: Mapping[str, float] = {}
    rationale: str = ""
    augmented: bool = False


class Aids(Struct, frozen=True):
    """What helps training besides examples: ``hints`` (n,), empty if there are none, and a
    ``folder`` in which it keeps how far it came, so that it can be resumed."""

    hints: tuple[Hint, ...] = ()
    folder: Path | None = None


def hint_of(contract: Contract, output: Output | None, answer: Answer | None) -> Hint:
    """What the LLM's ``answer`` tells of an example beyond its ``output``. Nothing where a person
    said that something else is right: then the LLM explained an error."""
    if not isinstance(contract, LabelContract) or not isinstance(output, str) or answer is None:
        return Hint()
    if read(contract, answer) != output:
        return Hint()
    at, soft = place_of_label(contract, answer.text, output), dict[str, float]()
    if at is not None:
        fit = [one for one in answer.alternatives if answer.text.startswith(one.token, one.at)]
        soft = soft_labels(contract.labels, output, at, fit)
    return Hint(soft, rationale(contract, answer.text))


def soft_labels(
    labels: Sequence[str], said: str, at: int, alternatives: Sequence[Alternatives]
) -> dict[str, float]:
    """A probability a label, of an answer in which the label ``said`` stands at character ``at``.

    At each place of that label another token has the probability that the model came so far, times
    its own, and counts for the one label that it goes on to; one that begins several labels, or
    none, says nothing. Empty if nothing was said: then the answer itself is the target.
    """
    found: dict[str, float] = {}
    reached = 1.0  # the probability of what was said so far
    for place in alternatives:
        if place.at + len(place.token) <= at or place.at >= at + len(said):
            continue
        before, own = said[: max(0, place.at - at)], 0.0
        for token, log_probability in place.tokens:
            if token == place.token:
                own = log_probability
                continue
            piece = token if before else token.lstrip()
            start = (before + piece).casefold()
            begun = [label for label in labels if piece and label.casefold().startswith(start)]
            if len(begun) == 1:
                share = reached * math.exp(log_probability)
                found[begun[0]] = found.get(begun[0], 0.0) + share
        reached *= math.exp(own)
    if not found:
        return {}
    found[said] = found.get(said, 0.0) + reached
    total = sum(found.values())
    return {label: share / total for label, share in found.items()}


def soft_targets(head: Head, wanted: np.ndarray, hints: Sequence[Hint]) -> Floats:
    """Distributions (n, k): the hint's where there is one, else all on the wanted column (n,)."""
    targets = np.zeros((len(wanted), len(head.values)), np.float32)
    targets[np.arange(len(wanted)), wanted] = 1
    for row, hint in enumerate(hints):
        told = np.array([hint.soft.get(str(v), 0.0) for v in head.values], np.float32)
        if told.sum() > 0:
            targets[row] = told / told.sum()
    return targets


def rationale_vectors(hints: Sequence[Hint], rows: Sequence[int], senses: Senses) -> Floats | None:
    """Unit vectors (rows, d) of the rationales, 0 where none was told; None if none was at all."""
    told = [hints[row].rationale for row in rows] if hints else []
    if not any(told):
        return None
    vectors = senses.embed(told)
    vectors[[not text for text in told]] = 0
    return vectors
