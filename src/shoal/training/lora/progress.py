"""What is told of a training while it goes on."""

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from transformers import TrainerCallback

from shoal.training.lora.energy import Meter


class Progress(Struct, frozen=True):
    """``loss`` is that of the last steps, ``held_out_loss`` the last judgement's (None before the
    first). ``tokens`` and ``tokens_per_second`` are of this run, ``seconds_left`` an estimate at
    its speed; ``joules`` what the machine has used, None where it does not tell."""

    step: int
    steps: int
    epoch: float
    loss: float | None = None
    held_out_loss: float | None = None
    tokens: int = 0
    tokens_per_second: float = 0.0
    seconds_left: float = 0.0
    joules: float | None = None


Watch = Callable[[Progress], None]


class Watcher(TrainerCallback):
    """Tells ``watch`` of each of the trainer's own reports, and keeps the losses."""

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch, self._meter = watch, Meter()
        self._began, self._first, self._cpu = time.perf_counter(), 0, time.process_time()
        self.last = Progress(0, 0, 0.0)
        self.held_out: list[float] = []

    @property
    def cpu_seconds(self) -> float:
        """Since the training began, or was taken up."""
        return time.process_time() - self._cpu

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first = time.perf_counter(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        logs, last = logs or {}, self.last
        if (judged := logs.get("eval_loss")) is not None:
            self.held_out.append(float(judged))
        passed = max(1e-9, time.perf_counter() - self._began)
        done = state.global_step - self._first
        tokens = int(logs.get("num_tokens", last.tokens))
        self.last = Progress(
            step=state.global_step,
            steps=state.max_steps,
            epoch=state.epoch or 0.0,
            loss=logs.get("loss", last.loss),
            held_out_loss=self.held_out[-1] if self.held_out else None,
            tokens=tokens,
            tokens_per_second=tokens / passed,
            seconds_left=passed / done * (state.max_steps - state.global_step) if done else 0.0,
            joules=self._meter.read(),
        )
        if self._watch is not None:
            self._watch(self.last)
