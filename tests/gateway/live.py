"""A gateway on a free port, over a desk that keeps what it was told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fake_keys import FakeKeys

from shoal.chat import Answer, Request
from shoal.engines import Engine
from shoal.errors import NotFound, ShoalError, UnknownModel
from shoal.formats.embeddings import EmbeddingRequest
from shoal.formats.responses.kept import AskedResponse
from shoal.gateway import GatewayOptions, create_app
from shoal.gateway.desk import Desk
from shoal.gateway.key_desk import KeyDesk
from shoal.gateway.run_desk import RunDesk
from shoal.gateway.server import listen, new_server, serve_on
from shoal.gateway.store_desk import StoreDesk
from shoal.gateway.tracing import Tracer
from shoal.routing.caller import Caller
from shoal.routing.health import Health
from shoal.routing.receipt import Receipt, Served, ServedEmbeddings, ServedReply


class FakeDesk:
    """Serves each model by the engine of that name, and remembers the calls."""

    def __init__(self, *engines: Engine) -> None:
        self.engines = {engine.name: engine for engine in engines}
        self.finished: list[tuple[Served, Answer, str]] = []
        self.failures: list[tuple[Request, str, ShoalError]] = []
        self.feedbacks: list[tuple[str, str, str]] = []
        self.episodes: list[str] = []
        self.callers: list[Caller] = []
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.whole_only = False
        self.reason = "no specialist yet"
        self.healthy = Health(True, {"store": "ok"})
        self.recorded = asyncio.Event()

    def models(self, caller: Caller) -> Sequence[str]:
        return list(self.engines)

    async def serve(self, request: Request, episode: str, caller: Caller) -> Served:
        self.episodes.append(episode)
        self.callers.append(caller)
        if request.model not in self.engines:
            raise UnknownModel(f"there is no model {request.model!r}", "model")
        engine = self.engines[request.model]
        receipt = Receipt(
            call_id=f"call-{len(self.episodes)}",
            at=time.time(),
            llm=engine.name,
            answered_by=engine.name,
            reason=self.reason,
            task="größe\r\nx-evil: 1",
            episode=episode,
        )
        if request.stream and not self.whole_only:
            return Served(receipt, stream=await engine.stream(request))
        return Served(receipt, answer=await engine.answer(request))

    async def finish(self, served: Served, answer: Answer, error: str) -> Receipt:
        await self.may_finish.wait()
        self.finished.append((served, answer, error))
        self.recorded.set()
        return served.receipt

    async def failed(
        self, request: Request, episode: str, caller: Caller, error: ShoalError, began: float
    ) -> Receipt:
        self.failures.append((request, episode, error))
        return Receipt(f"failed-{len(self.failures)}", time.time(), request.model, "", "no answer")

    async def embed(
        self, request: EmbeddingRequest, call_id: str, caller: Caller
    ) -> ServedEmbeddings:
        raise UnknownModel(f"there is no model {request.model!r}", "model")

    async def count_tokens(self, request: Request, caller: Caller) -> ServedReply:
        raise UnknownModel(f"there is no model {request.model!r}", "model")

    async def response(self, asked: AskedResponse, caller: Caller) -> ServedReply:
        raise NotFound(f"Response with id {asked.id!r} not found")

    async def call(self, call_id: str, why: bool = False) -> bytes:
        for served, answer, error in self.finished:
            if served.receipt.call_id == call_id:
                told = {"id": call_id, "text": answer.text, "error": error}
                return json.dumps(told | ({"why": True} if why else {})).encode()
        raise NotFound(f"there is no call {call_id!r}")

    async def feedback(self, call_id: str, verdict: str, answer: str, caller: Caller) -> None:
        await self.call(call_id)
        self.feedbacks.append((call_id, verdict, answer))

    def health(self) -> Health:
        return self.healthy


@asynccontextmanager
async def running_gateway(
    desk: Desk,
    keys: KeyDesk | None = None,
    stop_within_s: int = 10,
    tracer: Tracer | None = None,
    stores: StoreDesk | None = None,
    runs: RunDesk | None = None,
    **options: object,
) -> AsyncIterator[str]:
    """The gateway's address while it runs; without ``keys``, nobody needs one."""
    chosen = GatewayOptions.model_validate({"port": 0, **options})
    listener = listen(chosen)
    app = create_app(desk, chosen, keys or FakeKeys(), tracer, stores, runs=runs)
    server = new_server(app, stop_within_s)
    running = asyncio.create_task(serve_on(server, listener))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await running
