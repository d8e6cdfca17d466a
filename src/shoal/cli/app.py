"""All commands, and what a person sees when one fails."""

import sys

import typer

from shoal.cli import demo as demonstration
from shoal.cli import serve as serving
from shoal.errors import ShoalError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Finds the steps that recur in your LLM traffic, and serves them small once proven.",
)
app.command()(demonstration.demo)
app.command()(serving.serve)
app.command()(serving.learn)


def main() -> None:
    """Run a command; errors that Shoal raises on purpose are one line and exit status 1."""
    try:
        app()
    except ShoalError as error:
        print(f"shoal: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
