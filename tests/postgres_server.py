"""A Postgres server of a test's own, to be stopped and started."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from postgres_home import VARIABLE


class OwnServer:
    """A server that listens on a socket in ``folder`` only."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self.url = f"postgresql://postgres@/postgres?host={folder}"

    def make(self) -> None:
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self._folder}"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it; "immediate" is as a crash: connections break, and what is on the disk stays."""
        self._run("pg_ctl", "-w", "-m", how, "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Meanwhile the server accepts connections, and says nothing on any."""
        postmaster = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)  # first, so that there are no more children than these
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        processes = [postmaster, *map(int, children)]
        _tell(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            _tell(processes, signal.SIGCONT)

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, "-D", self._folder / "data", *arguments]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, cwd="/", **quiet, **_owner())


def _tell(processes: Iterable[int], what: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # a connection that has ended, or the server's own work
            os.kill(process, what)


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """A running server, gone afterwards; skips where tests are to do without Postgres."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"no Postgres: {VARIABLE} names no server (see .ci/postgres)")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (programs[-1] if programs else None)
    if found is None:
        pytest.skip("the programs of a Postgres server are not here")
    folder = Path(tempfile.mkdtemp(prefix="shoal-pg-"))  # short, as paths of sockets must be
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")  # who refuses to run as root
    server = OwnServer(Path(found).resolve().parent, folder)
    try:
        server.make()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> Mapping[str, Any]:
    return {"user": "postgres"} if os.geteuid() == 0 else {}
