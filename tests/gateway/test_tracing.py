"""Spans of calls, as a collector gets them: real clients, a running gateway, OTLP over HTTP."""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aiohttp
import anthropic
import openai
import pytest
from aiohttp import web
from live import FakeDesk, running_gateway
from scripted_upstream import ScriptedUpstream

from otlp_receiver import Received, Receiver, running_receiver
from ports import free_port
from shoal import __version__
from shoal.assembly import Models, Regime, Shoal
from shoal.chat import Request
from shoal.engines import EchoOptions, RemoteOptions
from shoal.errors import ConfigError, MissingExtra
from shoal.gateway import TracingOptions, open_tracer
from shoal.gateway.desk import Desk
from shoal.gateway.ended import Asked, Ended
from shoal.gateway.spans import Span
from shoal.gateway.trace_parent import TraceParent
from shoal.gateway.tracing import Tracer
from shoal.routing.caller import ANYBODY
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import Receipt
from shoal.storage import Store, StoreOptions

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
ASKED = [{"role": "user", "content": "a secret"}]
REPLY = (
    b'{"id":"chatcmpl-up","object":"chat.completion","created":1,"model":"up-2026",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"a secret"},'
    b'"finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":5,'
    b'"total_tokens":14,"prompt_tokens_details":{"cached_tokens":4},'
    b'"completion_tokens_details":{"reasoning_tokens":3}}}'
)
CHUNK = (
    b'data: {"id":"chatcmpl-st","object":"chat.completion.chunk","created":1,"model":"up-2026",'
    b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}\n\n'
)
PIECES = [
    b": hello\n\n",
    CHUNK % (b'{"role":"assistant","content":"a "}', b"null"),
    CHUNK % (b'{"content":"secret"}', b"null"),
    CHUNK % (b"{}", b'"stop"'),
    b"data: [DONE]\n\n",
]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "HEADERS", "TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@asynccontextmanager
async def traced(
    desk: Desk, endpoint: str | None, sample: float = 1.0
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of a gateway that traces; what was told is with the collector afterwards."""
    options = TracingOptions(sample=sample, endpoint=endpoint)
    async with (
        open_tracer(options) as tracer,
        running_gateway(desk, tracer=tracer) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


async def test_a_plain_call(desk: FakeDesk, upstream: ScriptedUpstream, receiver: Receiver) -> None:
    upstream.replies(REPLY)
    before = time.time()
    async with traced(desk, receiver.url) as client:
        answer = await client.chat.completions.create(
            model="remote",
            messages=ASKED,  # type: ignore[arg-type]
            response_format={"type": "json_object"},
            extra_headers={"x-shoal-episode": "morning"},
        )
        after = time.time()
    (span,) = receiver.spans
    assert (span.name, span.kind, span.parent_id, span.failed) == (
        "chat remote",
        "CLIENT",
        "",
        False,
    )
    assert before <= span.start <= span.end <= after
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "remote",
        "gen_ai.conversation.id": "morning",
        "gen_ai.output.type": "json",
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": "up-2026",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "shoal.call_id": "call-1",
        "shoal.answered_by": "remote",
        "shoal.reason": "no specialist yet",
        "shoal.format": "chat",
    }
    assert span.attributes | expected == span.attributes
    assert 0 < float(str(span.attributes["shoal.overhead_ms"])) < 1_000
    assert span.resource["service.name"] == "shoal"
    assert span.resource["service.version"] == __version__
    assert isinstance(span.resource["process.pid"], int)
    assert b"secret" not in b"".join(receiver.bodies)


async def test_a_streamed_call_lasts_until_its_end(
    desk: FakeDesk, upstream: ScriptedUpstream, receiver: Receiver
) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in PIECES:
            await response.write(piece)
            await asyncio.sleep(0.05)
        return response

    upstream.handler = slowly
    async with traced(desk, receiver.url) as client:
        stream = await client.chat.completions.create(model="remote", messages=ASKED, stream=True)  # type: ignore[call-overload]
        chunks = [chunk async for chunk in stream]
    (span,) = receiver.spans
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.id"] == chunks[0].id == "chatcmpl-st"
    assert span.attributes["gen_ai.response.model"] == "up-2026"
    assert span.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert "gen_ai.usage.input_tokens" not in span.attributes  # nobody counted
    assert span.end - span.start >= 0.2
    assert b"secret" not in b"".join(receiver.bodies)


async def test_other_formats(desk: FakeDesk, receiver: Receiver) -> None:
    async with traced(desk, receiver.url) as client:
        root = str(client.base_url).removesuffix("/v1/")
        async with anthropic.AsyncAnthropic(base_url=root, api_key="none") as other:
            message = await other.messages.create(model="echo", messages=ASKED, max_tokens=9)  # type: ignore[arg-type]
            events = await other.messages.create(
                model="echo",
                messages=ASKED,  # type: ignore[arg-type]
                max_tokens=9,
                stream=True,
            )
            started, *_ = [event async for event in events]
        response = await client.responses.create(model="echo", input="a secret")
    told = {str(s.attributes["gen_ai.response.id"]): s for s in receiver.spans}
    assert started.type == "message_start"
    assert list(told) == [message.id, started.message.id, response.id]
    formats = [span.attributes["shoal.format"] for span in told.values()]
    assert formats == ["messages", "messages", "responses"]


async def test_errors(desk: FakeDesk, upstream: ScriptedUpstream, receiver: Receiver) -> None:
    create_of = openai.resources.chat.AsyncCompletions.create
    refusal = b'{"error":{"message":"not this: a secret","code":"rate_limit_exceeded"}}'
    async with traced(desk, receiver.url) as client:
        completions = client.chat.completions
        with pytest.raises(openai.NotFoundError):
            await create_of(completions, model="nobody", messages=ASKED)  # type: ignore[arg-type]
        upstream.replies(refusal, 429)
        with pytest.raises(openai.RateLimitError):
            await create_of(completions, model="remote", messages=ASKED)  # type: ignore[arg-type]
        upstream.replies(b"a secret that is no JSON")
        with pytest.raises(openai.InternalServerError):
            await create_of(completions, model="remote", messages=ASKED)  # type: ignore[arg-type]
        upstream.streams(PIECES[:2])
        stream = await create_of(completions, model="remote", messages=ASKED, stream=True)  # type: ignore[call-overload]
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="nobody", input="a secret")
    told = [(span.name, span.attributes["error.type"]) for span in receiver.spans]
    assert told == [
        ("chat", "model_not_found"),
        ("chat remote", "429"),
        ("chat remote", "upstream_unreachable"),
        ("chat remote", "upstream_unreachable"),
        ("embeddings", "model_not_found"),
    ]
    assert all(span.failed and not span.said for span in receiver.spans)
    assert b"secret" not in b"".join(receiver.bodies)


async def test_a_caller_that_hangs_up(
    desk: FakeDesk, upstream: ScriptedUpstream, receiver: Receiver
) -> None:
    upstream.streams(PIECES[:2], then_wait=True)
    async with traced(desk, receiver.url) as client:
        stream = await client.chat.completions.create(model="remote", messages=ASKED, stream=True)  # type: ignore[call-overload]
        async for _ in stream:
            break
        await stream.close()
        await asyncio.wait_for(desk.recorded.wait(), 5)
    (span,) = receiver.spans
    assert span.attributes["error.type"] == "client_closed_request"
    assert span.attributes["gen_ai.response.id"] == "chatcmpl-st"


async def test_a_sampled_caller_is_the_parent_however_small_the_share(
    desk: FakeDesk, receiver: Receiver
) -> None:
    async with traced(desk, receiver.url, sample=1e-9) as client:
        for parent in (SAMPLED, UNSAMPLED, ""):
            headers = {"traceparent": parent} if parent else {}
            await client.chat.completions.create(
                model="echo", messages=ASKED, extra_headers=headers
            )  # type: ignore[arg-type]
    (span,) = receiver.spans
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
    assert span.attributes["shoal.call_id"] == "call-1"


async def test_a_caller_that_is_not_sampled_is_not_traced_however_large_the_share(
    desk: FakeDesk, receiver: Receiver, http: aiohttp.ClientSession
) -> None:
    async with traced(desk, receiver.url) as client:
        for parents in ([UNSAMPLED], ["nonsense"], [SAMPLED, SAMPLED], []):
            headers = [("traceparent", parent) for parent in parents]
            url, body = f"{client.base_url}chat/completions", {"model": "echo", "messages": ASKED}
            async with http.post(url, json=body, headers=headers) as reply:
                assert reply.status == 200
    calls = [span.attributes["shoal.call_id"] for span in receiver.spans]
    assert calls == ["call-2", "call-3", "call-4"]
    assert not any(span.parent_id for span in receiver.spans)
    assert len({span.trace_id for span in receiver.spans}) == 3


async def test_who_was_asked(
    tmp_path: Path, upstream: ScriptedUpstream, receiver: Receiver
) -> None:
    """Over the whole of Shoal: a model that cannot be reached, and one that stands in for it."""
    up = RemoteOptions(engine="remote", base_url=upstream.base_url, provider="mistral")
    gone = up.model_copy(
        update={"base_url": f"http://127.0.0.1:{free_port()}/v1", "fallback": ("up",)}
    )
    models = Models.open({"gone": gone, "up": up, "echo": EchoOptions(engine="echo")})
    upstream.replies(REPLY)
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        async with (
            Shoal(store, Regime(models, {}, PromiseOptions())) as desk,
            traced(desk, receiver.url) as client,
        ):
            await client.chat.completions.create(model="gone", messages=ASKED)  # type: ignore[arg-type]
            upstream.replies(
                b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],'
                b'"model":"up","usage":{"prompt_tokens":7,"total_tokens":7}}'
            )
            await client.embeddings.create(model="up", input="a secret")
    chat, embeddings = receiver.roots
    assert (chat.name, chat.failed) == ("chat gone", False)
    assert chat.attributes["gen_ai.provider.name"] == "mistral_ai"
    assert chat.attributes["shoal.answered_by"] == "up"
    first, second = receiver.within(chat)
    assert (first.name, first.kind, first.failed) == ("ask gone", "CLIENT", True)
    assert first.attributes["error.type"] == "upstream_unreachable"
    assert (second.name, second.failed, second.attributes["shoal.accepted"]) == (
        "ask up",
        False,
        True,
    )
    within(chat, first, second)
    assert embeddings.name == "embeddings up"
    assert embeddings.attributes["gen_ai.usage.input_tokens"] == 7
    assert embeddings.attributes["gen_ai.provider.name"] == "mistral_ai"
    assert b"secret" not in b"".join(receiver.bodies)


def within(root: Received, *inner: Received) -> None:
    """One after the other, each within the call, to the millisecond."""
    times = [root.start, *(at for span in inner for at in (span.start, span.end)), root.end]
    assert all(later - earlier > -0.001 for earlier, later in pairwise(times))
    assert {span.trace_id for span in inner} == {root.trace_id}


class Kept:
    """Keeps the spans that it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[Span, TraceParent | None]] = []

    def take(self, span: Span, parent: TraceParent | None) -> None:
        self.taken.append((span, parent))

    def close(self) -> None:
        pass


