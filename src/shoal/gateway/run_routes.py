"""``/shoal/runs``: runs of plans and agents are begun, followed, decided, and ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shoal.errors import MalformedRequest, NotFound
from shoal.formats.json_text import no_collection
from shoal.formats.runs import (
    PATH,
    Begun,
    NewRun,
    Resumption,
    Settlement,
    Word,
    records_asked,
    runs_asked,
)
from shoal.formats.vector_stores import decode
from shoal.gateway.acts import replied
from shoal.gateway.body import read_body
from shoal.gateway.exchange import while_heard
from shoal.gateway.key_check import caller_of
from shoal.gateway.observer import Observer
from shoal.gateway.replies import header_text, json_reply
from shoal.gateway.run_desk import RunDesk
from shoal.routing.caller import Caller

R = TypeVar("R", bound=Struct)
Answer = Callable[[Request, Caller], Awaitable[object]]

RUN_ID = "x-shoal-run-id"
_ONE = f"{PATH}/{{run_id}}"
_SSE = "text/event-stream"
_UNBUFFERED = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class RunRoutes:
    """Reads requests, asks the desk, and tells what it says."""

    def __init__(self, desk: RunDesk | None, observer: Observer, max_body: int) -> None:
        self._kept, self._observer, self._max_body = desk, observer, max_body

    @property
    def _desk(self) -> RunDesk:
        if self._kept is None:
            raise NotFound("this gateway performs no runs")
        return self._kept

    def routes(self) -> list[Route]:
        """Every route."""
        told = self._endpoint
        return [
            Route(PATH, told("runs.begin", self._begin), methods=["POST"]),
            Route(PATH, told("runs.list", self._list)),
            Route(_ONE, told("runs.retrieve", self._get)),
            Route(_ONE, told("runs.cancel", self._cancel), methods=["DELETE"]),
            Route(f"{_ONE}/events", told("runs.events", self._events)),
            Route(f"{_ONE}/plan.svg", told("runs.drawing", self._drawing)),
            Route(f"{_ONE}/decisions", told("runs.decide", self._decide), methods=["POST"]),
            Route(f"{_ONE}/resume", told("runs.resume", self._resume), methods=["POST"]),
            Route(f"{_ONE}/settle", told("runs.settle", self._settle), methods=["POST"]),
        ]

    async def _begin(self, http: Request, caller: Caller) -> object:
        caller.require("call")
        new = await self._body(http, NewRun)
        if new.dry_run:
            return await self._desk.outline(new, caller)
        run_id = await self._desk.begin(new, caller)
        if new.stream or _SSE in http.headers.get("accept", ""):
            return self._streamed(http, run_id, caller, -1, False)
        if not new.wait:
            return _named(json_reply(Begun(run=run_id), 202), run_id)
        outcome = await while_heard(self._desk.outcome(run_id, caller), http.receive)
        return _named(Response(outcome, media_type="application/json"), run_id)

    async def _list(self, http: Request, caller: Caller) -> object:
        return await self._desk.list(runs_asked(http.query_params), caller)

    async def _get(self, http: Request, caller: Caller) -> object:
        after, limit = records_asked(http.query_params)
        return await self._desk.get(_run(http), caller, after, limit)

    async def _events(self, http: Request, caller: Caller) -> object:
        after, _ = records_asked(http.query_params)
        last = http.headers.get("last-event-id", "")
        if last.isdecimal() and len(last) < 16:  # a client that comes back says how far it is
            after = max(after, int(last))
        await self._desk.get(_run(http), caller, 0, 1)  # a 404 before anything is sent
        return self._streamed(http, _run(http), caller, after, True)

    async def _drawing(self, http: Request, caller: Caller) -> object:
        drawing = await self._desk.drawing(_run(http), caller)
        reply = Response(drawing, media_type="image/svg+xml")
        reply.headers["content-security-policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return reply

    async def _decide(self, http: Request, caller: Caller) -> object:
        await self._desk.decide(_run(http), await self._body(http, Word), caller)
        return _goes_on(http)

    async def _resume(self, http: Request, caller: Caller) -> object:
        await self._desk.resume(_run(http), await self._body(http, Resumption), caller)
        return _goes_on(http)

    async def _settle(self, http: Request, caller: Caller) -> object:
        await self._desk.settle(_run(http), await self._body(http, Settlement), caller)
        return _goes_on(http)

    async def _cancel(self, http: Request, caller: Caller) -> object:
        await self._desk.cancel(_run(http), caller)
        return {"run": _run(http), "state": "cancelled"}

    def _streamed(
        self, http: Request, run_id: str, caller: Caller, after: int, to_its_end: bool
    ) -> Response:
        events = self._desk.follow(run_id, caller, after, to_its_end)
        body = _until_stopped(events, http)
        return _named(StreamingResponse(body, media_type=_SSE, headers=_UNBUFFERED), run_id)

    async def _body(self, http: Request, kind: type[R]) -> R:
        body = await read_body(http, self._max_body)
        with no_collection():
            return decode(kind, body)

    def _endpoint(self, act: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def allowed(request: Request) -> object:
            caller = caller_of(request.scope)
            if "admin" not in caller.spec.scopes:
                caller.require("call")
            return await answer(request, caller)

        async def told(request: Request) -> Response:
            return await replied(allowed(request), partial(self._observer.did_run, act))

        return told


async def _until_stopped(events: AsyncIterator[bytes], http: Request) -> AsyncIterator[bytes]:
    """The events, until the server stops: the run, and another gateway, go on."""
    async for one in events:
        if one:
            yield one
        elif http.app.state.is_stopping():
            yield b": the gateway stops; ask another for the events after the last id\n\n"
            return


def _run(http: Request) -> str:
    run_id: str = http.path_params["run_id"]
    if len(run_id) > 100 or not run_id.isprintable():
        raise MalformedRequest("run_id: expected the id of a run", "run_id")
    return run_id


def _goes_on(http: Request) -> Response:
    return _named(json_reply(Begun(run=_run(http)), 202), _run(http))


def _named(reply: Response, run_id: str) -> Response:
    reply.headers[RUN_ID] = header_text(run_id)
    return reply
