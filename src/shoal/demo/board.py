"""The demonstration's screen: a table and a few sums, live; plain lines without a terminal."""

import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shoal.demo.scene import Row, Scene

_STAGE_STYLE = {"serve": "bold green", "shadow": "yellow", "observe": "dim", "": "dim"}


class Board:
    """Shows scenes: on a terminal in place, elsewhere a line whenever something has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._act = ""
        self._began = time.monotonic()
        self._said: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        """Take the screen, if there is one."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on it."""
        if self._live is not None:
            self._live.stop()

    def act(self, title: str) -> None:
        """What happens next, in one line."""
        self._act = title
        if self._live is None:
            self._console.print(f"[{self._elapsed():5.1f} s] {title}")

    def show(self, scene: Scene) -> None:
        """Show a scene."""
        if self._live is not None:
            self._live.update(self._picture(scene))
            return
        for row in scene.rows:
            state = (row.stage, row.proof)
            if row.task and self._said.get(row.kind) != state:
                self._said[row.kind] = state
                line = f"[{self._elapsed():5.1f} s] task {row.task}: {row.stage}; {row.proof}"
                self._console.print(line.rstrip("; "), markup=False)

    def _picture(self, scene: Scene) -> Panel:
        title = Text(f"{self._act}  ({self._elapsed():.0f} s)", style="bold")
        return Panel(Group(title, tasks_table(scene), sums(scene)), title="Shoal, demonstration")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def tasks_table(scene: Scene) -> Table:
    """The tasks found, and how each stands."""
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("task found", "stage"):
        table.add_column(name, no_wrap=True)
    for name in ("calls", "small", "differed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("certificate, or why not", ratio=1)
    for row in scene.rows:
        table.add_row(*_cells(row))
    return table


def sums(scene: Scene) -> Text:
    """The sums, each with where it comes from."""
    share = scene.small / scene.calls if scene.calls else 0.0
    small_ms = "…" if scene.small_ms is None else f"{scene.small_ms:.1f} ms (measured, HTTP)"
    return Text(
        f"\n{scene.calls:,} calls, {share:.0%} served small.  A small answer takes {small_ms}, "
        f"the LLM {scene.llm_ms:.0f} ms (assumed).\nSaved ${scene.saved:.2f} at assumed prices, "
        f"audits paid.  {scene.audits} audits, {scene.disagreements} disagreed."
    )


def _cells(row: Row) -> tuple[str | Text, ...]:
    return (
        row.task or f"({row.kind})",
        Text(row.stage or "not yet", style=_STAGE_STYLE[row.stage]),
        f"{row.calls:,}",
        f"{row.small:,}",
        str(row.disagreed) if row.small else "",
        row.proof,
    )
