"""Examples in, an adapter out, with trl's trainer and peft's layers.

A folder holds one training: ``checkpoints/`` while it goes on, ``adapter/`` and ``report.json``
when it is done. Run again after a kill at whatever moment, it goes on from the last whole
checkpoint; run again when done, it hands back what there is; with other examples, options or base
it begins anew.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import transformers
from datasets import Dataset
from trl import DistillationConfig, SFTConfig, SFTTrainer

from shoal.errors import LearningError
from shoal.training.lora.chat_examples import ChatExample, digest
from shoal.training.lora.chat_tokens import IGNORED, Row
from shoal.training.lora.hardware import Hardware, choose
from shoal.training.lora.keeping import Keeping, last_whole
from shoal.training.lora.loading import model_of, model_type, tokenizer_of, weights_in
from shoal.training.lora.options import Method, TuningOptions
from shoal.training.lora.outcome import (
    CHECKPOINTS,
    Tuned,
    done,
    finished,
    identity_of,
    report_of,
)
from shoal.training.lora.preparation import Prepared, prepare
from shoal.training.lora.progress import Watch, Watcher
from shoal.training.lora.targets import targets_of

ADAPTER = "adapter"


class _SupervisedTrainer(Keeping, SFTTrainer):
    """trl's, whose checkpoints are whole or not there."""


def tune(
    base: Path,
    examples: Sequence[ChatExample],
    folder: Path,
    options: TuningOptions,
    calibration: Sequence[str] = (),
    teacher: Path | None = None,
    watch: Watch | None = None,
) -> Tuned:
    """See ``shoal.training.generative.fine_tune``."""
    quiet()
    hardware = Hardware.found()
    method = choose(options.method, weights_in(base), hardware, base)
    identity = identity_of((base, teacher), digest(examples), options, method, [*calibration])
    if (found := done(folder, ADAPTER, identity)) is not None:
        return found
    prepared = prepare(examples, tokenizer_of(base), options, calibration)
    watcher = Watcher(watch)
    checkpoint = last_whole(folder / CHECKPOINTS, identity)
    trainer = _trainer(base, prepared, folder, options, method, teacher, watcher)
    run(trainer, checkpoint)
    report = report_of(identity, method, prepared, trainer, watcher)
    return finished(folder, ADAPTER, trainer.model.save_pretrained, report)


def run(trainer: Any, checkpoint: Path | None) -> None:
    """Train, from a checkpoint on if there is one.

    Raises:
        LearningError: the memory does not suffice.
    """
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (RuntimeError, MemoryError) as error:  # torch has a kind of its own on the GPU alone
        if "out of memory" in str(error) or "allocate memory" in str(error):
            raise LearningError(
                "the memory does not suffice for a step: lower batch or max_tokens; what was kept "
                "until now belongs to the same options alone"
            ) from error
        raise


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
        trainer: Any = _SupervisedTrainer(**told, **_supervised(prepared, folder, options))
    else:
        trainer = _distiller(told, prepared, folder, options, teacher)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _distiller(
    told: dict[str, Any], prepared: Prepared, folder: Path, options: TuningOptions, teacher: Path
) -> Any:
    from shoal.training.lora.distilling import Distiller, OnPolicyDistiller, same_tokens

    same_tokens(told["processing_class"], tokenizer_of(teacher), teacher)
    model = model_of(teacher, Hardware.found())
    if not options.on_policy:
        return Distiller(
            **told,
            **_supervised(prepared, folder, options),
            teacher=model,
            share=options.teacher_share,
            temperature=options.temperature,
        )
    longest = max(sum(label != IGNORED for label in row.labels) for row in prepared.rows)
    settings = DistillationConfig(
        **common_settings(prepared, folder, options, len(prepared.rows), options.batch),
        max_completion_length=longest + 8,
        temperature=options.temperature,
        beta=0.5,
    )
    told["processing_class"].padding_side = "left"
    return OnPolicyDistiller(
        **told,
        teacher_model=model,
        args=settings,
        train_dataset=_asked(prepared.rows),
        eval_dataset=_asked(prepared.held_out) if prepared.held_out else None,
    )


def _supervised(prepared: Prepared, folder: Path, options: TuningOptions) -> dict[str, Any]:
    is_gpu = Hardware.found().device == "cuda"
    packing = is_gpu if options.packing is None else options.packing
    tokens = sum(len(row.ids) for row in prepared.rows)
    rows = math.ceil(tokens / options.max_tokens) if packing else len(prepared.rows)
    batch = max(1, min(options.batch, rows // 4)) if packing else options.batch
    settings = SFTConfig(
        **common_settings(prepared, folder, options, rows, batch),
        max_length=options.max_tokens if packing else None,
        packing=packing,
        eval_packing=False,
    )
    return {
        "args": settings,
        "train_dataset": dataset(prepared.rows),
        "eval_dataset": dataset(prepared.held_out) if prepared.held_out else None,
    }


def common_settings(
    prepared: Prepared, folder: Path, options: TuningOptions, rows: int, batch: int
) -> dict[str, Any]:
    """What all of trl's trainers are told, for so many ``rows`` in batches of so many."""
    hardware = Hardware.found()
    is_gpu, judges = hardware.device == "cuda", bool(prepared.held_out)
    per_epoch = max(1, math.ceil(rows / batch))
    every = max(1, per_epoch // options.judgements)
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "num_train_epochs": options.epochs,
        "per_device_train_batch_size": batch,
        "per_device_eval_batch_size": options.batch,
        "learning_rate": options.rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, per_epoch * options.epochs // 20),
        "eval_strategy": "steps" if judges else "no",
        "eval_steps": every if judges else None,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 3,
        "load_best_model_at_end": judges,
        "metric_for_best_model": "eval_loss" if judges else None,
        "greater_is_better": False if judges else None,
        "logging_steps": max(1, every // 4),
        "bf16": hardware.has_bfloat16,
        "use_cpu": hardware.device == "cpu",
        "gradient_checkpointing": is_gpu,
        "dataloader_pin_memory": is_gpu,
        "disable_tqdm": True,
        "report_to": [],
        "seed": options.seed,
        "data_seed": options.seed,
    }


def _asked(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_dict({"prompt": [[*row.asked] for row in rows]})


def dataset(rows: Sequence[Row]) -> Dataset:
    """The rows as transformers' trainers take them."""
    return Dataset.from_dict(
        {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]}
    )


def quiet() -> None:
    """Leave the progress to ``watch``."""
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
