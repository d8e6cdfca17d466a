"""Processes that run beside a gateway: the learner, and the one that watches collections."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shoal.retrieval.collection import has_sources

log = logging.getLogger(__name__)

_STOP_S = 15.0
_AGAIN_S = 5.0
_LOOK_S = 0.2


class SideProcess(threading.Thread):
    """Keeps a command of Shoal's running, from when it is ``wanted``."""

    def __init__(
        self, name: str, command: Sequence[str], wanted: Callable[[], bool] = lambda: True
    ) -> None:
        super().__init__(name=f"shoal-{name}", daemon=True)
        self._called, self._wanted = name, wanted
        self._command = [sys.executable, "-m", "shoal", *command]
        self._stopping, self._anew = threading.Event(), threading.Event()

    def run(self) -> None:
        while not self._wanted():
            if self._stopping.wait(_AGAIN_S):
                return
        while not self._stopping.is_set():
            self._anew.clear()
            # Its input closes when this process ends, however it ends; then it stops too.
            with subprocess.Popen(self._command, stdin=subprocess.PIPE) as process:
                while process.poll() is None and not self._stopping.wait(_LOOK_S):
                    if self._anew.is_set():
                        break
                process.terminate()
            if not self._anew.is_set() and not self._stopping.wait(_AGAIN_S):
                status = process.returncode
                log.warning("the %s ended with status %s: starting again", self._called, status)

    def start_anew(self) -> None:
        """End the process and start another, which reads the settings again."""
        self._anew.set()

    def stop(self) -> None:
        """End the process, and wait for it."""
        self._stopping.set()
        self.join(_STOP_S)


@contextmanager
def learner_beside(config: Path | None) -> Iterator[SideProcess | None]:
    """A learner process while the gateway runs, started again if it dies. None: no learner."""
    if config is None:
        yield None
        return
    with _running(SideProcess("learner", ("learn", "--beside", "--config", str(config)))) as found:
        yield found


@contextmanager
def watcher_beside(config: Path, collections: Path) -> Iterator[SideProcess]:
    """A process that keeps the collections in a folder in line with their files, from when there
    is one that takes from any."""
    command = ("collections", "sync", "--watch", "--beside", "--config", str(config))
    with _running(SideProcess("watcher", command, lambda: has_sources(collections))) as found:
        yield found


@contextmanager
def _running(process: SideProcess) -> Iterator[SideProcess]:
    process.start()
    try:
        yield process
    finally:
        process.stop()
