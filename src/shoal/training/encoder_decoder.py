"""Encoder–decoder models (T5 and its kin), all weights tuned, and turned into what CTranslate2
serves.

They are small: T5 has 60 million weights, and learns a task of rewriting (normalising, filling in,
translating) from a few hundred examples. What they read is the request's text, without a template.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from msgspec import Struct

from shoal.engines.encoder_decoder import TOKENIZER
from shoal.errors import ArtifactError
from shoal.training.lora.chat_examples import ChatExample, digest
from shoal.training.lora.chat_tokens import Row
from shoal.training.lora.keeping import Keeping, last_whole
from shoal.training.lora.loading import tokenizer_of
from shoal.training.lora.outcome import (
    CHECKPOINTS,
    Tuned,
    done,
    finished,
    identity_of,
    report_of,
)
from shoal.training.lora.preparation import (
    Dropped,
    Prepared,
    is_held_out,
    nothing_left,
    sound,
    text_of,
)
from shoal.training.lora.progress import Watch, Watcher
from shoal.training.lora.tuning import dataset, quiet, run

MODEL = "model"


class RewritingOptions(Struct, frozen=True):
    """As ``TuningOptions``, of all weights: the rate is one for AdamW."""

    epochs: int = 20
    rate: float = 5e-4
    batch: int = 16
    max_tokens: int = 512
    held_out: float = 0.1
    patience: int = 3
    near: float = 0.8
    seed: int = 0


class _Trainer(Keeping, transformers.Seq2SeqTrainer):
    """transformers', whose checkpoints are whole or not there."""


def tune_encoder_decoder(
    base: Path,
    examples: Sequence[ChatExample],
    folder: Path,
    options: RewritingOptions,
    calibration: Sequence[str] = (),
    watch: Watch | None = None,
) -> Tuned:
    """See ``shoal.training.generative.tune_rewriter``."""
    quiet()
    identity = identity_of((base,), digest(examples), options, [*calibration])
    if (found := done(folder, MODEL, identity)) is not None:
        return found
    tokenizer = tokenizer_of(base)
    prepared = _prepared(examples, tokenizer, options, calibration)
    watcher = Watcher(watch)
    checkpoint = last_whole(folder / CHECKPOINTS, identity)
    trainer = _trainer(base, tokenizer, prepared, folder, options, watcher)
    run(trainer, checkpoint)

    def save(fresh: Path) -> None:
        trainer.model.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)

    return finished(folder, MODEL, save, report_of(identity, "full", prepared, trainer, watcher))


def to_ctranslate2(folder: Path, served: Path, quantization: str = "int8") -> Path:
    """Write the checkpoint in ``folder`` as CTranslate2 serves it, tokenizer with it.

    Raises:
        ArtifactError: CTranslate2 does not know the architecture, there is no ``tokenizer.json``,
            or the disk is full; ``served`` is then as it was.
    """
    from ctranslate2.converters import TransformersConverter

    if not (folder / TOKENIZER).is_file():
        raise ArtifactError(f"{folder}: no {TOKENIZER}, which serving needs")
    fresh = served.with_name(f".{served.name}.{os.getpid()}")
    try:
        served.parent.mkdir(parents=True, exist_ok=True)
        TransformersConverter(str(folder)).convert(str(fresh), quantization=quantization)
        shutil.copy2(folder / TOKENIZER, fresh / TOKENIZER)
        shutil.rmtree(served, ignore_errors=True)
        fresh.replace(served)
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise ArtifactError(f"{folder}: cannot be converted for serving: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return served


def _prepared(
    examples: Sequence[ChatExample],
    tokenizer: Any,
    options: RewritingOptions,
    calibration: Sequence[str],
) -> Prepared:
    kept, dropped = sound(examples, options.near, calibration)
    sides: tuple[list[Row], list[Row]] = ([], [])
    for example in kept:
        row = Row(
            tokenizer(text_of(example))["input_ids"],
            tokenizer(text_target=example.answer.text)["input_ids"],
        )
        if max(len(row.ids), len(row.labels)) > options.max_tokens:
            dropped.append(
                Dropped(example.key, f"request or answer is over {options.max_tokens:,} tokens")
            )
            continue
        sides[is_held_out(example, options.held_out, options.seed)].append(row)
    if not sides[0]:
        raise nothing_left(dropped)
    return Prepared(*sides, dropped)


def _trainer(
    base: Path,
    tokenizer: Any,
    prepared: Prepared,
    folder: Path,
    options: RewritingOptions,
    watcher: Watcher,
) -> Any:
    try:
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
            base, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{base}: no encoder–decoder can be loaded: {error}") from None
    judges = bool(prepared.held_out)
    when = "epoch" if judges else "no"
    settings = transformers.Seq2SeqTrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch,
        learning_rate=options.rate,
        lr_scheduler_type="cosine",
        eval_strategy=when,
        save_strategy="epoch",
        save_total_limit=3,
        load_best_model_at_end=judges,
        metric_for_best_model="eval_loss" if judges else None,
        greater_is_better=False if judges else None,
        logging_strategy="epoch",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        report_to=[],
        seed=options.seed,
        include_num_input_tokens_seen="non_padding",
    )
    callbacks: list[Any] = [watcher]
    if judges:
        callbacks.append(transformers.EarlyStoppingCallback(options.patience))
    trainer = _Trainer(
        model=model,
        args=settings,
        train_dataset=dataset(prepared.rows),
        eval_dataset=dataset(prepared.held_out) if judges else None,
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer, model=model),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer
