"""How soon audits take back the stored plans of an agent that drifted: a simulation.

    python -m benchmarks.orchestrator_plan_audits

No model is asked: each audit is wrong with a fixed probability, independently of the others, and
moves the e-process of the certificate as in ``storage.audits``.
"""

import math
import sys

import numpy as np

from shoal.guarantees import log_e_path

ALPHA, DELTA, RATE = 0.02, 0.05, 0.05
SEEDS, AUDITS = 10_000, 2_000
RISKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def main() -> int:
    print(f"alpha {ALPHA:.0%}, confidence {1 - DELTA:.0%}, {SEEDS:,} seeds, {AUDITS:,} audits each")
    print("wrong   taken back   audits: median   nine in ten   runs (median, a twentieth audited)")
    for risk in RISKS:
        crossed = _crossed(risk)
        ever = crossed < AUDITS
        line = f"{risk:5.0%}   {ever.mean():9.2%}"
        if ever.mean() > 0.9:
            middle, most = np.median(crossed) + 1, np.quantile(crossed, 0.9) + 1
            line += f"   {middle:13.0f}   {most:11.0f}   {middle / RATE:8.0f}"
        print(line)
    return 0


def _crossed(risk: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Of each seed the audit, from 0, at which the promise is taken back; ``AUDITS`` for never."""
    found = []
    rng = np.random.default_rng(0)
    for _ in range(20):
        path = log_e_path(rng.random((SEEDS // 20, AUDITS)) < risk, ALPHA)
        crossed = path >= -math.log(DELTA)
        found.append(np.where(crossed.any(axis=1), crossed.argmax(axis=1), AUDITS))
    return np.concatenate(found)


if __name__ == "__main__":
    sys.exit(main())
