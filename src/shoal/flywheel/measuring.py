"""Specialists side by side: how right, how large, how quick, and what they draw."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shoal.encoder.conversion import converted, digest_of
from shoal.encoder.tuned import TunedWeights
from shoal.flywheel.trial import Prepared, judged_rightly
from shoal.guarantees import interval
from shoal.specialists.files import read_model
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_of
from shoal.training.lora.energy import Meter

CONFIDENCE = 0.95
_TIMED, _ROUNDS = 100, 3


class Figures(Struct, frozen=True):
    """One variant. ``right`` of ``n`` calibration examples were answered as the reference did,
    which is a share between ``low`` and ``high``. ``file_mb`` its files, ``served_mb`` its encoder
    as it is served. ``answer_ms`` CPU time an answer, between ``ms_low`` and ``ms_high``;
    ``joules`` an answer, of the whole machine, None where it does not tell. ``front``: no other is
    at least as good in quality, size and time, and better in one."""

    name: str
    right: int
    n: int
    low: float
    high: float
    file_mb: float
    served_mb: float
    answer_ms: float
    ms_low: float
    ms_high: float
    joules: float | None
    front: bool = False


def measured(name: str, ready: Prepared, folder: Path, senses: Senses) -> Figures:
    """Intervals are of 95 %: the share's by Clopper and Pearson, the time's by the normal
    distribution of a mean."""
    rightly = judged_rightly(ready)
    low, high = interval(sum(rightly), len(rightly), CONFIDENCE) if rightly else (0.0, 1.0)
    weights = TunedWeights(senses.encoder.weights.folder, encoder_of(read_model(folder)[1]))
    served = converted(weights, digest_of(weights), senses.encoder.cache)
    times, joules = _times(ready)
    mean = sum(times) / max(1, len(times))
    spread = math.sqrt(sum((each - mean) ** 2 for each in times)) / max(1, len(times) - 1)
    return Figures(
        name=name,
        right=sum(rightly),
        n=len(rightly),
        low=low,
        high=high,
        file_mb=sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
        served_mb=sum(map(len, served.values())) / 1e6,
        answer_ms=mean,
        ms_low=max(0.0, mean - 1.96 * spread),
        ms_high=mean + 1.96 * spread,
        joules=joules,
    )


def _times(ready: Prepared) -> tuple[list[float], float | None]:
    """CPU milliseconds of each answer, and joules an answer."""
    asked = [lesson.input for lesson, _ in ready.unseen[:_TIMED]]
    for given in asked[:10]:
        ready.specialist.predict(given)
    meter = Meter()
    before, times = meter.read(), list[float]()
    for given in asked * _ROUNDS:
        began = time.process_time()
        ready.specialist.predict(given)
        times.append((time.process_time() - began) * 1e3)
    after = meter.read()
    if before is None or after is None or not times:
        return times, None
    return times, (after - before) / len(times)


def front(rows: Sequence[Figures]) -> list[Figures]:
    """The rows, those on the Pareto front marked."""
    return [replace(row, front=not any(_beats(other, row) for other in rows)) for row in rows]


def _beats(one: Figures, other: Figures) -> bool:
    ours = one.right, -one.file_mb, -one.answer_ms
    theirs = other.right, -other.file_mb, -other.answer_ms
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))
