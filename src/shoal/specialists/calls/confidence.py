"""From how clearly the parts of a call were chosen to the probability that all of it is right.

Logistic regression over a handful of numbers. It estimates; what is promised is for the
certificate to say.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.specialists.calls.arguments import Choice
from shoal.specialists.calls.situation import Situation
from shoal.specialists.calls.tools import Ranked

Floats = NDArray[np.float64]

CLEARNESS = 5
"""How many numbers say how clear a call is."""
_PULL = 1.0  # weight of the pull towards no influence, in standard units


class Confidence(Struct, frozen=True):
    """p(right | x) = 1 / (1 + exp(-(intercept + slopes · (x - means) / scales)))."""

    intercept: float
    slopes: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    def probability(self, rows: Floats) -> Floats:
        """Rows (n, d) -> probabilities (n,)."""
        standard = (rows - np.array(self.means)) / np.array(self.scales)
        return np.asarray(1 / (1 + np.exp(-(self.intercept + standard @ np.array(self.slopes)))))


def fit_confidence(rows: Floats, right: NDArray[np.bool_]) -> Confidence:
    """Ridge logistic regression of ``right`` (n,) on ``rows`` (n, d) by Newton's method."""
    means, scales = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
    design = np.hstack([np.ones((len(rows), 1)), (rows - means) / scales])
    pull = np.diag([1e-2, *[_PULL] * rows.shape[1]])
    beta = np.zeros(design.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (right - p) - pull @ beta
        curvature = (design * (p * (1 - p))[:, None]).T @ design + pull
        step = np.clip(np.linalg.solve(curvature, gradient), -3, 3)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return Confidence(
        float(beta[0]), *(tuple(map(float, part)) for part in (beta[1:], means, scales))
    )


def clearness(ranked: Ranked, choices: Sequence[Choice], situation: Situation) -> list[float]:
    """How clearly a call was chosen, (CLEARNESS,) numbers: the clearness of the tool, that of all
    arguments, and what the call leaves over. Few, since there may be few calls to learn from."""
    odds = np.clip([choice.log_odds for choice in choices] or [5.0], -10, 10)
    return [
        ranked.log_share,
        min(ranked.margin, 5.0),
        float(-np.logaddexp(0, -odds).sum()),
        *_left_over(choices, situation),
    ]


def _left_over(choices: Sequence[Choice], situation: Situation) -> list[float]:
    """log(1 + n) of the numbers, and of the names and quoted texts, in the user's last message that
    the call makes no use of: it takes another call, perhaps, or an argument that was left out."""
    used = [choice.candidate.key for choice in choices if choice.candidate is not None]
    taken = " ".join(used)
    numbers = names = 0
    for key, candidate in situation.stated.items():
        back, mention = candidate.places[-1]
        if back or mention.role != "user" or mention.opens or key in used:
            continue
        if candidate.type in ("integer", "number"):
            numbers += 1
        elif candidate.type == "string" and not str(candidate.value).islower():
            names += str(candidate.value) not in taken
    return [float(np.log1p(numbers)), float(np.log1p(names))]
