"""Runs what the routes of files and vector stores ask, and tells the observer how it ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from shoal.errors import GatewayStopped, NotFound, ShoalError, kind_of
from shoal.gateway.observer import Observer
from shoal.gateway.replies import json_reply
from shoal.gateway.store_desk import StoreDesk

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4
Answer = Callable[[Request], Awaitable[object]]


class Acts:
    """What may wait is asked in a few threads of its own, so that it holds up nothing else."""

    def __init__(self, desk: StoreDesk | None, observer: Observer) -> None:
        self._desk, self._observer = desk, observer
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shoal-stores")

    @property
    def desk(self) -> StoreDesk:
        """Who is asked.

        Raises:
            NotFound: nobody keeps any here.
        """
        if self._desk is None:
            raise NotFound("this gateway keeps neither files nor vector stores")
        return self._desk

    async def ask(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` returns, done in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def endpoint(self, act: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """A route's endpoint: replies with what ``answer`` returns."""

        async def told(request: Request) -> Response:
            return await replied(answer(request), partial(self._observer.did, act))

        return told


async def replied(answer: Awaitable[object], did: Callable[[str, float], None]) -> Response:
    """The reply of what an answer is; ``did`` hears of the error, "" for none, and the seconds.

    Raises:
        GatewayStopped: the server stops, and has waited for long enough.
    """
    began = time.perf_counter()
    error = "internal_error"
    try:
        reply = await answer
        error = ""
    except ShoalError as failed:
        error = kind_of(failed)
        raise
    except asyncio.CancelledError:
        stopped = GatewayStopped("the gateway was stopped before that was done; ask again")
        error = kind_of(stopped)
        raise stopped from None
    finally:
        did(error, time.perf_counter() - began)
    return reply if isinstance(reply, Response) else json_reply(reply)
