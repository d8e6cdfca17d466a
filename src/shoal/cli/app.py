"""All commands, and what a person sees when one fails."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from shoal.cli import (
    agents,
    asking,
    audit,
    calls,
    certificates,
    collections,
    events,
    keys,
    mcp,
    promotion,
    report,
    review,
    run,
    runs,
    spend,
    starter,
    tasks,
    tuning,
)
from shoal.cli import demo as demonstration
from shoal.cli import serve as serving
from shoal.cli.figures import printable
from shoal.errors import ShoalError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demonstration.demo,
    starter.init,
    serving.serve,
    serving.reload,
    serving.learn,
    mcp.mcp,
    certificates.certify,
    certificates.certificate,
    report.report,
    review.review,
    asking.ask,
    run.run,
    promotion.promote,
    promotion.demote,
    events.log,
    spend.spend,
):
    app.command()(command)
app.add_typer(calls.app, name="calls")
app.add_typer(tasks.app, name="tasks")
app.add_typer(keys.app, name="keys")
app.add_typer(runs.app, name="runs")
app.add_typer(agents.app, name="agents")
collections.app.command()(tuning.tune)
app.add_typer(audit.app, name="audit")
app.add_typer(collections.app, name="collections")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"shoal {metadata.version('shoal')}")


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def options(
    shown: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Finds the steps that recur in your LLM traffic, and serves them small once proven."""


def main() -> None:
    """Run a command; errors that Shoal raises on purpose are one line and exit status 1."""
    try:
        app()
    except ShoalError as error:
        typer.echo(f"shoal: {printable(str(error))}", err=True)
        sys.exit(1)
