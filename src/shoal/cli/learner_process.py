"""The learner that runs beside a gateway."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_STOP_S = 15.0
_AGAIN_S = 5.0
_LOOK_S = 0.2


class LearnerProcess(threading.Thread):
    """Keeps a learner process running."""

    def __init__(self, config: Path) -> None:
        super().__init__(name="shoal-learner", daemon=True)
        self._command = [
            sys.executable,
            "-m",
            "shoal",
            "learn",
            "--beside",
            "--config",
            str(config),
        ]
        self._stopping, self._anew = threading.Event(), threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._anew.clear()
            # Its input closes when this process ends, however it ends; then it stops too.
            with subprocess.Popen(self._command, stdin=subprocess.PIPE) as process:
                while process.poll() is None and not self._stopping.wait(_LOOK_S):
                    if self._anew.is_set():
                        break
                process.terminate()
            if not self._anew.is_set() and not self._stopping.wait(_AGAIN_S):
                log.warning("the learner ended with status %s: starting again", process.returncode)

    def start_anew(self) -> None:
        """End the process and start another, which reads the settings again."""
        self._anew.set()

    def stop(self) -> None:
        """End the process, and wait for it."""
        self._stopping.set()
        self.join(_STOP_S)


@contextmanager
def learner_beside(config: Path | None) -> Iterator[LearnerProcess | None]:
    """A learner process while the gateway runs, started again if it dies. None: no learner."""
    if config is None:
        yield None
        return
    learner = LearnerProcess(config)
    learner.start()
    try:
        yield learner
    finally:
        learner.stop()
