"""The list of commands: what it says is what they say, and nothing heavy is loaded for it."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.cli.command_table import COMMANDS, loaded

HEAVY = "import sys; print({'numpy', 'sqlalchemy', 'aiohttp', 'shoal.config'} & sys.modules.keys())"


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    command = loaded(name)
    first = (command.help or "").split("\n\n")[0]
    assert command.name == name
    assert COMMANDS[name].says == " ".join(first.split())


@pytest.mark.parametrize("asked", [["version"], ["--version"], ["--help"]])
def test_what_needs_no_part_loads_none(asked: list[str]) -> None:
    run = "from typer.testing import CliRunner\nfrom shoal.cli.app import app\n"
    run += f"assert CliRunner().invoke(app, {asked!r}).exit_code == 0\n"
    assert printed(run + HEAVY).strip() == "set()"


def test_the_check_of_loaded_parts_can_fail() -> None:
    assert "numpy" in printed("import numpy\n" + HEAVY)


def test_the_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert not [name for name in COMMANDS if f" {name} " not in shown]


def test_a_command_misspelt_is_guessed() -> None:
    failed = CliRunner().invoke(app, ["tusks"])
    assert failed.exit_code == 2
    assert "'tasks'" in failed.output
