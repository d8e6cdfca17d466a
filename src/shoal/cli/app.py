"""The program ``shoal``, and what a person sees when a command fails."""

import sys
from typing import Annotated

import typer

from shoal.cli.command_table import CommandTable
from shoal.cli.version import version
from shoal.errors import ShoalError

app = typer.Typer(
    cls=CommandTable,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
        from shoal.cli.figures import printable

        typer.echo(f"shoal: {printable(str(error))}", err=True)
        sys.exit(1)
