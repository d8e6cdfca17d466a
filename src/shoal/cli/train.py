"""``shoal train``: a model of one's own, tuned for a task, certified, served as any specialist."""

from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from shoal.cli.certificates import TaskName, say_verdict
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, find_task, new_learner, open_store
from shoal.cli.printing import say
from shoal.config import read_config
from shoal.flywheel.model_tuning import Material, material, tune_and_certify
from shoal.training.checkpoints import checkpoint_of
from shoal.training.generative import check_extras
from shoal.training.lora.options import Method, Recipe, TuningOptions
from shoal.training.lora.serving import Way

RecipeName = Literal["lora", "distil", "step-by-step", "reasoning"]
Precision = Literal["f16", "q8_0", "q4_0"]
_USUAL = TuningOptions()


def train(
    task: TaskName,
    base: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="The checkpoint to begin from: a folder, or OWNER/REPOSITORY[@REVISION] of the "
            "Hugging Face hub (safetensors, not GGUF).",
        ),
    ],
    recipe: Annotated[
        RecipeName,
        typer.Option(
            help="lora: from the LLM's answers. distil: from a teacher's probabilities, too. "
            "step-by-step: its reasons as a second target. reasoning: reasons, then answer."
        ),
    ] = "lora",
    teacher: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --recipe distil: whom to learn from.")
    ] = None,
    method: Annotated[Method, typer.Option(help="auto: as the hardware allows.")] = _USUAL.method,
    merged: Annotated[
        bool, typer.Option("--merge", help="One file of its own, not an adapter on its base.")
    ] = False,
    precision: Annotated[Precision, typer.Option(help="Of the weights when served.")] = "q8_0",
    epochs: Annotated[int, typer.Option(min=1)] = _USUAL.epochs,
    rate: Annotated[float, typer.Option(min=1e-6, max=1.0)] = _USUAL.rate,
    rank: Annotated[int, typer.Option(min=1, max=1024)] = _USUAL.rank,
    batch: Annotated[int, typer.Option(min=1, max=1024)] = _USUAL.batch,
    max_tokens: Annotated[
        int, typer.Option(min=16, help="Longer examples are left out.")
    ] = _USUAL.max_tokens,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is to learn from, and stop.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Tune a small language model for a task on this machine, certify it, and have it ready.

    One in three examples is kept away from training, with whatever is nearly like it, and judges:
    the attempt spends from the task's error budget as `shoal certify` does. Killed or stopped, the
    same command goes on. Exit status 2 if the certificate is refused.
    """
    settings = read_config(config)
    options = TuningOptions(
        method=method, recipe=_taught(recipe), epochs=epochs, rate=rate, rank=rank,
        alpha=2.0 * rank, batch=batch, max_tokens=max_tokens,
    )  # fmt: skip
    with open_store(settings) as store:
        found, learner = find_task(store, task), new_learner(settings, store)
        _tell(material(learner, found, options.near))
        if dry_run:
            return
        check_extras()
        way = Way(
            checkpoint_of(base), settings.store.path / "models" / "bases", options,
            checkpoint_of(teacher) if teacher else None, merged, precision,
        )  # fmt: skip
        with Console(stderr=True).status(f"Tuning {way.base.name} for {found.name} …") as status:
            verdict = tune_and_certify(
                learner, found, way, lambda told: status.update(_told(found.name, told)),
                lambda said: status.update(f"{found.name}: {said} …"),
            )  # fmt: skip
        say_verdict(store, found, verdict, learner.promise(found))


def _taught(recipe: RecipeName) -> Recipe:
    return "supervised" if recipe == "lora" else recipe


def _tell(found: Material) -> None:
    say(f"{found.trains:,} examples would train, {found.judges:,} judge.")
    for why, count in found.left_out.items():
        say(f"- {count:,} left out: {why}")


def _told(task: str, progress: Any) -> str:
    """A line of how far training has come."""
    parts = [f"{task}: step {progress.step:,} of {progress.steps:,}"]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.held_out_loss is not None:
        parts.append(f"held out {progress.held_out_loss:.3f}")
    parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    parts.append(f"{progress.seconds_left / 60:,.1f} min left")
    if progress.joules is not None:
        parts.append(f"{progress.joules:,.0f} J")
    return ", ".join(parts)
