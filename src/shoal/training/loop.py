"""The training loop: batches in, the weights that did best on the validation part out.

AdamW (Loshchilov & Hutter 2019) with lower rates for lower layers (Howard & Ruder 2018), a linear
warm-up, then a cosine; bfloat16 products over float32 weights. What is judged and kept is the
exponential moving average of the weights (Polyak & Juditsky 1992). Each epoch draws its order and
its dropout from a seed of its own, so training resumed after any epoch ends as if never stopped.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from msgspec import Struct
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn

from shoal.training.bert import Bert
from shoal.training.checkpoint import copies, prefixed, read, under, write
from shoal.training.texts import shuffled

if TYPE_CHECKING:
    from shoal.training.guide import Guide

log = logging.getLogger(__name__)


class LoopOptions(Struct, frozen=True):
    """How to train: ``rate`` is the highest rate of the topmost layer, each one below has
    ``layer_decay`` of it; ``patience`` epochs without a better score end it."""

    epochs: int = 6
    batch: int = 32
    rate: float = 2e-4
    layer_decay: float = 0.9
    head_rate: float = 1e-3
    warm_up: float = 0.1
    weight_decay: float = 0.01
    patience: int = 2
    average: float = 0.99
    seed: int = 0


class Learner(nn.Module):
    """What is trained. Subclasses have a loss, and a score if there is a validation part.

    ``lengths`` (n,) are the tokens of the n training texts; ``identity`` tells data and options
    apart from others, so that no checkpoint of another training is taken up. A ``guide`` adds to
    the loss how far the encoder is from a teacher's.
    """

    encoder: Bert
    lengths: np.ndarray
    identity: str
    guide: "Guide | None" = None

    def loss(self, rows: list[int]) -> Tensor:
        """The loss of these training examples."""
        raise NotImplementedError

    def score(self) -> float | None:
        """How well it does on the validation part, greater is better; None if there is none."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


class History(Struct):
    """``scores`` of the epochs run, the ``best`` epoch (from 1), and CPU seconds of them all."""

    scores: list[float]
    best: int = 0
    cpu_seconds: float = 0.0


def fit(
    learner: Learner, options: LoopOptions, folder: Path | None = None, show: bool = False
) -> History:
    """Train, and leave ``learner`` with its best weights, ready to serve.

    With ``folder`` the state is kept there after each epoch, where the system lets it, and taken up
    if there is one of the same identity. ``show`` draws a progress bar.
    """
    learner.to("cuda" if torch.cuda.is_available() else "cpu")
    run = _Run(learner, options)
    if folder is not None:
        run.resume(folder)
    with _bar(show) as progress:
        total = options.epochs * len(learner.lengths)
        task = progress.add_task("training", total=total, rate="", score="")
        progress.update(task, completed=run.epoch * len(learner.lengths))
        while not run.over:
            for count, rate in run.one_epoch():
                progress.update(task, advance=count, rate=f"{rate:.0f} texts/s")
            if folder is not None:
                try:
                    run.keep(folder)
                except OSError as error:  # a full disk, or another process that has tidied up
                    log.warning("%s: training could not be resumed: %s", folder, error.strerror)
            progress.update(task, score=f"validation {run.history.scores[-1]:.3f}")
    learner.load_state_dict(run.best, strict=False)
    learner.eval()
    return run.history


