"""What a training leaves behind: its folder, whole, and a report that says what it is of."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from safetensors import SafetensorError

from shoal.errors import ArtifactError
from shoal.training.checkpoints import checkpoint_form
from shoal.training.lora.keeping import replace
from shoal.training.lora.options import Method
from shoal.training.lora.preparation import Dropped, Prepared
from shoal.training.lora.progress import Watcher

REPORT, CHECKPOINTS = "report.json", "checkpoints"


class Report(Struct, frozen=True):
    """What came of it. ``losses`` are of the held-out part, judgement by judgement; ``tokens``,
    ``cpu_seconds`` and ``joules`` are of the last run, if it was taken up. ``method`` is "full"
    where all weights were tuned."""

    identity: str
    method: Method
    rows: int
    held_out: int
    dropped: dict[str, int]
    steps: int
    best_step: int
    losses: list[float]
    tokens: int
    tokens_per_second: float
    cpu_seconds: float
    joules: float | None = None
    without: list[Dropped] = []


class Tuned(Struct, frozen=True):
    """The folder of what was tuned (an adapter as peft saves it, or a whole checkpoint), and the
    report."""

    adapter: Path
    report: Report


def identity_of(folders: Sequence[Path | None], *told: Any) -> str:
    """What tells a training from others: checkpoints it starts from, examples, options."""
    parts = [checkpoint_form(folder) for folder in folders if folder is not None]
    parts += [msgspec.json.encode(part).decode() for part in told]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def report_of(
    identity: str, method: Method, prepared: Prepared, trainer: Any, watcher: Watcher
) -> Report:
    """The report of a trainer that has trained."""
    state, last = trainer.state, watcher.last
    return Report(
        identity=identity,
        method=method,
        rows=len(prepared.rows),
        held_out=len(prepared.held_out),
        dropped=prepared.reasons,
        steps=state.global_step,
        best_step=state.best_global_step or state.global_step,
        losses=[line["eval_loss"] for line in state.log_history if "eval_loss" in line],
        tokens=last.tokens,
        tokens_per_second=last.tokens_per_second,
        cpu_seconds=watcher.cpu_seconds,
        joules=last.joules,
        without=prepared.dropped,
    )


def finished(folder: Path, name: str, save: Callable[[Path], None], report: Report) -> Tuned:
    """Put what was tuned in its place whole, then the report that says it is there; tidy up last.

    Raises:
        ArtifactError: the disk is full; the checkpoints are still there, so the same call goes on.
    """
    kept, fresh = folder / name, folder / f".{name}.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        save(fresh)
        shutil.rmtree(kept, ignore_errors=True)
        fresh.replace(kept)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(
            f"{kept}: cannot be written: {error}; what was learned is kept in "
            f"{folder / CHECKPOINTS}: make room and run the same again"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    replace(folder / REPORT, msgspec.json.encode(report).decode())
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Tuned(kept, report)


def done(folder: Path, name: str, identity: str) -> Tuned | None:
    """What an earlier call of the same training came to, if it did."""
    try:
        report = msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None
    is_there = any((folder / name).glob("*.safetensors"))
    return Tuned(folder / name, report) if report.identity == identity and is_there else None
