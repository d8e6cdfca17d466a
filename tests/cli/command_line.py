"""The command line, run in a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from shoal.cli.app import app
from shoal.config import read_config
from shoal.errors import ShoalError
from shoal.storage import Store

CONFIG = """
[models.gpt]
engine = "echo"
input_price = 10.0
output_price = 100.0

[store]
keep_days = 100_000
"""


class Desk:
    """A folder with a ``shoal.toml``, and the command line run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "shoal.toml"
        self.config.write_text(CONFIG)

    def run(self, *args: str, input: str | bytes | None = None) -> Result:
        """Run a command; anything raised that is not Shoal's own fails the test."""
        result = CliRunner().invoke(app, args, input=input)
        if not isinstance(result.exception, ShoalError | SystemExit | None):
            raise result.exception
        return result

    def printed(self, *args: str, input: str | bytes | None = None) -> str:
        """What a command that succeeds prints."""
        result = self.run(*args, input=input)
        assert result.exit_code == 0, result.exception or result.output
        return result.stdout

    def refused(self, *args: str, input: str | bytes | None = None) -> str:
        """The error of a command that fails."""
        result = self.run(*args, input=input)
        assert isinstance(result.exception, ShoalError), result.output
        return str(result.exception)

    @contextmanager
    def store(self) -> Iterator[Store]:
        with Store.open(read_config(self.config).store) as store:
            yield store

    def add_settings(self, text: str) -> None:
        """Add TOML text to the settings."""
        self.config.write_text(CONFIG + text)
