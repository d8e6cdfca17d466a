"""``shoal compress``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shoal.cli.certificates import REFUSED, say_verdict
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
from shoal.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.flywheel.compressing import Compressed, Variant
    from shoal.flywheel.measuring import Figures
    from shoal.training.gguf.tensors import Precision
    from shoal.training.model_compressing import ModelFigures


class To(StrEnum):
    """What a model's matrices become."""

    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


_PRECISIONS: "dict[To, Precision]" = {To.Q8_0: "q8_0", To.Q4_0: "q4_0"}


def compress(
    what: Annotated[
        str,
        typer.Argument(
            metavar="TASK|MODEL", help="A task, or the path of a GGUF file or a checkpoint."
        ),
    ],
    layers: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Layers of a student's encoder; may be given several times."),
    ] = None,
    heads: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of attention heads that students keep.")
    ] = 1.0,
    inner: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of inner numbers that students keep.")
    ] = 1.0,
    pieces: Annotated[
        int, typer.Option(min=0, help="Word pieces kept beside those in use; 0: all are.")
    ] = 4_000,
    to: Annotated[
        list[To] | None, typer.Option(help="Of a model: a type to write; may be given twice.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Of a model: the folder to write to, else its own.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Of a model: a text file, a prompt a line, to compare by.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make a task's specialist, or a local model's file, smaller; show what that costs.

    Of a specialist, variants are trained on its training examples and certified as new ones, which
    spends from the task's error budget; what serves goes on until `shoal promote`. Exit status 2 if
    no variant is certified.
    """
    if what.endswith(".gguf") or "/" in what or Path(what).is_dir():
        _compress_model(Path(what), to or list(To), out, prompts, as_json)
        return
    from shoal.flywheel.compressing import variants_of
    from shoal.training.shapes import Shape

    shapes = [Shape(count, heads, inner) for count in layers or (3,)]
    _compress_task(read_config(config), what, variants_of(shapes, pieces), as_json)


def _compress_task(config: Config, name: str, variants: "Sequence[Variant]", as_json: bool) -> None:
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
            if found.verdict.certificate is None:
                raise typer.Exit(REFUSED)
        else:
            _show(found)
            say_verdict(store, task, found.verdict, promise)


def _compress_model(
    source: Path, to: "Sequence[To]", out: Path | None, prompts: Path | None, as_json: bool
) -> None:
    from shoal.training.model_compressing import compress_model

    asked = _prompts(prompts) if prompts else []
    precisions: list[Precision] = [_PRECISIONS[each] for each in dict.fromkeys(to)]
    with Console(stderr=True).status(f"Compressing {source} …") as status:
        rows = compress_model(
            source, out or source.parent, precisions, asked, lambda said: status.update(f"{said} …")
        )
    if as_json:
        show_json(rows)
        return
    titles = ("FILE", "SAME ANSWER", "95 %", "SAME UP TO", "SIZE", "CPU A TOKEN", "ENERGY", "")
    show_table(_columns(titles), [_model_row(row) for row in rows])
    _notes(any(row.joules is None for row in rows))
    if not asked:
        say("Quality and time were not measured: --prompts FILE has them compared.")


def _prompts(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from None
    found = [line for line in lines if line.strip()]
    if not found:
        raise ConfigError(f"{path}: holds no prompt: one a line is expected")
    return found


def _show(found: "Compressed") -> None:
    titles = ("VARIANT", "RIGHT", "95 %", "FILES", "SERVED", "CPU AN ANSWER", "ENERGY", "")
    show_table(_columns(titles), [_row(row) for row in found.rows])
    _notes(any(row.joules is None for row in found.rows))
    if found.kept:
        say(f"Files: {found.kept}")


def _columns(titles: tuple[str, ...]) -> list[Column]:
    last = len(titles) - 1
    return [Column(title, right=0 < at < last) for at, title in enumerate(titles)]


def _notes(no_energy: bool) -> None:
    if no_energy:
        say("Energy is not told by this machine.")
    say("* is on the Pareto front of quality, size and time; only files on it are kept.")


def _row(row: "Figures") -> Row:
    return Row(
        (
            row.name,
            f"{row.right:,} of {row.n:,}",
            _between(row.low, row.high),
            f"{row.file_mb:.1f} MB",
            f"{row.served_mb:.1f} MB",
            f"{row.answer_ms:.2f} ms ({row.ms_low:.2f} to {row.ms_high:.2f})",
            _energy(row.joules),
            "*" if row.front else "",
        )
    )


def _model_row(row: "ModelFigures") -> Row:
    told = row.first_words is not None
    return Row(
        (
            row.name,
            f"{row.same:,} of {row.n:,}" if told else "-",
            _between(row.low, row.high) if told else "-",
            "-" if row.first_words is None else percent(row.first_words),
            f"{row.file_mb:,.1f} MB",
            "-" if row.token_ms is None else f"{row.token_ms:.2f} ms",
            _energy(row.joules),
            "*" if row.front else "",
        )
    )


def _between(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def _energy(joules: float | None) -> str:
    return "-" if joules is None else f"{joules:.3f} J"
