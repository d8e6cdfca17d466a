"""The report's charts, as SVG text: no script, no outside resource, colours by style class."""

from collections.abc import Sequence
from html import escape

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.guarantees import RiskCurve, interval, percent
from shoal.guarantees.bounds import upper_bound

_WIDTH, _HEIGHT = 640.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 24.0, 16.0, 44.0
_MOST_POINTS = 300
_BINS = 10


class Frame(Struct, frozen=True):
    """Plot coordinates: x from 0 to 1, y from 0 to ``top``, both shares."""

    top: float

    def x(self, share: float) -> float:
        """Pixels from the left."""
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        """Pixels from above."""
        return _HEIGHT - _BOTTOM - min(share / self.top, 1.0) * (_HEIGHT - _TOP - _BOTTOM)

    def path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """An SVG path through these points."""
        steps = [f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True)]
        return "M" + "L".join(steps)


def risk_coverage(
    signals: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    alpha: float,
    delta: float,
    point: tuple[float, float, float] | None,
) -> str:
    """The risk of what is accepted against the share accepted, for every threshold, with its exact
    upper bound taken alone at ``delta``. ``point`` is the certified coverage, risk and bound."""
    curve = RiskCurve.of(signals, wrong)
    if curve.total == 0:
        return "<p>There are no calibration points.</p>"
    at = np.unique(np.linspace(0, curve.accepted.size - 1, _MOST_POINTS).astype(int))
    accepted, errors = curve.accepted[at], curve.errors[at]
    coverage, risk = accepted / curve.total, errors / accepted
    bound = [upper_bound(int(k), int(n), delta) for k, n in zip(errors, accepted, strict=True)]
    frame = Frame(min(1.0, max(2 * alpha, 1.3 * float(risk[-1]))))
    parts = [
        f'<path class="bound" d="{frame.path(list(coverage), bound)}"/>',
        f'<path class="line" d="{frame.path(list(coverage), list(risk))}"/>',
        _level(frame, alpha, f"promised: {percent(alpha)}"),
    ]
    if point is not None:
        x, y, high = frame.x(point[0]), frame.y(point[1]), frame.y(point[2])
        parts += [
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{high:.1f}"/>',
            f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5"/>',
        ]
    return _chart(frame, "share of calls accepted", "share of these that differ", parts)


def reliability(signals: NDArray[np.float64], wrong: NDArray[np.bool_], threshold: float) -> str:
    """How often answers with such a signal were right, in ten parts of equal size, with exact
    95 % intervals; on the diagonal the signal is the probability of being right."""
    if signals.size == 0:
        return "<p>There are no calibration points.</p>"
    frame = Frame(1.0)
    parts = [f'<path class="bound" d="{frame.path([0.0, 1.0], [0.0, 1.0])}"/>']
    for inside in np.array_split(np.argsort(signals, kind="stable"), min(_BINS, signals.size)):
        right = int((~wrong[inside]).sum())
        low, high = interval(right, inside.size, 0.95)
        mean = float(np.clip(signals[inside].mean(), 0.0, 1.0))
        x = frame.x(mean)
        parts += [
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(low):.1f}"'
            f' y2="{frame.y(high):.1f}"/>',
            f'<circle class="point" cx="{x:.1f}" cy="{frame.y(right / inside.size):.1f}" r="4"/>',
        ]
    if 0.0 <= threshold <= 1.0:
        x = frame.x(threshold)
        parts.append(
            f'<line class="level" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        )
    return _chart(frame, "signal (dashed: the threshold)", "share right", parts)


def evidence(log_e: Sequence[float], delta: float) -> str:
    """The evidence against the promise after each audit, as a share of what would demote."""
    limit = -np.log(delta)
    if not log_e:
        return "<p>There are no audits yet.</p>"
    at = np.unique(np.linspace(0, len(log_e) - 1, _MOST_POINTS).astype(int))
    xs = [float(i + 1) / len(log_e) for i in at]
    ys = [max(0.0, float(log_e[i]) / limit) for i in at]
    frame = Frame(1.2)
    parts = [f'<path class="line" d="{frame.path(xs, ys)}"/>', _level(frame, 1.0, "demotes")]
    axis = f"audits, oldest first (of {len(log_e):,})"
    return _chart(frame, axis, "log evidence, of what demotes", parts)


def _level(frame: Frame, share: float, name: str) -> str:
    y = frame.y(share)
    return (
        f'<line class="level" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT + 6}" y="{y - 5:.1f}">{escape(name)}</text>'
    )


def _chart(frame: Frame, across: str, up: str, parts: Sequence[str]) -> str:
    base, middle = _HEIGHT - _BOTTOM, _TOP + (_HEIGHT - _TOP - _BOTTOM) / 2
    ticks = []
    for fifth in range(6):
        share = fifth / 5
        x, y, high = frame.x(share), frame.y(share * frame.top), share * frame.top
        ticks += [
            f'<text class="tick" x="{x:.1f}" y="{base + 16:.1f}" text-anchor="middle">'
            f"{100 * share:.0f} %</text>",
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{100 * high:.3g} %</text>",
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
        ]
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img"'
        f' aria-label="{escape(up)} against {escape(across)}">'
        f"{''.join(ticks)}{''.join(parts)}"
        f'<text x="{_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2:.1f}" y="{_HEIGHT - 8}"'
        f' text-anchor="middle">{escape(across)}</text>'
        f'<text transform="translate(12 {middle:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(up)}</text></svg>"
    )
