"""A real HTTP upstream on a free port, whose behaviour each test scripts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web

NO_KIND = "x/none"  # this content type is not sent

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedUpstream:
    """Hands each request to ``handler``; keeps what was sent to it."""

    def __init__(self) -> None:
        self.handler: Handler | None = None
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = asyncio.Event()
        self.base_url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        assert self.handler is not None, (
            f"{request.method} {request.raw_path}: nobody should ask yet"
        )
        try:
            return await self.handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.hung_up.set()
            raise

    def replies(
        self,
        body: bytes,
        status: int = 200,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        async def reply(request: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, content_type=kind, headers=headers)

        self.handler = reply

    def streams(
        self,
        pieces: list[bytes],
        then_wait: bool = False,
        kind: str | None = "text/event-stream",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Send the pieces one by one; with ``then_wait`` fall silent instead of ending."""

        async def reply(request: web.Request) -> web.StreamResponse:
            sent = {"Content-Type": kind or NO_KIND, **(headers or {})}
            response = web.StreamResponse(headers=sent)
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
                await asyncio.sleep(0)
            if then_wait:
                await asyncio.sleep(30)
            return response

        self.handler = reply


class SpeakingUpstream(ScriptedUpstream):
    """Answers on every path, and keeps which was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []
        self.asked: list[tuple[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.asked.append((request.method, request.raw_path))
        return await super().handle(request)


Upstream = TypeVar("Upstream", bound=ScriptedUpstream)


@asynccontextmanager
async def speaking() -> AsyncIterator[SpeakingUpstream]:
    """One that answers on every path."""
    async with _listening(SpeakingUpstream(), "/v1/{path:.*}") as scripted:
        yield scripted


@asynccontextmanager
async def running_upstream() -> AsyncIterator[ScriptedUpstream]:
    """One that answers calls, embeddings and what is asked about a response."""
    paths = ("/v1/chat/completions", "/v1/embeddings", "/v1/responses/{id}")
    async with _listening(ScriptedUpstream(), *paths) as scripted:
        yield scripted


@asynccontextmanager
async def _listening(scripted: Upstream, *paths: str) -> AsyncIterator[Upstream]:
    """The upstream, on a free port."""
    app = web.Application(client_max_size=100_000_000)
    app.on_response_prepare.append(_leave_out)
    for path in paths:
        app.router.add_route("*", path, scripted.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    scripted.base_url = f"http://{host}:{port}/v1"
    try:
        yield scripted
    finally:
        await runner.cleanup()


async def _leave_out(request: web.Request, response: web.StreamResponse) -> None:
    if response.headers.get("Content-Type") == NO_KIND:  # aiohttp would set one of its own
        del response.headers["Content-Type"]
