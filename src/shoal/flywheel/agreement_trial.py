"""A trial of cheaper models: from what they said to a proven signal and threshold, or refusals.

Two signals are tried, each at half of what the attempt may spend, so that the promise holds
whichever is kept (union bound): the share of the voices that agree, on every example, for there is
nothing to train; and ``Trust``, learned on one half of the inputs and proven on the other.
Nothing here touches the store.
"""

import hashlib
import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.flywheel.lessons import first_of
from shoal.flywheel.trial import WORTH_A_STEP, LadderStep
from shoal.guarantees import Refusal, Selection, select, select_level
from shoal.routing.agreement import Agreed, shares
from shoal.routing.filing import KIND
from shoal.routing.trust import Seen, Trust
from shoal.specialists.senses import Senses
from shoal.tasks import Contract, same

SHARE, LEARNED = "share of the voices that agree", "learned"
_LEAST = 100  # examples to learn a signal from
_PICKS = 20_261_130  # any number: the draw of who stands for a conversation looks at nothing else
_FAR = 1e6  # under any log-odds: where no voice counts


class Proven(Struct, frozen=True):
    """A signal with its threshold; ``trust`` None: it is the share of the voices that agree.

    ``tested`` (n,) are the calls that it was proven on, ``scores`` (m,) the signal of each of
    these.
    """

    signal: str
    selection: Selection
    trust: Trust | None
    cpu_seconds: float
    tested: NDArray[np.bool_]
    scores: NDArray[np.float64]


class Finding(Struct, frozen=True):
    """``proven`` None: nothing was, for the ``refusals``, one a signal."""

    proven: Proven | None
    refusals: tuple[tuple[str, Refusal], ...]
    ladder: tuple[LadderStep, ...]


def is_wrong(contract: Contract, agreed: Agreed, reference: Answer) -> bool:
    """Whether what would be served differs from the reference; so does nothing at all."""
    return agreed.chosen is None or not same(contract, agreed.chosen, reference)


def attempt_agreement(
    seen: Sequence[Seen],
    wrong: Sequence[bool],
    alpha: float,
    delta: float,
    senses: Senses | None,
    together: Sequence[str] | None = None,
) -> Finding:
    """Prove a signal on n calls and whether the answer of each would be wrong.

    ``delta`` is what this attempt may spend; without ``senses`` learning goes by words alone.
    ``together`` names the conversation of each where calls are steps of some: those of one go right
    or wrong together, so one of each is evidence, and all train or all calibrate.
    """
    outcomes = np.array(wrong, dtype=bool)
    tried = (
        _by_share(seen, outcomes, alpha, delta / 2, together),
        _by_learning(seen, outcomes, alpha, delta / 2, senses, together),
    )
    best: Proven | None = None
    refusals, ladder = [], []
    for name, found, cpu in (one for one in tried if one is not None):
        refused = found.reason if isinstance(found, Refusal) else ""
        coverage = 0.0 if isinstance(found, Refusal) else found.selection.coverage
        ladder.append(LadderStep(KIND, name, cpu, 0.0, coverage, refused))
        if isinstance(found, Refusal):
            refusals.append((name, found))
        elif best is None or coverage >= best.selection.coverage + WORTH_A_STEP:
            best = found
    return Finding(best, tuple(refusals), tuple(ladder))


_Tried = tuple[str, "Proven | Refusal", float]


def _by_share(
    seen: Sequence[Seen],
    wrong: NDArray[np.bool_],
    alpha: float,
    delta: float,
    together: Sequence[str] | None,
) -> _Tried:
    signals = np.array([each.share for each in seen])
    levels = shares(len(seen[0].support), any(_has_votes(each) for each in seen))
    first = _one_of_each(together) if together else first_of([each.text for each in seen])
    found = select_level(signals, wrong, levels, alpha, delta, first)
    if isinstance(found, Refusal):
        return SHARE, found, 0.0
    return SHARE, Proven(SHARE, found, None, 0.0, np.ones(len(seen), bool), signals), 0.0


def _has_votes(seen: Seen) -> bool:
    return any(one is not None for one in seen.sure)


def _by_learning(
    seen: Sequence[Seen],
    wrong: NDArray[np.bool_],
    alpha: float,
    delta: float,
    senses: Senses | None,
    together: Sequence[str] | None,
) -> _Tried | None:
    """None where there is nothing to learn from."""
    apart = np.array([_calibrates(name) for name in together or [each.text for each in seen]])
    trains = [each for each, out in zip(seen, apart, strict=True) if not out]
    calibrates = [each for each, out in zip(seen, apart, strict=True) if out]
    if len(trains) < _LEAST or not calibrates:
        return None
    began = time.process_time()
    try:
        trust = Trust.train(trains, [not bad for bad in wrong[~apart]], senses)
    except LearningError:  # all right, or all wrong: the share says as much
        return None
    scores = np.maximum(trust.scores(calibrates), -_FAR)
    first = first_of([each.text for each in calibrates])
    steps = [together[at] for at in np.flatnonzero(apart).tolist()] if together else None
    found = select(scores, wrong[apart], alpha, delta, first=first, together=steps)
    spent = time.process_time() - began
    if isinstance(found, Refusal):
        return LEARNED, found, spent
    return LEARNED, Proven(LEARNED, found, trust, spent, apart, scores), spent


def _one_of_each(names: Sequence[str]) -> list[bool]:
    """Of each call whether it is the one that stands for its conversation: one drawn at random, for
    how a conversation begins is no fair sample of its steps."""
    order = np.random.default_rng(_PICKS).permutation(len(names)).tolist()
    picked = {names[row]: row for row in order}
    return [picked[name] == row for row, name in enumerate(names)]


def _calibrates(text: str) -> bool:
    """Half of the inputs, drawn by the input alone: equal ones are on the same side, and on the
    same at every attempt."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[1] % 2 == 0
