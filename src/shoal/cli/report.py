"""``shoal report``."""

from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, find_task, open_store
from shoal.cli.printing import say
from shoal.config import read_config
from shoal.errors import ConfigError
from shoal.evaluation.report import render
from shoal.flywheel.reporting import facts_of


def report(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's name or id.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default: TASK-report.html.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write a page on a task's certificate that can be shown to an auditor.

    One file of HTML: proof, curve, worst examples, candidates, slices, audits, and what is not
    promised. It shows inputs and answers of calls: mind who may see them.
    """
    settings = read_config(config)
    with open_store(settings) as store:
        found = find_task(store, task)
        promise = settings.promise_of(found.name)
        page = render(facts_of(store, found, settings.learn, promise))
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in found.name)
    path = out or Path(f"{name}-report.html")
    try:
        path.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error}") from error
    say(f"Wrote {path}.")
