"""``shoal compress``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shoal.cli.context import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    find_task,
    new_learner,
    open_store,
)
from shoal.cli.figures import percent
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.config import Config, read_config

REFUSED = 2  # exit status
_TITLES = ("VARIANT", "AS THE REFERENCE", "95 %", "FILES", "SERVED", "CPU AN ANSWER", "ENERGY", "")


def compress(
    what: Annotated[
        str, typer.Argument(metavar="TASK|MODEL", help="A task, or the path of a GGUF file.")
    ],
    layers: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Layers of a student's encoder; may be given several times."),
    ] = None,
    heads: Annotated[float, typer.Option(help="Share of attention heads that students keep.")] = 1,
    inner: Annotated[float, typer.Option(help="Share of inner numbers that they keep.")] = 1,
    pieces: Annotated[
        int, typer.Option(min=0, help="Word pieces kept beside those in use; 0: all.")
    ] = 4_000,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make a task's specialist, or a local model's file, smaller; show what that costs.

    Of a specialist, variants are trained on its training examples and certified as new ones, which
    spends from the task's error budget; what serves goes on until `shoal promote`. Exit status 2 if
    no variant is certified.
    """
    from shoal.flywheel.compressing import variants_of
    from shoal.training.shapes import Shape

    shapes = [Shape(count, heads, inner) for count in layers or (3,)]
    _compress_task(read_config(config), what, variants_of(shapes, pieces), as_json)


def _compress_task(config: Config, name: str, variants: list, as_json: bool) -> None:
    from shoal.flywheel.compressing import Compressor, teacher_card

    with open_store(config) as store:
        task = find_task(store, name)
        teacher_card(store, task)  # refused before anything is loaded
        learner = new_learner(config, store)
        promise = learner.promise(task)
        lessons = learner.examiner.lessons(task, promise, by_hand=True)
        with Console(stderr=True).status(f"Compressing {task.name} …") as status:
            compressor = Compressor(
                store, learner.examiner, learner.senses, lambda said: status.update(f"{said} …")
            )
            found = compressor.compress(lessons, promise, variants)
        if as_json:
            show_json(found)
        else:
            _show(found, task.name)
        if found.verdict.certificate is None:
            raise typer.Exit(REFUSED)


def _show(found, name: str) -> None:
    columns = [Column(title, right=0 < at < 7) for at, title in enumerate(_TITLES)]
    show_table(columns, [_row(row) for row in found.rows])
    if any(row.joules is None for row in found.rows):
        say("Energy is not told by this machine.")
    say("Marked: the Pareto front of quality, size and time; only its files are kept.")
    if found.kept:
        say(f"Files: {found.kept}")
    verdict = found.verdict
    if verdict.certificate is None:
        say(f"Refused, with {verdict.examples:,} examples: {verdict.reason}.")
        for recipe, refusal in verdict.refusals:
            say(f"- {recipe}: {refusal.reason}")
        say("What stood before goes on.")
        return
    say(verdict.certificate.describe())
    say(f"What serves goes on; `shoal promote {name} --to serve` takes this one.")


def _row(row) -> Row:
    energy = "-" if row.joules is None else f"{row.joules:.3f} J"
    return Row(
        (
            row.name,
            f"{row.right:,} of {row.n:,}",
            f"{percent(row.low)} to {percent(row.high)}",
            f"{row.file_mb:.1f} MB",
            f"{row.served_mb:.1f} MB",
            f"{row.answer_ms:.2f} ms ({row.ms_low:.2f} to {row.ms_high:.2f})",
            energy,
            "*" if row.front else "",
        )
    )
