"""Several gateway processes behind one socket, and the process that looks after them.

The parent binds the socket and hands it on; it answers no call, so little in it can fail. Each
worker is a ``shoal serve`` of its own, with its standard input as a tether: that ends when the
parent does, however it ends, and the worker stops too.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from shoal.cli.printing import say
from shoal.errors import ConfigError

log = logging.getLogger(__name__)

_LOOK_S = 0.05
_STOP_S = 25.0  # a worker gives its calls 10 s, then writes what is not written yet
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_STEADY_S = 60.0  # who has lived for so long is started again soon


class Seat:
    """What a worker is handed: the socket that all of them share, and how to say it is ready."""

    def __init__(self, text: str) -> None:
        """``text`` is the value of ``--worker``: two descriptors."""
        listener, ready = map(int, text.split(":"))
        self.listener = socket.socket(fileno=listener)
        self.listener.setblocking(False)
        self._ready = ready
        end = partial(os.kill, os.getpid(), signal.SIGTERM)
        threading.Thread(target=when_input_ends, args=(end,), daemon=True).start()

    def ready(self) -> None:
        """Tell the parent that calls are answered from now on."""
        os.write(self._ready, b"1")
        os.close(self._ready)


def when_input_ends(then: Callable[[], object]) -> None:
    """Wait for the end of standard input, and call ``then``.

    Not by ``sys.stdin``, whose lock this thread would still hold when the interpreter ends.
    """
    while os.read(0, 4096):
        pass
    then()


class Crew:
    """Keeps ``count`` workers running until a signal stops them."""

    def __init__(
        self, config: Path, count: int, listener: socket.socket, reload: Callable[[], bool]
    ) -> None:
        """``reload`` says whether workers are to read the settings again."""
        self._workers = [_Worker(number + 1, config, listener) for number in range(count)]
        self._reload = reload
        self._stopping = self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._ask)

    def run(self, greeting: str) -> None:
        """Start all workers, say ``greeting`` when they are ready, and start those again that die.

        Raises:
            ConfigError: one cannot start; what it said stands in the log.
        """
        try:
            for worker in self._workers:
                worker.start()
            while not self._stopping and not all(worker.ready for worker in self._workers):
                self._look(first=True)
            if not self._stopping:
                say(greeting)
            while not self._stopping:
                self._look(first=False)
        finally:
            self._end()

    def _look(self, first: bool) -> None:
        asked, self._asked = self._asked, False
        if asked and self._reload():
            for worker in self._workers:
                worker.reload()
        for worker in self._workers:
            if worker.look() and first:
                raise ConfigError(f"worker {worker.number} cannot start; it said why above")
        time.sleep(_LOOK_S)

    def _end(self) -> None:
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + _STOP_S
        for worker in self._workers:
            worker.wait(max(0.0, deadline - time.monotonic()))

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _ask(self, *_: object) -> None:
        self._asked = True


class _Worker:
    """One worker process, and when to start it again."""

    def __init__(self, number: int, config: Path, listener: socket.socket) -> None:
        self.number, self._listener = number, listener.fileno()
        self._command = [sys.executable, "-m", "shoal", "serve", "--no-learn"]
        self._command += ["--config", str(config), "--worker"]
        self._process: subprocess.Popen[bytes] | None = None
        self._told = -1  # where it says that it is ready; -1 once it has, or is gone
        self._to_reload = False
        self._started = self._again_at = 0.0
        self._pause = _PAUSE_S
        self.ready = False

    def start(self) -> None:
        """Start the process."""
        self._told, ready = os.pipe()
        os.set_blocking(self._told, False)
        self._process = subprocess.Popen(
            [*self._command, f"{self._listener}:{ready}"],
            stdin=subprocess.PIPE,
            pass_fds=(self._listener, ready),
            start_new_session=True,  # what a terminal sends is for the parent alone
        )
        os.close(ready)
        self._started = time.monotonic()

    def look(self) -> bool:
        """Whether it has ended without having been ready; starts it again when that is due."""
        if self._process is None:
            if time.monotonic() >= self._again_at:
                self.start()
            return False
        status = self._process.poll()
        if status is None:
            self._listen()
            return False
        self._listen()  # it may have been ready since the last look
        was_ready = self.ready
        self._ended(status)
        return not was_ready

    def reload(self) -> None:
        """Have it read the settings again: now, or, if it only starts, when it is ready."""
        if self._process is not None and self.ready:
            self._process.send_signal(signal.SIGHUP)
        else:
            self._to_reload = True

    def terminate(self) -> None:
        """Have it end its calls and stop."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end, and make one if that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.error("worker %d does not stop and is killed", self.number)
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        if self._told < 0:
            return
        try:
            said = os.read(self._told, 1)
        except BlockingIOError:
            return
        self._hang_up()
        self.ready = said == b"1"
        if self.ready and self._to_reload:
            self._to_reload = False
            self.reload()

    def _ended(self, status: int) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process, self.ready = None, False
        self._hang_up()
        now = time.monotonic()
        if now - self._started > _STEADY_S:
            self._pause = _PAUSE_S
        again = f"starting again in {self._pause:g} s"
        log.warning("worker %d ended with status %d: %s", self.number, status, again)
        self._again_at = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)

    def _hang_up(self) -> None:
        if self._told >= 0:
            os.close(self._told)
            self._told = -1
