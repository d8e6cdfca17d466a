"""Which words decided: a score of the kernel machine, shared out among the words of a text.

The share of terms is exact: they are linear, and a term's contribution is its value times its
weight, given in equal parts to the words that make it up. What the embedding adds is not linear;
each word gets the change that leaving it out makes (occlusion: Zeiler & Fergus 2014; Li, Monroe &
Jurafsky 2016), by one batch of at most ``MOST_PARTS`` texts through the encoder.
"""

import re
from collections import defaultdict
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from shoal.specialists.kernel import Floats
from shoal.specialists.machine import KernelMachine
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Reason
from shoal.specialists.terms import Terms

MOST_PARTS = 48
"""Texts encoded for one explanation; of a longer text, words are left out several at a time."""

MOST_REASONS = 12

_TOKEN = re.compile(r"\w+(?:['’-]\w+)*")
_MOST_WORDS = 400


def reasons_for(
    machine: KernelMachine, text: str, direction: Floats, senses: Senses | None
) -> tuple[Reason, ...]:
    """The words that move ``scores @ direction`` most, either way, the weightiest first.

    ``direction`` (t,) is what was decided: 1 for the best target and -1 for the next, say. A word
    that occurs twice has one reason, the sum of both.
    """
    lowered = text.lower()
    if len(lowered) != len(text):  # as for "İ": offsets of terms are into lower case
        text = lowered
    places = [match.span() for match in islice(_TOKEN.finditer(text), _MOST_WORDS)]
    if not places:
        return ()
    weights = term_shares(machine, text, places, direction)
    if machine.embeddings is not None:
        weights += occlusion(machine, text, places, direction, senses)
    total: dict[str, float] = defaultdict(float)
    for (start, end), weight in zip(places, weights, strict=True):
        total[text[start:end].lower()] += float(weight)
    ordered = sorted(total.items(), key=lambda item: (-abs(item[1]), item[0]))
    return tuple(Reason(word, weight) for word, weight in ordered[:MOST_REASONS] if weight)


def term_shares(
    machine: KernelMachine, text: str, places: list[tuple[int, int]], direction: Floats
) -> NDArray[np.float64]:
    """What each word (w,) gives to ``scores @ direction`` by its terms. They add up to what the
    terms that touch a word give."""
    value_of = dict(zip(*_known(machine.terms.row(text)), strict=True))
    shares = np.zeros(len(places))
    for column, owners in _owners(machine.terms, text, places).items():
        if column not in value_of:
            continue
        effect = float(value_of[column] * (machine.weights[column] @ direction))
        for owner in owners:
            shares[owner] += effect / len(owners)
    return shares


def occlusion(
    machine: KernelMachine,
    text: str,
    places: list[tuple[int, int]],
    direction: Floats,
    senses: Senses | None,
) -> NDArray[np.float64]:
    """What the embedding's part of ``scores @ direction`` loses without each word (w,).

    Neighbouring words of a long text are left out together, and share what is lost."""
    parts = np.array_split(np.arange(len(places)), min(len(places), MOST_PARTS - 1))
    without = [text[: places[part[0]][0]] + text[places[part[-1]][1] :] for part in parts]
    told = machine.meaning([text, *without], senses) @ direction
    lost = np.zeros(len(places))
    for part, left in zip(parts, told[1:], strict=True):
        lost[part] = (told[0] - left) / len(part)
    return lost


def _known(row: tuple[NDArray[np.int64], Floats]) -> tuple[list[int], list[float]]:
    return row[0].tolist(), row[1].tolist()


def _owners(terms: Terms, text: str, places: list[tuple[int, int]]) -> dict[int, list[int]]:
    """For each known term of a text the words that hold it, once for each time that they do."""
    starts = [start for start, _ in places]
    owners: dict[int, list[int]] = defaultdict(list)
    for column, start, end in terms.places(text):
        first = int(np.searchsorted(starts, start, side="right")) - 1
        for word in range(max(first, 0), len(places)):
            if places[word][0] >= end:
                break
            if places[word][1] > start:
                owners[column].append(word)
    return owners
