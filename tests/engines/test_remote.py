"""A remote endpoint: what it may do wrong, and what never leaves Shoal."""

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from scripted_upstream import ScriptedUpstream

from shoal.chat import AnswerStream, Request
from shoal.engines import NeverAsked, RemoteOptions
from shoal.engines.remote import RemoteEngine
from shoal.errors import (
    ConfigError,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
)
from shoal.formats.chat_completions import decode_request

KEY = "sk-a-key-that-nobody-may-see"
ASKED = b'{ "model":"small","messages":[{"role":"user","content":"hi"}],"unheard_of":1.50 }'
STREAMED = ASKED.replace(b" }", b',"stream":true}')
REPLY = b'{"choices":[{"message":{"content":"ho"}}], "odd":1.50}'
CHUNKS = [
    b'data: {"choices":[{"index":0,"delta":{"content":"h"}}]}\n\n',
    b': keep-alive\n\ndata: {"choices":[{"index":0,"delta":{"content":"o"}}]}\r\n\r\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
]
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
async def engine(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RemoteEngine]:
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    opened = RemoteEngine(
        "small",
        RemoteOptions(
            engine="remote",
            base_url=upstream.base_url,
            key_env="UPSTREAM_KEY",
            timeout_s=0.3,
            max_reply_mb=0.01,
            retries=0,
        ),
    )
    yield opened
    await opened.aclose()


def asked(body: bytes = ASKED) -> Request:
    return decode_request(body)


async def pieces(engine: RemoteEngine) -> list[bytes]:
    return [piece.raw async for piece in await engine.stream(asked(STREAMED))]


async def said(engine: RemoteEngine) -> str:
    """The text of a stream, whether or not its pieces hold bytes."""
    stream = await engine.stream(asked(STREAMED))
    found = [delta.text async for piece in stream for delta in piece.deltas]
    return "".join(found)


async def take(stream: AnswerStream, passed: list[bytes]) -> None:
    async for piece in stream:
        passed.append(piece.raw)  # what came before it raises counts


async def failure(engine: RemoteEngine, kind: type[EngineError]) -> str:
    """The text of the error that both ways of asking end in, traceback and all."""
    texts = []
    for ask in (lambda: engine.answer(asked()), lambda: pieces(engine)):
        with pytest.raises(kind) as caught:
            await ask()
        texts.append("".join(traceback.format_exception(caught.value)))
        assert KEY not in texts[-1] + repr(vars(caught.value))
    return texts[0]


