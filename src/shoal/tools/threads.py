"""Blocking work beside the event loop.

A thread cannot be stopped, so each is a daemon: one that hangs keeps its place among the few that
are allowed, but neither the loop nor the end of the process waits for it.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """At most ``most`` threads at work; further work waits for one to end."""

    def __init__(self, most: int = 8) -> None:
        self._slots = asyncio.Semaphore(most)

    async def run(self, work: Callable[[], T], stop: Callable[[], None] | None = None) -> T:
        """What ``work`` returns or raises. If this is cancelled, ``stop`` is called, which must not
        block, and the thread is left to end by itself."""
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def told(result: T | None, error: BaseException | None) -> None:
            self._slots.release()
            if future.done():  # nobody waits any more
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

        def body() -> None:
            result, error = None, None
            try:
                result = context.run(work)
            except BaseException as raised:  # noqa: BLE001  # told to who waits
                # A StopIteration cannot be the exception of a future, nor an exit that of a task.
                odd = isinstance(raised, StopIteration) or not isinstance(raised, Exception)
                error = RuntimeError(type(raised).__name__) if odd else raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(told, result, error)

        threading.Thread(target=body, daemon=True, name="shoal-tool").start()
        try:
            return await future
        except asyncio.CancelledError:
            if stop is not None:
                stop()
            raise