class _Run:
    """One training: the learner, its optimizer, and the averages so far."""

    def __init__(self, learner: Learner, options: LoopOptions) -> None:
        self.learner, self.options = learner, options
        self.named = {n: p for n, p in learner.named_parameters() if p.requires_grad}
        groups = [
            {
                "params": [p],
                "rate": _rate(learner, name, options),
                "weight_decay": _decay(p, options),
            }
            for name, p in self.named.items()
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=options.rate, fused=True)
        self.average, self.best = copies(self.named), copies(self.named)
        self.history = History([])
        self.epoch = self.step = 0
        per_epoch = math.ceil(len(learner.lengths) / options.batch)
        self.steps = max(1, options.epochs * per_epoch)

    @property
    def over(self) -> bool:
        stale = self.epoch - self.history.best > self.options.patience
        return self.epoch >= self.options.epochs or stale

    def one_epoch(self) -> Iterator[tuple[int, float]]:
        """Train on every example once; yields how many were in a batch, and texts per second."""
        began, wall, done = time.process_time(), time.perf_counter(), 0
        torch.manual_seed(self.options.seed * 1_000 + self.epoch)
        random = np.random.default_rng([self.options.seed, self.epoch])
        self.learner.train()
        for rows in shuffled(self.learner.lengths, self.options.batch, random):
            self._one_step(rows)
            done += len(rows)
            yield len(rows), done / max(1e-9, time.perf_counter() - wall)
        self.epoch += 1
        score = self._judge()
        if score is None or not self.history.scores or score > max(self.history.scores):
            self.history.best, self.best = self.epoch, copies(self.average)
        self.history.scores.append(math.nan if score is None else score)
        self.history.cpu_seconds += time.process_time() - began

    def _one_step(self, rows: list[int]) -> None:
        self.step += 1
        warm = max(1.0, self.options.warm_up * self.steps)
        left = (self.step - warm) / max(1.0, self.steps - warm)
        factor = self.step / warm if self.step < warm else 0.5 * (1 + math.cos(math.pi * left))
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        with torch.autocast(self.learner.device.type, torch.bfloat16):
            loss = self.learner.loss(rows)
            if self.learner.guide is not None:
                loss = loss + self.learner.guide.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        decay = min(self.options.average, self.step / (self.step + 10))
        with torch.no_grad():
            averages, now = [*self.average.values()], [*self.named.values()]
            torch._foreach_lerp_(averages, now, 1 - decay)

    def _judge(self) -> float | None:
        """The score of the averaged weights."""
        now = copies(self.named)
        self.learner.load_state_dict(self.average, strict=False)
        self.learner.eval()
        with torch.no_grad(), torch.autocast(self.learner.device.type, torch.bfloat16):
            score = self.learner.score()
        self.learner.load_state_dict(now, strict=False)
        return score

    def keep(self, folder: Path) -> None:
        state = self.optimizer.state
        tensors = prefixed("now", self.named)
        tensors |= prefixed("average", self.average) | prefixed("best", self.best)
        tensors |= prefixed("mean", {n: state[p]["exp_avg"] for n, p in self.named.items()})
        tensors |= prefixed("square", {n: state[p]["exp_avg_sq"] for n, p in self.named.items()})
        told = {
            "identity": self.learner.identity,
            "epoch": self.epoch,
            "step": self.step,
            "scores": [None if math.isnan(score) else score for score in self.history.scores],
            "best": self.history.best,
            "cpu_seconds": self.history.cpu_seconds,
        }
        write(folder, told, tensors)

    def resume(self, folder: Path) -> None:
        found = read(folder, self.learner.identity)
        if found is None:
            return
        told, tensors = found
        device = self.learner.device
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.learner.load_state_dict(under("now", tensors), strict=False)
        self.average, self.best = under("average", tensors), under("best", tensors)
        self.average = {name: self.average[name] for name in self.named}  # in the parameters' order
        means, squares = under("mean", tensors), under("square", tensors)
        for name, parameter in self.named.items():
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(told["step"]), device=device),
                "exp_avg": means[name],
                "exp_avg_sq": squares[name],
            }
        self.epoch, self.step = told["epoch"], told["step"]
        scores = [math.nan if score is None else score for score in told["scores"]]
        self.history = History(scores, told["best"], told["cpu_seconds"])


def _rate(learner: Learner, name: str, options: LoopOptions) -> float:
    if not name.startswith("encoder."):
        return options.head_rate
    return options.rate * options.layer_decay ** learner.encoder.depth(
        name.removeprefix("encoder.")
    )


def _decay(parameter: Tensor, options: LoopOptions) -> float:
    return options.weight_decay if parameter.ndim > 1 else 0.0


@contextmanager
def _bar(show: bool) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[score]}"),
    )
    with Progress(*columns, disable=not show) as progress:
        yield progress
