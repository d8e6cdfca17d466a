from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Desk
from rich.console import Console
from support_desk import add_calls, add_tasks, make_call


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOAL_CONFIG", raising=False)
    return Desk(tmp_path)


@pytest.fixture
def busy_desk(desk: Desk) -> Desk:
    """Thirty calls of the task department, six of the task reply."""
    with desk.store() as store:
        add_tasks(store, "department", "reply")
        add_calls(store, *(make_call("department", number) for number in range(30)))
        add_calls(store, *(make_call("reply", number) for number in range(6)))
    return desk


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have commands believe that they print to a terminal of so many columns."""

    def pretend(width: int) -> None:
        console = Console(force_terminal=True, width=width, color_system=None)
        for module in ("printing", "context"):
            monkeypatch.setattr(f"shoal.cli.{module}.console", console)

    return pretend
