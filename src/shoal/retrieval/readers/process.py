"""The other end of ``child``: starts it, hands it files, ends it when one takes too long."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Lock, Timer
from types import TracebackType

from msgspec import DecodeError, msgpack

from shoal.errors import MissingExtra, ReadError
from shoal.retrieval.documents import Content
from shoal.retrieval.readers.wire import Order, Reply, receive, send

_STARTING_S = 30.0  # for the first file, beside its own time: the process has to import first


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
        is_new = self._process is None or self._process.poll() is not None
        process = self._start() if is_new else self._process
        assert process is not None
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            process.kill()

        timer = Timer(order.seconds + (_STARTING_S if is_new else 0), end)
        timer.daemon = True
        timer.start()
        try:
            reply = self._exchanged(process, order)
        except (ValueError, DecodeError) as error:
            reply = Reply(error=f"holds more text than is taken, or none at all ({error})")
        finally:
            timer.cancel()
            timer.join()  # or it might end the process while it reads the next file
        if reply is not None and not late:
            return reply
        code = self._end()
        if late or code == -getattr(signal, "SIGALRM", 0):  # its own alarm, if ours is not yet due
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

    def _start(self) -> subprocess.Popen[bytes]:
        self._end()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shoal.retrieval.readers.child", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        return self._process

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


def _environment() -> dict[str, str]:
    """Nothing of ours but where packages are: no key that a file could make a parser tell."""
    kept = {
        name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMPDIR") if name in os.environ
    }
    return kept | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",  # each would map 64 MB of what may be mapped
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
    }


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
