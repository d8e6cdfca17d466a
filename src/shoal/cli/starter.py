"""``shoal init``."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.context import DEFAULT_CONFIG
from shoal.cli.printing import say
from shoal.errors import ConfigError


def init(
    path: Annotated[
        Path, typer.Argument(help="The file to write, or the folder to write it into.")
    ] = DEFAULT_CONFIG,
) -> None:
    """Write a settings file to start from; one that exists is never overwritten."""
    target = path / DEFAULT_CONFIG if path.is_dir() else path
    text = resources.files(__package__).joinpath("starter.toml").read_text(encoding="utf-8")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{target}: exists already; it was left as it is") from None
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from None
    say(f"{target} is written. Name a model in it, then run: shoal serve --config {target}")
