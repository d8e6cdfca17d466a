"""A copy of an example's folder, prepared and run as its README says."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from shoal.cli.app import app
from shoal.errors import ShoalError

ROOT = Path(__file__).parents[2]
MADE = shutil.ignore_patterns(
    "shoal-data", "inbox", "findings", "__pycache__", "*.db", "*.log", "*.jsonl", "plant.json"
)
HOLD = """

import functools as _functools, pathlib as _pathlib, time as _time
from shoal.tools.python import FunctionAbout as _About, FunctionTool as _Tool


def _held(old):
    @_functools.wraps(old.function)
    def work(*args, **kwargs):
        found = {when} and old.function(*args, **kwargs)
        if (_pathlib.Path(__file__).parent / "hold").exists():
            (_pathlib.Path(__file__).parent / "held").touch()
            _time.sleep(60)
        return found or old.function(*args, **kwargs)

    spec = old.spec
    return _Tool(work, _About(name=spec.name, effects=spec.effects, repeatable=spec.repeatable))


{tool} = _held({tool})
"""
"""Added to a copy's ``steps.py``: while the file ``hold`` is there, a tool hangs."""


class ReadyPipeline:
    """A copy of ``examples/NAME`` in ``folder``, without what was made there."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        shutil.copytree(ROOT / "examples" / name, self.folder, ignore=MADE)

    def prepare(self, *args: str) -> None:
        """Make its data."""
        command = [sys.executable, "prepare.py", *args]
        subprocess.run(command, cwd=self.folder, env=self._env(), check=True, capture_output=True)

    def command(self, *args: str) -> Result:
        """Run ``shoal`` with its settings; what is not Shoal's own fails the test."""
        at = [str(self.folder / one) if one.endswith("plan.json") else one for one in args]
        result = CliRunner().invoke(app, [*at, "--config", str(self.folder / "shoal.toml")])
        if not isinstance(result.exception, ShoalError | SystemExit | None):
            raise result.exception
        return result

    def json(self, *args: str) -> Any:
        """What a command prints as JSON."""
        result = self.command(*args, "--json")
        assert result.stdout, result.exception or result.output
        return json.loads(result.stdout)

    def run(self, given: dict[str, Any]) -> dict[str, Any]:
        """How a run of its plan ends, for now."""
        found: dict[str, Any] = self.json("run", "plan.json", "--quiet", "--input", told(given))
        return found

    def outcome(self, *args: str) -> dict[str, Any]:
        """How a run goes on, by ``shoal runs``."""
        found: dict[str, Any] = self.json("runs", *args)
        return found

    def records(self, run: str) -> list[dict[str, Any]]:
        """All that is written down of a run."""
        found: list[dict[str, Any]] = self.json("runs", "show", run)["records"]
        return found

    def finished(self, run: str) -> list[str]:
        """The places of the steps that were finished, as often as they were."""
        return [one["step"] for one in self.records(run) if one["kind"] == "finished"]

    def killed_at(
        self,
        tool: str,
        args: tuple[str, ...],
        code: str = "steps.py",
        done: bool = False,
    ) -> None:
        """Kill what ``shoal`` with ``args`` does in the middle of a tool of a file: before it did
        anything, or when all was ``done`` and nobody had been told."""
        steps = self.folder / code
        whole = steps.read_text(encoding="utf-8")
        steps.write_text(whole + HOLD.format(tool=tool, when=done), encoding="utf-8")
        (self.folder / "hold").touch()
        command = [sys.executable, "-m", "shoal", *args]
        no = subprocess.DEVNULL
        with subprocess.Popen(
            command, cwd=self.folder, env=self._env(), stdin=no, stdout=no, stderr=no
        ) as run:
            until = time.monotonic() + 60
            while not (self.folder / "held").exists():
                assert run.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < until, "the tool was never called"
                time.sleep(0.02)
            run.send_signal(signal.SIGKILL)
        (self.folder / "hold").unlink()
        steps.write_text(whole, encoding="utf-8")
        (self.folder / "held").unlink()
        with sqlite3.connect(self.folder / "shoal-data" / "shoal.db") as store:
            # who was killed would have it for half a minute more
            store.execute("UPDATE runs SET lease_until = 0")
        store.close()

    def killed_run(self, tool: str, given: dict[str, Any]) -> str:
        """The id of a run of its plan that was killed in the middle of a tool."""
        self.killed_at(tool, ("run", "plan.json", "--input", told(given)))
        return self.newest()

    def newest(self) -> str:
        """The id of the run that was begun last."""
        found: str = self.json("runs", "list")[0]["id"]
        return found

    def _env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"}


def told(given: dict[str, Any]) -> str:
    """As ``--input`` takes it."""
    return json.dumps(given)
