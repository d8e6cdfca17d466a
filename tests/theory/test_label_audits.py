"""Are specialists whose every label keeps alpha left in peace, and is one bad label noticed?

The audits of a promise for each label are many tests at once. Over 600 seeds, with every label's
risk at exactly alpha, the share that is demoted may be delta, plus three standard errors of so many
runs.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.guarantees import Watch, log_e_path

ALPHA, DELTA, SEEDS, AUDITS = 0.1, 0.1, 600, 1_500
SHARES = {
    "two": np.array([0.8, 0.2]),
    "twenty alike": np.full(20, 1 / 20),
    "a long tail": np.arange(30, 0, -1) / 465,
}
Bools = NDArray[np.bool_]


def allowed(delta: float, runs: int) -> float:
    return delta + 3.0 * math.sqrt(delta * (1.0 - delta) / runs)


def audits_at_alpha(shares: NDArray[np.float64], seed: int) -> tuple[NDArray[np.intp], Bools]:
    rng = np.random.default_rng((seed, shares.size))
    labels = np.asarray(rng.choice(shares.size, (SEEDS, AUDITS), p=shares), dtype=np.intp)
    return labels, rng.random((SEEDS, AUDITS)) < ALPHA


def peaks(labels: NDArray[np.intp], wrong: Bools, count: int) -> NDArray[np.float64]:
    """(seeds, 1 + count) the highest log evidence on the average, and on each label; 0 before the
    first audit."""
    found = np.zeros((wrong.shape[0], 1 + count))
    found[:, 0] = log_e_path(wrong, ALPHA).max(axis=1, initial=0.0)
    for label in range(count):
        inside = labels == label
        own = np.take_along_axis(wrong, np.argsort(~inside, axis=1, kind="stable"), axis=1)
        length = inside.sum(axis=1)
        path = log_e_path(own[:, : length.max()], ALPHA)
        before_end = np.arange(path.shape[1]) < length[:, None]
        found[:, 1 + label] = path.max(axis=1, initial=0.0, where=before_end)
    return found


def demoted(found: NDArray[np.float64], delta: float) -> float:
    """The share of seeds that ``Watch.broken`` ends."""
    count = found.shape[1] - 1
    whole, part = Watch.start(ALPHA, tuple(map(str, range(count)))).levels(delta)
    crossed = (found[:, 0] >= -math.log(whole)) | (found[:, 1:] >= -math.log(part)).any(axis=1)
    return float(crossed.mean())


@pytest.mark.parametrize("world", SHARES)
def test_a_promise_that_every_label_keeps_is_seldom_taken_back(world: str) -> None:
    shares = SHARES[world]
    assert demoted(peaks(*audits_at_alpha(shares, 1), shares.size), DELTA) <= allowed(DELTA, SEEDS)


def test_labels_tested_in_full_each_would_be_taken_back_too_often() -> None:
    """So that the simulation above is known to notice."""
    shares = SHARES["twenty alike"]
    found = peaks(*audits_at_alpha(shares, 2), shares.size)
    crossed = (found[:, 1:] >= -math.log(DELTA)).any(axis=1)
    assert crossed.mean() > 2 * allowed(DELTA, SEEDS)


def test_the_simulation_is_of_what_runs() -> None:
    shares = SHARES["two"]
    labels, wrong = audits_at_alpha(shares, 3)
    found = peaks(labels[:5], wrong[:5], shares.size)
    for seed in range(5):
        watch = Watch.start(ALPHA, ("0", "1"))
        for label, outcome in zip(labels[seed], wrong[seed], strict=True):
            watch = watch.update(bool(outcome), str(label))
        ran = [watch.average.log_peak, *(watch.labels[name].log_peak for name in ("0", "1"))]
        assert found[seed] == pytest.approx(ran)
        assert (watch.broken(DELTA) is not None) == (demoted(found[seed : seed + 1], DELTA) == 1)


def test_one_bad_label_among_good_ones_is_noticed() -> None:
    """A twentieth of the answers says the bad label, half of which is wrong; over all answers the
    risk is 3.5 %, well under alpha."""
    names, shares = tuple("abcdefghij"), [0.05] + [0.95 / 9] * 9
    named, delays = 0, []
    for seed in range(40):
        rng, watch = np.random.default_rng(seed), Watch.start(ALPHA, names)
        for audit in range(2_000):
            label = int(rng.choice(10, p=shares))
            watch = watch.update(bool(rng.random() < (0.5 if label == 0 else 0.01)), names[label])
            if (broken := watch.broken(DELTA)) is not None:
                named += broken.label == "a"
                delays.append(audit + 1)
                break
        assert not watch.average.crossed(DELTA)  # which the whole of delta would not have noticed
    assert named == 40
    assert np.median(delays) <= 400
