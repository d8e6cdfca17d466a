"""``shoal demo``."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli.context import console
from shoal.demo.play import run
from shoal.errors import ConfigError


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the demonstration keeps its files; made anew.")
    ] = Path("shoal-demo"),
) -> None:
    """Play a support desk's recorded traffic through Shoal, on one screen, in about a minute."""
    if folder.exists():
        ours = (folder / "shoal.toml").exists() and (folder / "recording.jsonl").exists()
        if not ours and any(folder.iterdir()):
            raise ConfigError(f"{folder}: holds something else; choose another with --folder")
        shutil.rmtree(folder)
    run(folder, console)
