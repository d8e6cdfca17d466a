"""A learner that is quick: one direction, pulled towards points, with dropout's randomness.

Run as a script, it trains in a folder and is killed in the middle of an epoch.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shoal.training.bert import Dropout
from shoal.training.loop import Learner, LoopOptions, fit

OPTIONS = LoopOptions(epochs=4, batch=8, patience=9, head_rate=0.05)


class Pulled(Learner):
    """``scores`` are given beforehand, one an epoch; at the step ``dies_at`` it is killed."""

    def __init__(self, scores: list[float] | None = None, dies_at: int = 0) -> None:
        super().__init__()
        random = np.random.default_rng(0)
        self.lengths = random.integers(1, 9, 40)
        self.points = torch.from_numpy(random.normal(1, 1, (40, 16)).astype(np.float32))
        self.direction = nn.Parameter(torch.zeros(16))
        self.dropout = Dropout(0.3)
        self.identity = "pulled"
        self.scores, self.dies_at, self.steps = scores, dies_at, 0

    def loss(self, rows: list[int]) -> Tensor:
        self.steps += 1
        if self.steps == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return ((self.direction - self.dropout(self.points[rows])) ** 2).sum(-1).mean()

    def score(self) -> float | None:
        if self.scores is not None:
            return self.scores.pop(0)
        return -float(((self.direction - self.points) ** 2).sum(-1).mean())


if __name__ == "__main__":
    fit(Pulled(dies_at=int(sys.argv[2])), OPTIONS, Path(sys.argv[1]))
