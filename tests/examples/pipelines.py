"""Example pipelines, run by the command line in a folder of their own."""

import importlib.util
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

from typer.testing import CliRunner, Result

from shoal.cli.app import app
from shoal.cli.context import new_learner, open_store
from shoal.config import read_config

EXAMPLES = Path(__file__).parents[2] / "examples"


class Pipeline:
    """An example in a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.source, self.folder = EXAMPLES / name, folder

    def module(self, name: str) -> ModuleType:
        """A script of the example."""
        path = self.source / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"{self.source.name}_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def shoal(self, *words: str, ends: int = 0) -> Result:
        """A command in the folder, and that it ends as expected."""
        result = CliRunner().invoke(app, words)
        assert result.exit_code == ends, result.exception or result.output
        return result

    def run(self, plan: str, given: dict[str, Any], ends: int = 0) -> Any:
        """What a plan comes to; of one that waits, its outcome."""
        words = ("run", plan, "--quiet", "--json", "--input", json.dumps(given))
        return json.loads(self.shoal(*words, ends=ends).stdout)

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """Rows of a database of the example."""
        with closing(sqlite3.connect(self.folder / database)) as connection:
            return connection.execute(query).fetchall()

    def learn(self) -> None:
        """One turn of the learner."""
        config = read_config(self.folder / "shoal.toml")
        with open_store(config) as store:
            new_learner(config, store).turn()
