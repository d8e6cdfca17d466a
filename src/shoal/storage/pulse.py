"""The revision of a store on a server, as a thread of its own is told of it.

Whoever asks here, which an event loop does, never waits for the server.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from shoal.errors import StoreError
from shoal.storage.dialects import CHANNEL

_EVERY_S = 0.25  # between two questions where nothing is told, so that silence is noticed
_AGAIN_S = 0.5  # after a failure
_SILENT_S = 2.0  # for which the server may say nothing before that counts as a failure


class Pulse:
    """What the server last said of the revision; nothing is asked before somebody wants to know.

    Who changes the revision tells all who listen, which takes a millisecond or two.
    """

    def __init__(self, place: str, connect: Callable[[], Any], failures: type[Exception]) -> None:
        """``connect`` makes a connection that sees each change at once; what it and the connection
        raise are ``failures``."""
        self._place, self._connect, self._failures = place, connect, failures
        self._revision, self._at = 0, float("-inf")
        self._trouble = ""
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def revision(self) -> int:
        """The revision of a moment ago; waits for the server the first time only.

        Raises:
            StoreError: the server fails, or has said nothing for 2 s.
        """
        if self._thread is None:
            self._start()
        if self._trouble:
            raise StoreError(f"{self._place}: {self._trouble}")
        silent = time.monotonic() - self._at
        if silent > _SILENT_S:
            raise StoreError(f"{self._place}: the server has not answered for {silent:.0f} s")
        return self._revision

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_SILENT_S)  # a server that hangs must not keep a process from ending

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            try:
                with closing(self._connect()) as conn:
                    self._ask(conn)
            except self._failures as error:
                self._fail(error)
            self._thread = threading.Thread(target=self._run, name="shoal-pulse", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with closing(self._connect()) as conn:
                    conn.execute(f"LISTEN {CHANNEL}")
                    while not self._closing.is_set():
                        self._ask(conn)
                        for _ in conn.notifies(timeout=_EVERY_S, stop_after=1):
                            pass
            except self._failures as error:
                self._fail(error)
                self._closing.wait(_AGAIN_S)

    def _ask(self, conn: Any) -> None:
        (self._revision,) = conn.execute("SELECT revision FROM meta").fetchone()
        self._at = time.monotonic()
        self._trouble = ""

    def _fail(self, error: Exception) -> None:
        self._trouble = " ".join(str(error).split()) or type(error).__name__