async def test_bytes_go_through_untouched(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    upstream.replies(REPLY)
    answer = await engine.answer(asked())
    assert upstream.bodies == [ASKED]
    assert (answer.text, answer.body) == ("ho", REPLY)
    assert upstream.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert upstream.headers[0]["Content-Type"] == "application/json"


async def test_the_upstream_has_its_own_name_for_the_model(upstream: ScriptedUpstream) -> None:
    upstream.replies(REPLY)
    options = RemoteOptions(engine="remote", base_url=upstream.base_url, model="org/big-1")
    engine = RemoteEngine("big", options)
    await engine.answer(asked())
    await engine.aclose()
    assert upstream.bodies == [ASKED.replace(b"small", b"org/big-1")]
    assert "Authorization" not in upstream.headers[0]


async def test_streams_go_through_untouched(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    whole = b"".join([*CHUNKS, USAGE, DONE])
    upstream.streams([whole[at : at + 7] for at in range(0, len(whole), 7)])
    stream = await engine.stream(asked(STREAMED))
    passed = [piece.raw async for piece in stream]
    await stream.aclose()
    assert b"".join(passed) == b"".join([*CHUNKS, DONE])
    assert passed[-1] == DONE
    assert json.loads(upstream.bodies[0])["stream_options"] == {"include_usage": True}
    assert (stream.answer.text, stream.answer.complete) == ("ho", True)
    assert stream.answer.usage is not None


async def test_connections_are_used_again(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    ports = set()

    async def reply(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        upstream.streams([*CHUNKS, DONE])
        assert upstream.handler is not None
        streaming, upstream.handler = upstream.handler, reply
        return await streaming(request)

    upstream.handler = reply
    for _ in range(3):
        stream = await engine.stream(asked(STREAMED))
        assert [piece.raw async for piece in stream][-1] == DONE
        await stream.aclose()
    assert len(ports) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_refusals_are_passed_on(
    upstream: ScriptedUpstream, engine: RemoteEngine, status: int
) -> None:
    body = b'{"error": {"message":"no", "type":"theirs"} }'
    upstream.replies(body, status)
    for ask in (engine.answer, engine.stream):
        with pytest.raises(EngineRefused) as caught:
            await ask(asked())
        assert (caught.value.status, caught.value.body) == (status, body)
        assert caught.value.content_type.startswith("application/json")


async def test_a_key_that_the_upstream_repeats_is_blanked_out(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    upstream.replies(b'{"error":{"message":"bad key %s"}}' % KEY.encode(), 401)
    await failure(engine, EngineRefused)
    upstream.replies(b"<html>%s</html>" % KEY.encode(), 200, "text/html")
    assert "***" in await failure(engine, EngineUnreachable)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (b"<html>Welcome</html>", "text/html", "not JSON; it starts '<html>Welcome"),
        (b"", "application/json", "not JSON"),
        (b'{"choices":[', "application/json", "not JSON"),
        (b'{"choices":[]}', "application/json", "no choices"),
        (b'{"error":{"message":"quota"}}', "application/json", "quota"),
        (b'{"choices":"%s"}' % (b"x" * 20_000), "application/json", "over 0.01 MB"),
    ],
)
async def test_replies_that_are_no_answers(
    upstream: ScriptedUpstream, engine: RemoteEngine, reply: bytes, kind: str, said: str
) -> None:
    upstream.replies(reply, 200, kind)
    assert said in await failure(engine, EngineUnreachable)


async def test_an_upstream_that_cannot_stream(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    upstream.replies(REPLY)
    assert await said(engine) == "ho"


HTML = b"<html>\n<p>Welcome</p>\n\n</html>"


@pytest.mark.parametrize("kind", ["text/event-stream", "text/xml", "image/png", None])
@pytest.mark.parametrize("sent", [HTML, b"\x89PNG\r\n\x1a\n\x00" * 300, b"Welcome"])
async def test_a_stream_that_is_none_is_refused_before_it_begins(
    upstream: ScriptedUpstream, engine: RemoteEngine, kind: str | None, sent: bytes
) -> None:
    upstream.streams([sent], kind=kind)
    with pytest.raises(EngineUnreachable):
        await engine.stream(asked(STREAMED))


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain", None])
@pytest.mark.parametrize("sent", [b"", b"da", b"\n\n", b"data: {}", b"data: [DON"])
async def test_a_stream_of_nothing_is_no_answer(
    upstream: ScriptedUpstream, engine: RemoteEngine, kind: str | None, sent: bytes
) -> None:
    upstream.streams([sent], kind=kind)
    with pytest.raises(EngineUnreachable):
        _ = [piece async for piece in await engine.stream(asked(STREAMED))]


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "text/plain", "application/json", None]
)
@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_a_stream_of_another_content_type_is_a_stream(
    upstream: ScriptedUpstream, engine: RemoteEngine, kind: str | None, size: int
) -> None:
    whole = b"".join([*CHUNKS, DONE])
    upstream.streams([whole[at : at + size] for at in range(0, len(whole), size)], kind=kind)
    assert b"".join(await pieces(engine)) == whole


async def test_an_answer_of_another_content_type_is_an_answer(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    upstream.streams([b"\n", b"\n", REPLY[:9], REPLY[9:]], kind=None)
    assert await said(engine) == "ho"


async def test_an_error_that_a_stream_begins_with_is_raised_at_once(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    upstream.streams([b'data: {"error":{"message":"quota of %s"}}\n\n' % KEY.encode()])
    with pytest.raises(EngineRefused) as caught:
        await engine.stream(asked(STREAMED))
    assert json.loads(caught.value.body) == {"error": {"message": "quota of ***"}}


async def test_a_stream_that_begins_late_is_waited_for_only_a_moment(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    go_on = asyncio.Event()

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await go_on.wait()
        await response.write(b"".join([*CHUNKS, DONE]))
        return response

    upstream.handler = reply
    stream = await asyncio.wait_for(engine.stream(asked(STREAMED)), 2)
    assert not go_on.is_set()
    go_on.set()
    assert b"".join([piece.raw async for piece in stream]) == b"".join([*CHUNKS, DONE])


async def test_redirects_are_not_followed(
    upstream: ScriptedUpstream, engine: RemoteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://elsewhere/"})

    upstream.handler = reply
    told = await failure(engine, EngineUnreachable)
    assert "small: the upstream wants to be asked elsewhere" in told
    assert "http://" not in told
    assert f"small: {upstream.base_url} redirects to http://elsewhere/; correct" in caplog.text


async def test_a_silent_upstream(
    upstream: ScriptedUpstream, engine: RemoteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    upstream.handler = reply
    told = await failure(engine, EngineTimeout)
    assert "small: no answer in time" in told
    assert upstream.base_url not in told
    assert f"small: {upstream.base_url}: no answer in time" in caplog.text


async def test_a_stream_that_falls_silent(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    upstream.streams(CHUNKS[:1], then_wait=True)
    stream = await engine.stream(asked(STREAMED))
    with pytest.raises(EngineTimeout):
        _ = [piece async for piece in stream]
    assert (stream.answer.text, stream.answer.complete) == ("h", False)
    await stream.aclose()


async def test_a_slow_stream_may_take_longer_than_the_timeout(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in [*CHUNKS, DONE]:
            await asyncio.sleep(0.12)
            await response.write(piece)
        return response

    upstream.handler = reply
    assert (await pieces(engine))[-1] == DONE


@pytest.mark.parametrize(
    "sent", [CHUNKS[:1], [b": hello\n\n"], [*CHUNKS[:2], b'data: {"choices":[{"del']]
)
async def test_a_stream_that_breaks_off(
    upstream: ScriptedUpstream, engine: RemoteEngine, sent: list[bytes]
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"".join(sent))
        assert request.transport is not None
        request.transport.close()
        return response

    for handler in ("broken connection", "clean end"):
        upstream.streams(sent) if handler == "clean end" else setattr(upstream, "handler", reply)
        stream = await engine.stream(asked(STREAMED))
        passed: list[bytes] = []
        with pytest.raises(EngineUnreachable):
            await take(stream, passed)
        assert b"".join(passed) == b"".join(sent[:2])
        assert not stream.answer.complete
        await stream.aclose()


async def test_a_stream_without_done_is_whole_if_it_says_why_it_ended(
    upstream: ScriptedUpstream, engine: RemoteEngine
) -> None:
    upstream.streams(CHUNKS)
    stream = await engine.stream(asked(STREAMED))
    assert b"".join([piece.raw async for piece in stream]) == b"".join(CHUNKS)
    assert stream.answer.complete
    await stream.aclose()


async def test_an_error_within_a_stream(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    error = b'{"error":{"message":"overloaded, %s"}}' % KEY.encode()
    upstream.streams([CHUNKS[0] + b"data: " + error + b"\n\n", CHUNKS[1]])
    stream = await engine.stream(asked(STREAMED))
    passing = aiter(stream)
    assert (await anext(passing)).raw == CHUNKS[0]
    with pytest.raises(EngineRefused) as caught:
        await anext(passing)
    assert json.loads(caught.value.body) == {"error": {"message": "overloaded, ***"}}
    await stream.aclose()


async def test_too_much_of_a_stream(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    upstream.streams([b"data: " + b"x" * 9_000, b"y" * 9_000])
    stream = await engine.stream(asked(STREAMED))
    with pytest.raises(EngineUnreachable, match=r"over 0\.01 MB"):
        _ = [piece async for piece in stream]
    await stream.aclose()


async def test_cancelling_hangs_up(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    upstream.handler = reply
    asking = asyncio.create_task(engine.answer(asked()))
    await asyncio.sleep(0.1)
    assert upstream.bodies
    asking.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await asking
    assert not isinstance(caught.value, NeverAsked)
    await asyncio.wait_for(upstream.hung_up.wait(), 0.25)


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_gives_up_before_there_is_a_connection_asked_nobody(streamed: bool) -> None:
    met = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        await reader.read()  # the beginning of TLS, which is not answered
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    engine = RemoteEngine("slow", RemoteOptions(engine="remote", base_url=url))
    asking = asyncio.create_task((engine.stream if streamed else engine.answer)(asked()))
    await asyncio.wait_for(met.wait(), 2)
    asking.cancel()
    with pytest.raises(NeverAsked):
        await asking
    assert asking.cancelled()
    await engine.aclose()
    server.close()


async def test_leaving_a_stream_hangs_up(upstream: ScriptedUpstream, engine: RemoteEngine) -> None:
    upstream.streams(CHUNKS[:1], then_wait=True)
    stream = await engine.stream(asked(STREAMED))
    async for _ in stream:
        break
    await stream.aclose()
    await asyncio.wait_for(upstream.hung_up.wait(), 0.25)
    assert (stream.answer.text, stream.answer.complete) == ("h", False)


async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """Callers are told that, and the log also where."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        options = RemoteOptions(engine="remote", base_url=f"http://127.0.0.1:{port}/v1", retries=0)
        dead = RemoteEngine("dead", options)
        told = await failure(dead, EngineUnreachable)
        assert "dead: no connection\n" in told
        assert "127.0.0.1" not in told
        assert f"dead: http://127.0.0.1:{port}/v1: ClientConnectorError: Cannot conn" in caplog.text
        await dead.aclose()


async def test_an_upstream_without_tls(upstream: ScriptedUpstream) -> None:
    address = upstream.base_url.replace("http", "https")
    lost = RemoteEngine("lost", RemoteOptions(engine="remote", base_url=address, retries=0))
    told = await failure(lost, EngineUnreachable)
    assert "lost: no secure connection\n" in told
    assert address.split("/")[2] not in told
    await lost.aclose()


async def raw_upstream(replies: list[bytes]) -> tuple[asyncio.Server, str, list[int]]:
    """An upstream without manners: reads what comes, sends the next reply, closes."""
    asked_times: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            asked_times.append(1)
            reply = replies.pop(0)
            writer.write(reply)
            if not reply.startswith(b"HTTP/1.1 200"):
                break
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, f"http://127.0.0.1:{port}/v1", asked_times


GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(REPLY),
    REPLY,
)


async def test_a_connection_closed_while_idle_is_opened_again() -> None:
    server, url, times = await raw_upstream([GOOD, b"", GOOD])
    engine = RemoteEngine("x", RemoteOptions(engine="remote", base_url=url, retries=0))
    for _ in range(2):
        assert (await engine.answer(asked())).text == "ho"
    assert len(times) == 3
    await engine.aclose()
    server.close()


@pytest.mark.parametrize("before", [[], [GOOD, b""]])
async def test_an_upstream_that_closes_a_new_connection_is_not_asked_twice(
    before: list[bytes],
) -> None:
    server, url, times = await raw_upstream([*before, b"", GOOD, GOOD])
    engine = RemoteEngine("x", RemoteOptions(engine="remote", base_url=url, retries=0))
    if before:
        assert (await engine.answer(asked())).text == "ho"
    with pytest.raises(EngineUnreachable):
        await engine.answer(asked())
    assert len(times) == len(before) + 1
    await engine.aclose()
    server.close()


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\xff" * 50])
async def test_an_upstream_that_speaks_no_http(reply: bytes) -> None:
    server, url, _ = await raw_upstream([reply] * 8)
    engine = RemoteEngine("x", RemoteOptions(engine="remote", base_url=url, retries=0))
    await failure(engine, EngineUnreachable)
    await engine.aclose()
    server.close()


async def test_headers_that_are_no_text() -> None:
    head = b"HTTP/1.1 307 x\r\nLocation: http://x/\xff\r\nContent-Length: 0\r\n\r\n"
    server, url, _ = await raw_upstream([head] * 2)
    engine = RemoteEngine("x", RemoteOptions(engine="remote", base_url=url, retries=0))
    assert "wants to be asked elsewhere" in await failure(engine, EngineUnreachable)
    await engine.aclose()
    server.close()


@pytest.mark.parametrize("value", [None, "", "  ", "sk-bad\nkey", "sk-schlüssel"])
def test_a_key_must_be_there(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("UPSTREAM_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("UPSTREAM_KEY", value)
    options = RemoteOptions(engine="remote", base_url="http://x/v1", key_env="UPSTREAM_KEY")
    with pytest.raises(ConfigError, match="UPSTREAM_KEY") as caught:
        RemoteEngine("big", options)
    assert "sk-" not in str(caught.value)


async def test_the_key_is_never_logged(
    upstream: ScriptedUpstream, engine: RemoteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.replies(REPLY)
    await engine.answer(asked())
    upstream.replies(b"no", 500, "text/plain")
    await failure(engine, EngineRefused)
    assert KEY not in caplog.text + repr(engine)
