"""The other end of ``child``: starts it, hands it files, ends it when one takes too long."""

import os
import subprocess
import sys
from contextlib import suppress
from threading import Lock, Timer
from types import TracebackType

from msgspec import DecodeError, msgpack

from shoal.errors import MissingExtra, NotReadNow, ReadError
from shoal.retrieval.documents import Content
from shoal.retrieval.readers.wire import Order, Reply, receive, send

_NOT_STARTED = "cannot be read now: the process that opens files did not start"
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMPDIR")
_STARTING_S = 60.0  # of a process that has to import first, on a busy machine


class Child:
    """A process that opens files, alive between them and started again when one ended it.

    ``memory_bytes`` is all that it may map (where the system can limit that), ``reply_bytes`` the
    longest content that is taken from it. It sees nothing of our environment but where Python and
    its packages are. Safe to share between threads; they wait for each other.
    """

    def __init__(self, memory_bytes: int, reply_bytes: int) -> None:
        self._memory, self._most = memory_bytes, reply_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def read(self, order: Order) -> Content:
        """The content; raises ``ReadError`` (which does not name the file) or ``MissingExtra``."""
        with self._lock:
            reply = self._asked(order)
        if reply.content is not None:
            return reply.content
        if reply.extra:
            raise MissingExtra(reply.extra, reply.error.partition(" needs an optional")[0])
        raise ReadError(reply.error)

    def close(self) -> None:
        """End the process; a later file starts another."""
        with self._lock:
            self._end()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _asked(self, order: Order) -> Reply:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        with _Deadline(process, order.seconds) as deadline:
            try:
                reply = self._exchanged(process, order)
            except (ValueError, DecodeError) as error:
                reply = Reply(error=f"holds more text than is taken, or none at all ({error})")
        if reply is not None and not deadline.is_over:
            return reply
        code = self._end()
        if deadline.is_over:
            return reply or Reply(error=f"was given up: not read after {order.seconds:g} s")
        return Reply(error=f"ended the process that read it ({_told(code)}); it is left out")

    def _exchanged(self, process: "subprocess.Popen[bytes]", order: Order) -> Reply | None:
        """What comes back for an order; None if the process died over it."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, order)
            body = receive(process.stdout, self._most)
            if body:
                return msgpack.decode(body, type=Reply)
        except (OSError, EOFError):  # it died while we wrote or read
            pass
        except (ValueError, DecodeError):
            process.kill()  # what is left in the pipe belongs to no reply
            raise
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)  # it has closed its pipe: let it end by itself, and tell how
        return None

    def _start(self) -> "subprocess.Popen[bytes]":
        """A new process, once it has told that it is ready. Raises ``NotReadNow`` if it does
        not."""
        self._end()
        try:
            self._process = process = self._opened()
        except OSError as error:
            raise NotReadNow(f"{_NOT_STARTED}: {error}") from error
        assert process.stdout is not None
        with _Deadline(process, _STARTING_S):
            try:
                is_ready = bool(receive(process.stdout))
            except (EOFError, OSError):
                is_ready = False
        if not is_ready:
            most = f"it may take {self._memory / 1e6:,.0f} MB of memory"
            raise NotReadNow(f"{_NOT_STARTED}: {_told(self._end())}; {most}")
        return process

    def _opened(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "shoal.retrieval.readers.child", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )

    def _end(self) -> int:
        """End the process if there is one; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        ended = process.poll()
        if ended is None:
            process.kill()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not yet written has nowhere to go
                if stream:
                    stream.close()
        return process.wait() if ended is None else ended


class _Deadline:
    """Ends a process that is not done with something in so many seconds."""

    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        self.is_over = False
        self._process = process
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self.is_over = True
        self._process.kill()

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()  # or it might end the process while it reads the next file


def _environment() -> dict[str, str]:
    """Nothing of ours but where packages are: no key that a file could make a parser tell."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",  # each would map 64 MB of what may be mapped
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
    }


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
