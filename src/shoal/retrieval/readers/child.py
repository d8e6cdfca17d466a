"""The process in which files from strangers are opened: reads orders, writes replies.

It may take a bounded amount of memory, write no file, and dies by an alarm if a file takes longer
than it may, even when nobody is left who would end it.
"""

import os
import signal
import sys
from typing import IO

from msgspec import msgpack

from shoal.errors import MissingExtra, ReadError
from shoal.retrieval.readers.parsing import parse
from shoal.retrieval.readers.wire import Order, Reply, receive, send

_GRACE_S = 5.0  # after which the alarm goes off, if the parent has not ended us


def main(memory_bytes: int) -> None:
    """Read orders from the standard input until it ends."""
    orders, replies = _streams()
    _limit(memory_bytes)
    send(replies, Reply())  # that we are ready
    while body := receive(orders):
        order = msgpack.decode(body, type=Order)
        del body
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, order.seconds + _GRACE_S)
        reply = _reply(order)
        try:
            send(replies, reply)
        except MemoryError:
            send(replies, Reply(error="needs more memory to read than it may take"))
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """Pipes of our own: what a parser prints must not get into the replies."""
    orders, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return orders, replies


def _limit(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the time limit and the size limits are left
        return
    wanted = [(resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_FSIZE, 0)]
    for limit, most in [*wanted, (resource.RLIMIT_CORE, 0)]:
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(limit, (most, most))
        except (ValueError, OSError):  # macOS refuses some: the others are left
            continue


def _reply(order: Order) -> Reply:
    try:
        return Reply(parse(order.kind, order.data, order.most))
    except ReadError as error:
        return Reply(error=str(error))
    except MissingExtra as error:
        return Reply(error=str(error), extra=error.extra)
    except MemoryError:
        return Reply(error="needs more memory to read than it may take")
    except Exception as error:  # noqa: BLE001 - parsers of all kinds meet all kinds of bytes
        return Reply(error=f"is damaged: {type(error).__name__}: {error}"[:300])


if __name__ == "__main__":
    main(int(sys.argv[1]))
