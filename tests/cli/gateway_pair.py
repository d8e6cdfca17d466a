"""Two gateways, each a process of its own, on one store in Postgres."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from served_desk import Served, served

FAST = "[learn]\nevery_s = 0.2\n"


@contextmanager
def two_gateways(
    tmp_path: Path, url: str, *options: str, settings: str = ""
) -> Iterator[tuple[Served, Served]]:
    shared = f'{FAST}[store]\npath = "{tmp_path}/data"\nurl = "{url}"\n{settings}'
    with ExitStack() as stack:
        running = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateway = served(tmp_path / name, *options, settings=shared)
            running.append(stack.enter_context(gateway))
        yield running[0], running[1]
