"""Replays: what recorded rungs would have answered, and all that was paid for it."""

import numpy as np

from shoal.evaluation.replay import RecordedRung, replay

INF = float("inf")


def rung(name: str, scores: list[float], right: list[int], cost: float) -> RecordedRung:
    n = len(scores)
    return RecordedRung(
        name, np.array(scores), np.array(right, bool), np.full(n, cost), np.full(n, cost / 10)
    )


FIRST = rung("first", [0.9, 0.6, 0.2, -INF], [1, 0, 1, 1], 1.0)
SECOND = rung("second", [0.1, 0.1, 0.8, 0.9], [0, 0, 0, 1], 2.0)
LAST = rung("last", [1.0] * 4, [1, 1, 1, 0], 10.0)


def test_every_rung_that_was_asked_is_paid() -> None:
    done = replay([FIRST, SECOND], LAST, [0.5, 0.85])
    assert done.shares == (0.5, 0.25, 0.25)
    assert done.kept == 0.75
    assert done.accuracy == 0.75  # the second is wrong; the third is the last rung's
    assert done.risk == 1 / 3
    assert done.cost == (1 + 1 + (1 + 2 + 10) + (1 + 2)) / 4
    assert done.seconds == done.cost / 10


def test_a_shut_rung_is_not_paid_and_the_last_alone_is_the_reference() -> None:
    assert replay([FIRST], LAST, [INF]).cost == 10.0
    alone = replay([], LAST, [])
    assert (alone.accuracy, alone.kept, alone.risk, alone.shares) == (0.75, 0.0, 0.0, (1.0,))
