"""Is an agent whose stored plans keep their promise left in peace, and one that drifted noticed?

Simulated: a model that plans writes for each goal the plan that the stored ones give, or, with some
risk, another one or another value. What an audit says of it is what ``PlanBook.agrees`` says, whose
runs are audited is what ``draw`` says, and the evidence is the e-process of the certificate.
"""

import math

import numpy as np
import uuid_utils

from planned_desk import PLANS, plan_for
from shoal.guarantees import draw, log_e_path
from shoal.planning.plan import Plan
from shoal.planning.plan_book import PlanBook
from shoal.planning.plan_text import plan_in

ALPHA, DELTA, SEEDS, AUDITS = 0.02, 0.05, 600, 1_500
BOOK = PlanBook(PLANS)
GOAL = "refund 137 now"
SAID = {"plan": "refund", "amount": 137.0, "thing": None}
LIMIT = -math.log(DELTA)


def wrote(goal: str) -> Plan:
    return plan_in(plan_for(goal))


def evidence(risk: float, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(seeds, audits) log evidence after each audit."""
    plans = wrote("refund 137"), wrote("refund 138"), wrote("where is box137")
    wrong = np.array([not BOOK.agrees(GOAL, SAID, plan) for plan in plans])
    assert wrong.tolist() == [False, True, True]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(3, (SEEDS, AUDITS), p=(1 - risk, risk / 2, risk / 2))
    return log_e_path(wrong[drawn], ALPHA)


def test_plans_that_keep_their_promise_are_seldom_taken_back() -> None:
    ever = (evidence(ALPHA, 1) >= LIMIT).any(axis=1).mean()
    assert ever <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / SEEDS)


def test_plans_of_which_a_fifth_is_wrong_are_taken_back_soon() -> None:
    crossed = evidence(0.2, 2) >= LIMIT
    assert crossed[:, :100].any(axis=1).all()
    assert np.median(crossed.argmax(axis=1) + 1) <= 20


def test_which_runs_are_audited_has_nothing_to_do_with_how_they_end() -> None:
    ids = [str(uuid_utils.uuid7()) for _ in range(20_000)]
    wrong = np.random.default_rng(3).random(len(ids)) < 0.2
    audited = np.array([draw(one, 0.05, b"s" * 32) for one in ids])
    error = math.sqrt(0.05 * 0.95 / len(ids))
    assert abs(audited.mean() - 0.05) < 4 * error
    assert abs(wrong[audited].mean() - wrong.mean()) < 4 * math.sqrt(0.16 / audited.sum())
