"""Lessons in, an adapter out, with trl's trainer and peft's layers.

A folder holds one training: ``checkpoints/`` while it goes on, ``adapter/`` and ``report.json``
when it is done. Run again after a kill at whatever moment, it goes on from the last whole
checkpoint; run again when done, it hands back what there is; with other lessons, options or base it
begins anew.
"""

import hashlib
import logging
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import peft
import transformers
from datasets import Dataset
from msgspec import Struct
from trl import SFTConfig, SFTTrainer

from shoal.training.lora.hardware import Hardware, choose
from shoal.training.lora.keeping import Keeping, last_whole, replace
from shoal.training.lora.lessons import Lesson, digest
from shoal.training.lora.loading import model_of, model_type, tokenizer_of, weights_in
from shoal.training.lora.options import Method, TuningOptions
from shoal.training.lora.preparation import Dropped, Prepared, Row, prepare
from shoal.training.lora.progress import Watch, Watcher
from shoal.training.lora.targets import targets_of

log = logging.getLogger(__name__)
ADAPTER, REPORT, CHECKPOINTS = "adapter", "report.json", "checkpoints"


class Report(Struct, frozen=True):
    """What came of it. ``losses`` are of the held-out part, judgement by judgement; ``tokens``,
    ``cpu_seconds`` and ``joules`` are of the last run, if it was taken up."""

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
    """The folder of the adapter, as peft saves it, and the report."""

    adapter: Path
    report: Report


class _SupervisedTrainer(Keeping, SFTTrainer):
    """trl's, whose checkpoints are whole or not there."""


def tune(
    base: Path,
    lessons: Sequence[Lesson],
    folder: Path,
    options: TuningOptions,
    calibration: Sequence[str] = (),
    teacher: Path | None = None,
    watch: Watch | None = None,
) -> Tuned:
    """See ``shoal.training.generative.fine_tune``."""
    _quiet()
    hardware = Hardware.found()
    method = choose(options.method, weights_in(base), hardware, base)
    identity = _identity(base, lessons, options, calibration, teacher, method)
    if (done := _done(folder, identity)) is not None:
        return done
    prepared = prepare(lessons, tokenizer_of(base), options, calibration)
    watcher = Watcher(watch)
    checkpoint = last_whole(folder / CHECKPOINTS, identity)
    trainer = _trainer(base, prepared, folder, options, method, teacher, watcher)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    report = _report(identity, method, prepared, trainer, watcher)
    return _finished(folder, trainer.model, report)


def _trainer(
    base: Path,
    prepared: Prepared,
    folder: Path,
    options: TuningOptions,
    method: Method,
    teacher: Path | None,
    watcher: Watcher,
) -> Any:
    hardware, tokenizer = Hardware.found(), tokenizer_of(base)
    callbacks: list[Any] = [watcher]
    if prepared.held_out:
        callbacks.append(transformers.EarlyStoppingCallback(options.patience))
    told: dict[str, Any] = {
        "model": model_of(base, hardware, method),
        "args": _settings(prepared, folder, options, hardware),
        "train_dataset": _dataset(prepared.rows),
        "eval_dataset": _dataset(prepared.held_out) if prepared.held_out else None,
        "processing_class": tokenizer,
        "callbacks": callbacks,
        "peft_config": peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=targets_of(model_type(base), options.targets),
            use_dora=method == "dora",
        ),
    }
    if teacher is None:
        trainer: Any = _SupervisedTrainer(**told)
    else:
        from shoal.training.lora.distilling import Distiller, same_tokens

        same_tokens(tokenizer, tokenizer_of(teacher), teacher)
        trainer = Distiller(
            **told,
            teacher=model_of(teacher, hardware),
            share=options.teacher_share,
            temperature=options.temperature,
        )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _settings(
    prepared: Prepared, folder: Path, options: TuningOptions, hardware: Hardware
) -> SFTConfig:
    is_gpu = hardware.device == "cuda"
    packing = is_gpu if options.packing is None else options.packing
    tokens = sum(len(row.ids) for row in prepared.rows)
    rows = math.ceil(tokens / options.max_tokens) if packing else len(prepared.rows)
    batch = max(1, min(options.batch, rows // 4)) if packing else options.batch
    per_epoch = max(1, math.ceil(rows / batch))
    every = max(1, per_epoch // options.judgements)
    judged = "steps" if prepared.held_out else "no"
    return SFTConfig(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=options.batch,
        learning_rate=options.rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, per_epoch * options.epochs // 20),
        max_length=options.max_tokens if packing else None,
        packing=packing,
        eval_packing=False,
        eval_strategy=judged,
        eval_steps=every if prepared.held_out else None,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=3,
        load_best_model_at_end=bool(prepared.held_out),
        metric_for_best_model="eval_loss" if prepared.held_out else None,
        greater_is_better=False if prepared.held_out else None,
        logging_steps=max(1, every // 4),
        bf16=hardware.has_bfloat16,
        use_cpu=hardware.device == "cpu",
        gradient_checkpointing=is_gpu,
        dataloader_pin_memory=is_gpu,
        disable_tqdm=True,
        report_to=[],
        seed=options.seed,
        data_seed=options.seed,
    )


def _dataset(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_dict(
        {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]}
    )


def _identity(
    base: Path,
    lessons: Sequence[Lesson],
    options: TuningOptions,
    calibration: Sequence[str],
    teacher: Path | None,
    method: Method,
) -> str:
    told = [
        digest(lessons),
        msgspec.json.encode(options).decode(),
        method,
        *(_files(path) for path in (base, teacher) if path is not None),
        hashlib.blake2b(msgspec.json.encode([*calibration]), digest_size=16).hexdigest(),
    ]
    return hashlib.blake2b("\n".join(told).encode(), digest_size=16).hexdigest()


def _files(folder: Path) -> str:
    """What tells a checkpoint from another without reading gigabytes: names, sizes, and when they
    were written."""
    found = [(path.name, path.stat()) for path in sorted(folder.glob("*.safetensors"))]
    config = hashlib.blake2b((folder / "config.json").read_bytes()).hexdigest()
    return f"{config} {[(name, told.st_size, told.st_mtime_ns) for name, told in found]}"


def _report(
    identity: str, method: Method, prepared: Prepared, trainer: Any, watcher: Watcher
) -> Report:
    state, last = trainer.state, watcher.last
    judged = [line["eval_loss"] for line in state.log_history if "eval_loss" in line]
    return Report(
        identity=identity,
        method=method,
        rows=len(prepared.rows),
        held_out=len(prepared.held_out),
        dropped=prepared.reasons,
        steps=state.global_step,
        best_step=state.best_global_step or state.global_step,
        losses=judged,
        tokens=last.tokens,
        tokens_per_second=last.tokens_per_second,
        cpu_seconds=watcher.cpu_seconds,
        joules=last.joules,
        without=prepared.dropped,
    )


def _finished(folder: Path, model: Any, report: Report) -> Tuned:
    """Put the adapter in its place whole, then the report that says it is there, then tidy up."""
    adapter, fresh = folder / ADAPTER, folder / f".{ADAPTER}.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        model.save_pretrained(fresh)
        shutil.rmtree(adapter, ignore_errors=True)
        fresh.replace(adapter)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    replace(folder / REPORT, msgspec.json.encode(report).decode())
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Tuned(adapter, report)


def _done(folder: Path, identity: str) -> Tuned | None:
    try:
        report = msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None
    is_there = (folder / ADAPTER / "adapter_model.safetensors").is_file()
    return Tuned(folder / ADAPTER, report) if report.identity == identity and is_there else None


def _quiet() -> None:
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
