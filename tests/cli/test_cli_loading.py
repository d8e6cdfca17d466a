"""What a command that only reads the store does not load."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("aiohttp", "scipy", "starlette", "shoal.gateway.app", "shoal.specialists.kinds")


@pytest.mark.parametrize("command", ["tasks list", "keys list"])
def test_nothing_heavy_is_loaded(command: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom shoal.cli.app import app\n"
        f"try:\n    app({command.split()!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    (tmp_path / "shoal.toml").write_text("", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