def call(traceparent: str = "") -> Ended:
    asked = Asked(Request("gpt", ()), ANYBODY, "", traceparent, time.perf_counter())
    return Ended("chat", asked, Receipt("c", 0.0, "gpt", "gpt", "why"), None, None, 0.1)


def test_the_share_is_kept() -> None:
    kept = Kept()
    tracer = Tracer(0.2, kept)
    for _ in range(5_000):
        tracer.ended(call())
    assert 800 < len(kept.taken) < 1_200  # seven standard deviations


@pytest.mark.parametrize("parent", ["", UNSAMPLED, "nonsense"])
def test_what_is_not_sampled_is_not_told(parent: str) -> None:
    kept = Kept()
    tracer = Tracer(1e-12, kept)
    for _ in range(100):
        tracer.ended(call(parent))
    assert kept.taken == []


async def test_off_is_off(desk: FakeDesk, http: aiohttp.ClientSession) -> None:
    async with open_tracer(TracingOptions(endpoint="http://127.0.0.1:9")) as tracer:
        assert tracer is None
        async with (
            running_gateway(desk, tracer=tracer) as url,
            http.post(
                f"{url}/v1/chat/completions",
                json={"model": "echo", "messages": ASKED},
                headers={"traceparent": SAMPLED},
            ) as reply,
        ):
            assert reply.status == 200


