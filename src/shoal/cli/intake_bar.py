"""The bar of files that are taken in: how many, at which rate, and how long it will take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from shoal.retrieval import intake


@contextmanager
def intake_bar(name: str) -> Iterator[Callable[[intake.Progress], None]]:
    """Shows what it is told; nothing where no person looks on, and nothing where there is nothing
    to do."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[files]} files, {task.fields[passages]:,} passages"),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None, files="0", passages=0, rate=0.0, visible=False)

        def tell(progress: intake.Progress) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(
                task,
                total=max(1, progress.size),
                completed=progress.read,
                visible=progress.files > 0,
                files=f"{progress.done:,}/{progress.files:,}",
                passages=progress.passages,
                rate=progress.passages / elapsed if elapsed else 0.0,
            )

        yield tell
