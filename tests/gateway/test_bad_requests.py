"""What bad input gets: a clear error in OpenAI's shape, and the next request still works."""

import asyncio
import gzip
import json
import time
from contextlib import suppress

import aiohttp
import pytest
from live import FakeDesk, running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.errors import RequestError
from shoal.formats.chat_completions import decode_request

GOOD = b'{"model":"echo","messages":[{"role":"user","content":"hi"}]}'


async def post(
    http: aiohttp.ClientSession, gateway: str, body: bytes, **headers: str
) -> tuple[int, dict[str, str]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(f"{gateway}/v1/chat/completions", data=body, headers=sent) as response:
        assert response.content_type == "application/json"
        told = json.loads(await response.read())
    error = told.get("error", {"message": "", "type": "", "param": None, "code": ""})
    assert set(error) == {"message", "type", "param", "code"}
    return response.status, error


MALFORMED = [
    (b"", "not JSON"),
    (b"not json", "not JSON"),
    (GOOD[:-1], "not JSON"),
    (GOOD[:-1] + b',"x":NaN}', "NaN"),
    (GOOD[:-1] + b',"model":"remote"}', "'model' is given twice"),
    (b"[" * 99_000, "nested too deeply"),
    (GOOD[:-1] + b',"x":' + b"[" * 40_000 + b"]" * 40_000 + b"}", "nested too deeply"),
    (GOOD.replace(b"hi", b"\xc3"), "not UTF-8"),
    (GOOD.replace(b'"hi"', b"7"), "messages[0].content: expected a string or a list of parts"),
    (b'{"model":"echo","messages":[]}', "at least one message"),
    (gzip.compress(GOOD), "gzip"),
]


HALF = b'"\\ud83d"'
MALFORMED += [
    (GOOD.replace(b'"hi"', HALF), "half of a surrogate pair"),
    (GOOD.replace(b'"echo"', HALF), "half of a surrogate pair"),
    (GOOD[:-1] + b"," + HALF + b":1}", "half of a surrogate pair"),
    (GOOD[:-1] + b"," + HALF + b":1," + HALF + b":2}", r"'\ud83d' is given twice"),
    (
        GOOD[:-1] + b',"x":[{"y":' + HALF.replace(b"d83d", b"D83D") + b"}]}",
        "half of a surrogate pair",
    ),
    (GOOD[:-1] + b"," + b",".join(b'"%d":0' % n for n in range(999)) + b"}", "1,001 fields"),
]
MESSAGE = b'{"role":"user","content":""}'
CALLS = b'{"role":"assistant","tool_calls":[%s]}' % b",".join([b"{}"] * 50)


async def test_too_many_messages(http: aiohttp.ClientSession, desk: FakeDesk) -> None:
    def asked(*messages: bytes) -> bytes:
        return b'{"model":"echo","messages":[%s]}' % b",".join(messages)

    async with running_gateway(desk, max_messages=60) as url:
        for most in (asked(*[MESSAGE] * 60), asked(CALLS, *[MESSAGE] * 9)):
            assert (await post(http, url, most))[0] == 200
        for more in (asked(*[MESSAGE] * 61), asked(CALLS, *[MESSAGE] * 10), asked(*[b"[7]"] * 61)):
            status, error = await post(http, url, more)
            assert (status, error["code"], error["param"]) == (
                400,
                "too_many_messages",
                "messages",
            )
            assert "there are 61 of them" in error["message"]
            assert "at most 60 are taken; raise gateway.max_messages" in error["message"]
    assert len(desk.finished) == 2


WORST = [
    b'"messages":[%s]' % b",".join([MESSAGE] * 280_000),
    b'"messages":[{"role":"user","content":[%s]}]' % b",".join([b'{"type":""}'] * 600_000),
    b'"messages":[{"role":"assistant","tool_calls":[%s]}]' % b",".join([b"{}"] * 2_600_000),
    b'"messages":[%s],"tools":[%s]' % (MESSAGE, b",".join([b"[]"] * 2_600_000)),
    b'"messages":[%s],"x":[%s]' % (MESSAGE, b",".join([b"[" * 400 + b"]" * 400] * 9_900)),
    b"%s" % b",".join(b'"%x":0' % n for n in range(750_000)),
]


@pytest.mark.slow
@pytest.mark.parametrize("body", WORST, ids=range(len(WORST)))
def test_the_worst_bodies_are_read_or_refused_in_bounded_time(body: bytes) -> None:
    """Eight megabytes each; several times what was measured, for a busy machine."""
    began = time.process_time()
    with suppress(RequestError):
        decode_request(b'{"model":"echo",' + body + b"}", 10_000)
    assert time.process_time() - began < 5


async def test_malformed(http: aiohttp.ClientSession, gateway: str, desk: FakeDesk) -> None:
    for number, (body, said) in enumerate(MALFORMED, 1):
        status, error = await post(http, gateway, body)
        assert (status, error["type"]) == (400, "invalid_request_error")
        assert said in error["message"]
        assert (await post(http, gateway, GOOD))[0] == 200
        assert len(desk.finished) == number


async def test_a_compressed_body_is_refused(http: aiohttp.ClientSession, gateway: str) -> None:
    status, error = await post(http, gateway, gzip.compress(GOOD), content_encoding="gzip")
    assert status == 400
    assert "send it uncompressed" in error["message"]


async def test_too_large_is_refused_before_it_is_read(gateway: str) -> None:
    host, port = gateway.removeprefix("http://").split(":")
    for length in (b"content-length: 200000", b"content-length: 999999999999"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n%s\r\n\r\n" % length
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 1)
        assert b" 413 " in head.splitlines()[0]
        assert (b"connection: close" in head) == (length[-9:] == b"999999999")
        writer.close()


async def test_too_large_without_a_length(http: aiohttp.ClientSession, gateway: str) -> None:
    sent = 0

    async def endless():  # type: ignore[no-untyped-def]
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 50_000
            yield b"x" * 50_000
            await asyncio.sleep(0)

    try:
        async with http.post(f"{gateway}/v1/chat/completions", data=endless()) as response:
            assert response.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the connection is closed on whoever goes on sending
    assert sent < 100_000_000


PATHS = [
    ("GET", "/", 404, "path_not_found"),
    ("POST", "/v1/audio/speech", 404, "path_not_found"),
    ("GET", "/v1/embeddings", 405, "method_not_allowed"),
    ("GET", "/shoal/calls/a/b", 404, "path_not_found"),
    ("POST", "/v1/chat/completions/", 404, "path_not_found"),
    ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ("PUT", "/shoal/feedback", 405, "method_not_allowed"),
]


async def test_paths_and_methods(http: aiohttp.ClientSession, gateway: str) -> None:
    for method, path, status, code in PATHS:
        async with http.request(method, gateway + path) as response:
            assert response.status == status
            error = (await response.json())["error"]
        assert error["code"] == code
        assert f"{method} {path}" in error["message"]
        assert (status == 405) == ("allow" in response.headers)


@pytest.mark.parametrize(
    ("reply", "kind", "status", "expected", "said"),
    [
        (b"<h1>Bad Gateway</h1>", "text/html", 502, 502, "<h1>Bad Gateway</h1>"),
        (b"", "text/plain", 503, 503, "status 503"),
        (b'{"detail":"no"}', "application/json", 422, 422, '{"detail":"no"}'),
        (b'{"error":null}', "application/json", 500, 500, '{"error":null}'),
        (b'{"\xff":1}', "application/json", 500, 500, "status 500"),
        (b'{"type":"x","error":{"message":"\xff"}}', "application/json", 500, 500, "status 500"),
        (b"{}", "application/json", 999, 502, "status 999"),
        (b"<html>", "text/html", 200, 502, "not JSON"),
        (b'{"choices":[]}', "application/json", 200, 502, "no choices"),
    ],
)
async def test_upstreams_that_answer_badly(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    reply: bytes,
    kind: str,
    status: int,
    expected: int,
    said: str,
) -> None:
    upstream.replies(reply, status, kind)
    got, error = await post(http, gateway, GOOD.replace(b"echo", b"remote"))
    assert got == expected
    assert said in error["message"]
    assert len(desk.failures) == 1
    assert desk.finished == []


async def test_the_upstreams_bytes_are_the_answer(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream
) -> None:
    reply = b' {"choices":[{"message":{"content":"\\u00e9"}}] , "odd":1.50}'
    upstream.replies(reply)
    body = GOOD.replace(b"echo", b"remote")
    async with http.post(f"{gateway}/v1/chat/completions", data=body) as response:
        assert await response.read() == reply
    assert upstream.bodies == [body]


async def test_the_episode_is_handed_on(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    await post(http, gateway, GOOD, x_shoal_episode="run 7")
    await post(http, gateway, GOOD)
    assert desk.episodes == ["run 7", ""]


async def test_a_bug_is_told_without_its_details(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    del desk.may_finish
    status, error = await post(http, gateway, GOOD)
    assert (status, error["code"]) == (500, "internal_error")
    assert "may_finish" not in error["message"]


async def test_a_client_that_hangs_up_while_sending(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    host, port = gateway.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
    writer.write(b"content-length: 100\r\n\r\n" + GOOD[:20])
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    assert (await post(http, gateway, GOOD))[0] == 200
    assert len(desk.finished) == 1


async def test_an_upstreams_own_401_says_whose_it_is(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream
) -> None:
    upstream.replies(b'{"error":{"message":"bad key","code":"invalid_api_key"}}', 401)
    asked = {"model": "remote", "messages": [{"role": "user", "content": "hi"}]}
    async with http.post(f"{gateway}/v1/chat/completions", json=asked) as response:
        assert response.status == 401
        assert response.headers["x-shoal-reason"] == "refused by the upstream"


async def test_a_client_that_offers_another_protocol_is_told_what_to_do(
    http: aiohttp.ClientSession, gateway: str
) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": ""}
    asked = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    async with http.post(f"{gateway}/v1/chat/completions", json=asked, headers=offer) as response:
        assert response.status == 400
        assert "HTTP_1_1" in (await response.json())["error"]["message"]
