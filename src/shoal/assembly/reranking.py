"""A specialist of the kind ``match`` as a reranker: does this passage answer this question?

It learns from the same pairs as an adapter does: a question with its right passage, and with those
wrong ones that search ranks highest. What it does not know: whether it makes a search better; that
is tried and certified (``retrieval.gain``) before it is put to use.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.documents import Passage
from shoal.specialists.specialist import Prediction, Specialist
from shoal.tasks.contract import LabelContract
from shoal.tasks.input import Input

NO, YES = "no", "yes"
CONTRACT = LabelContract((NO, YES))
"""What is asked of a pair."""


class MatchReranker:
    """Asks a specialist whose contract is ``CONTRACT``, of pairs as ``pair_of`` makes them. One to
    three ms of CPU a passage."""

    def __init__(self, specialist: Specialist) -> None:
        self._specialist = specialist

    def scores(self, query: str, passages: Sequence[Passage]) -> NDArray[np.float64]:
        """How likely each of n passages answers the query (n,), 0 to 1."""
        said = [self._specialist.predict(pair_of(query, one.searched)) for one in passages]
        return np.array([chance_of(prediction) for prediction in said], np.float64)


def pair_of(question: str, passage: str) -> Input:
    """What the specialist reads."""
    slots = (("question", question), ("passage", passage))
    return Input("\n".join(f"{name}: {value}" for name, value in slots), slots)


def chance_of(prediction: Prediction) -> float:
    """That the passage answers the question; 0 where the specialist declines."""
    if prediction.output is None:
        return 0.0
    chance = prediction.signal if prediction.output == YES else 1 - prediction.signal
    return float(min(1.0, max(0.0, chance)))