async def test_a_collector_that_is_gone_delays_nobody(
    desk: FakeDesk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    caplog.set_level(logging.INFO)
    async with traced(desk, f"http://127.0.0.1:{free_port()}") as client:
        for _ in range(20):
            await client.chat.completions.create(model="echo", messages=ASKED)  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while not told(caplog):
                await client.chat.completions.create(model="echo", messages=ASKED)  # type: ignore[arg-type]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert "Connection refused" in told(caplog)[0]
    assert len(told(caplog)) <= 4


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "shoal.gateway.otlp"]


async def test_a_collector_that_says_nothing_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More spans than the queue takes; then the gateway stops."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1000")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = TracingOptions(sample=1, endpoint=endpoint)
        async with open_tracer(options) as tracer:
            assert tracer is not None
            slowest = 0.0
            for _ in range(3_000):
                before = time.perf_counter()
                tracer.ended(call())
                slowest = max(slowest, time.perf_counter() - before)
            began = time.monotonic()
    assert time.monotonic() - began < 5
    assert slowest < 1
    said = told(caplog)
    assert sum("Queue full" in line for line in said) == 1
    assert "spans were not all sent within 3 s" in said[-1]


async def test_the_environment_says_where_and_who(
    desk: FakeDesk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=fish")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with traced(desk, None) as client:
        await client.chat.completions.create(model="echo", messages=ASKED)  # type: ignore[arg-type]
    (span,) = receiver.spans
    assert span.resource["service.name"] == "front"
    assert span.resource["service.version"] == __version__
    assert span.resource["deployment.environment.name"] == "test"
    assert receiver.headers[0]["x-team"] == "fish"


async def test_a_variable_that_is_wrong_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(ConfigError, match=r"^tracing: an environment variable OTEL_…: max_queue"):
        async with open_tracer(TracingOptions(sample=0.5)):
            pass


async def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "shoal.gateway.otlp", None)
    with pytest.raises(MissingExtra, match=r"tracing\.sample.*'shoal\[otel\]'"):
        async with open_tracer(TracingOptions(sample=0.5)):
            pass
