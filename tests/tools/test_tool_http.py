"""HTTP as a tool, against a real server on the loopback: what is sent, what is believed, and where
nobody gets."""

import asyncio
import gzip
import ipaddress
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ConfigError
from shoal.tools.http import addresses
from shoal.tools.http.addresses import NotPublic, PublicResolver, may_reach
from shoal.tools.http.operation import Operation, Parameter, WrongRequest, prepared
from shoal.tools.http.reach import Reach
from shoal.tools.http.tool import HttpTool
from shoal.tools.tool import ToolResult, ToolUse
from shoal.tools.toolbox import Toolbox

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
TEXT: Any = {"type": "string"}


class Service:
    """What it was asked, and the headers of that."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.headers: list[Any] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path))
        self.headers.append(request.headers)
        match request.path.rpartition("/")[2]:
            case "redirect":
                raise web.HTTPFound("http://169.254.169.254/latest/meta-data")
            case "flood":
                response = web.StreamResponse(headers={"Content-Type": "text/plain"})
                await response.prepare(request)
                try:
                    for _ in range(1_000):
                        await response.write(b"x" * 65_536)
                except ConnectionError:
                    self.seen.append(("broke", "off"))
                return response
            case "bomb":
                packed = gzip.compress(b"0" * 50_000_000)
                headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
                return web.Response(body=packed, headers=headers)
            case "binary":
                return web.Response(body=b"\0\1", content_type="application/octet-stream")
            case "broken":
                return web.Response(body=b'{"a": NaN', content_type="application/json")
            case "latin":
                return web.Response(body="é".encode("latin-1"), content_type="text/plain")
            case "text":
                return web.Response(text="grüße")
            case "empty":
                return web.Response(status=204)
            case "slow":
                await asyncio.sleep(5)
            case "hangup":
                assert request.transport is not None
                request.transport.abort()
            case "echo-secret":
                told = request.headers.get("Authorization", "")
                return web.Response(status=400, text=f"bad key {told}")
            case "repeat-secret":
                told = request.headers.get("Authorization", "")
                if request.query.get("as") == "text":
                    return web.Response(text=f"you sent {told}")
                return web.json_response({"headers": [{"Authorization": told}, told[7:]]})
            case status if status.isdecimal():
                return web.Response(status=int(status), text="no", headers={"Retry-After": "7"})
        given = await request.text()
        return web.json_response({"path": request.raw_path, "body": given})


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    service = Service()
    server = TestServer(service.app(), host="127.0.0.1")
    await server.start_server()
    yield service, f"http://127.0.0.1:{server.port}"
    await server.close()


def tool(url: str, method: str = "GET", *parameters: Parameter, **reach: Any) -> HttpTool:
    body: Any = {"type": "object"} if method == "POST" else None
    operation = Operation(name="op", method=method, url=url, parameters=parameters, body=body)
    return HttpTool(operation, Reach(hosts=("127.0.0.1",), **{"permitted": LOOPBACK} | reach))


async def used(chosen: HttpTool, left_s: float = 5.0, **arguments: Any) -> ToolResult:
    box = Toolbox([chosen])
    try:
        return await box.call("op", arguments, ToolUse("key-1", left_s), None)
    finally:
        await box.aclose()


async def test_arguments_go_where_they_belong(service: tuple[Service, str]) -> None:
    seen, url = service
    chosen = tool(
        url + "/orders/{id}/lines", "GET",
        Parameter("id", "path", TEXT, True),
        Parameter("tags", "query", {"type": "array", "items": TEXT}),
        Parameter("deep", "query", {"type": "boolean"}, wire="Deep&"),
        Parameter("lang", "header", TEXT, wire="X-Lang"),
    )  # fmt: skip
    found = await used(chosen, id="a/../b?c#d%", tags=["x y", "&z"], deep=True, lang="de")
    assert found.ok
    assert seen.seen == [
        ("GET", "/orders/a%2F..%2Fb%3Fc%23d%25/lines?tags=x%20y&tags=%26z&Deep%26=true")
    ]
    assert seen.headers[0]["X-Lang"] == "de"
    assert "Idempotency-Key" not in seen.headers[0]
    for wrong in ({"id": ".."}, {"id": "a", "lang": "de\r\nX-Evil: 1"}, {"id": "a", "x": 1}, {}):
        assert not (await used(chosen, **wrong)).ok
    assert len(seen.seen) == 1


async def test_a_writing_call_sends_its_body_and_key(service: tuple[Service, str]) -> None:
    seen, url = service
    chosen = tool(url + "/orders", "POST")
    assert chosen.spec.effects == "writes"
    found = await used(chosen, body={"a": "ü"})
    assert found.value == {"path": "/orders", "body": '{"a":"ü"}'}
    assert seen.headers[0]["Idempotency-Key"] == "key-1"
    assert seen.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "said", "passing", "unsure"),
    [
        ("404", "HTTP 404", False, False),
        ("401", "HTTP 401", False, False),
        ("429", "HTTP 429", True, False),
        ("500", "HTTP 500", True, True),
        ("503", "HTTP 503", True, True),
        ("redirect", "not followed", False, False),
        ("flood", "over 1,000,000 bytes", False, True),
        ("bomb", "over 1,000,000 bytes", False, True),
        ("binary", "neither JSON nor text", False, True),
        ("broken", "broken", False, True),
        ("latin", "broken", False, True),
        ("slow", "within", True, True),
        ("hangup", "broke", True, True),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_trouble(
    service: tuple[Service, str], path: str, said: str, passing: bool, unsure: bool, method: str
) -> None:
    seen, url = service
    result = await used(tool(f"{url}/{path}", method), left_s=0.4 if path == "slow" else 5.0)
    assert said in result.error
    assert result.hint
    assert result.passing == passing
    assert result.unsure == (unsure and method == "POST")
    asked = [line for line in seen.seen if line[0] != "broke"]
    assert len(asked) <= (2 if (path, method) == ("hangup", "GET") else 1)


async def test_text_and_nothing(service: tuple[Service, str]) -> None:
    _, url = service
    assert (await used(tool(url + "/text"))).value == "grüße"
    nothing = await used(tool(url + "/empty"))
    assert nothing.ok
    assert nothing.value is None
    assert "wait 7 s" in (await used(tool(url + "/429"))).hint


async def test_nobody_there_is_trouble_that_passes_and_nothing_was_done() -> None:
    result = await used(tool("http://127.0.0.1:9/x", "POST"))
    assert result.passing
    assert not result.unsure


async def test_secrets_are_sent_and_never_shown(
    service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen, url = service
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SHOP_KEY", "Bearer swordfish-123")
    chosen = tool(url + "/echo-secret", secrets={"Authorization": "SHOP_KEY"})
    result = await used(chosen)
    assert seen.headers[0]["Authorization"] == "Bearer swordfish-123"
    assert "HTTP 400: bad key" in result.error
    assert "swordfish" not in str(result) + str(chosen.spec) + caplog.text
    monkeypatch.delenv("SHOP_KEY")
    with pytest.raises(ConfigError, match="SHOP_KEY"):
        tool(url, secrets={"Authorization": "SHOP_KEY"})


async def test_secrets_that_a_good_reply_repeats_are_blanked(
    service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = service
    monkeypatch.setenv("SHOP_KEY", "Bearer swordfish-123")
    kept = {"secrets": {"Authorization": "SHOP_KEY"}}
    found = await used(tool(url + "/repeat-secret", **kept))
    assert found.value == {"headers": [{"Authorization": "***"}, "***"]}
    told = Parameter("as", "query", {"type": "string"})
    found = await used(tool(url + "/repeat-secret", "GET", told, **kept), **{"as": "text"})
    assert found.value == "you sent ***"


async def test_a_private_address_is_not_reached(service: tuple[Service, str]) -> None:
    seen, url = service
    result = await used(tool(url + "/x", permitted=()))
    assert "not public" in result.error
    assert not result.passing
    for host in ("localhost", "127.1", "0x7f000001", "2130706433"):
        named = Operation(name="op", method="GET", url=url.replace("127.0.0.1", host) + "/x")
        result = await used(HttpTool(named, Reach(hosts=(host,))))
        assert not result.ok
    assert seen.seen == []


async def test_a_name_that_turns_is_caught_where_it_connects(
    service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver believes the address to be public; the socket does not."""
    seen, url = service

    class Turning(PublicResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0,
                     "flags": 4}]  # fmt: skip

    monkeypatch.setattr("shoal.tools.http.tool.PublicResolver", Turning)
    named = url.replace("127.0.0.1", "shop.example") + "/x"
    operation = Operation(name="op", method="GET", url=named)
    result = await used(HttpTool(operation, Reach(hosts=("shop.example",))))
    assert "not public" in result.error
    assert seen.seen == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1"),
        *("fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "no address"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not may_reach(address, ())


def test_public_addresses_and_permitted_ones() -> None:
    assert may_reach("1.1.1.1", ())
    assert may_reach("2606:4700:4700::1111", ())
    assert may_reach("127.0.0.1", LOOPBACK)
    assert may_reach("::ffff:127.0.0.1", LOOPBACK)
    assert not may_reach("10.0.0.1", LOOPBACK)


async def test_the_resolver_keeps_public_addresses_only() -> None:
    class Fixed(addresses.ThreadedResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            return [{"host": each} for each in ("10.0.0.1", "1.1.1.1")]

    found = await PublicResolver((), Fixed()).resolve("x")
    assert [each["host"] for each in found] == ["1.1.1.1"]
    with pytest.raises(NotPublic):
        await PublicResolver(()).resolve("localhost")


@pytest.mark.parametrize(
    ("url", "parameters", "said"),
    [
        ("http://evil.example/x", (), "evil.example"),
        ("http://127.0.0.1.evil.example/x", (), "none of those allowed"),
        ("http://127.0.0.1@evil.example/x", (), "holds a name"),
        ("ftp://127.0.0.1/x", (), "http"),
        ("http://{host}/x", (Parameter("host", "path", TEXT),), "path"),
        ("http://127.0.0.1/x?a={a}", (Parameter("a", "path", TEXT),), "query"),
        ("http://127.0.0.1/{a}", (), "{a}"),
        ("http://127.0.0.1/", (Parameter("a", "header", TEXT, wire="Host"),), "Host"),
        ("http://127.0.0.1/", (Parameter("a", "header", TEXT, wire="Authorization"),), "header"),
        ("http://127.0.0.1/", (Parameter("a", "header", TEXT, wire="X:\n"),), "header"),
        ("http://127.0.0.1/", (Parameter("body", "query", TEXT),), "body"),
    ],
)
def test_operations_that_lead_elsewhere(url: str, parameters: Any, said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        tool(url, "GET", *parameters)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_argument_leaves_its_place(part: str, word: str) -> None:
    operation = Operation(
        name="op", method="GET", url="http://shop.example/a/{p}/b",
        parameters=(Parameter("p", "path", TEXT, True), Parameter("q", "query", TEXT)),
    )  # fmt: skip
    try:
        url = prepared(operation, {"p": part, "q": word}).url
    except WrongRequest:
        return
    assert url.host == "shop.example"
    assert url.raw_path.split("/")[1::2] == ["a", "b"]
    assert len(url.raw_path.split("/")) == 4
    assert list(url.query.items()) == [("q", word)]
    assert url.fragment == ""


async def test_a_writing_request_is_not_sent_again_over_a_new_connection() -> None:
    """A service that closes a kept connection as the next request arrives: nobody can tell whether
    it was heeded, so nobody repeats it."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"HTTP/1.1 204 No Content\r\n\r\n", None):
            line = await reader.readline()
            while await reader.readline() not in (b"\r\n", b""):
                pass
            if line:
                heard.append(line.split()[0])
            if answer is None:
                break
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    chosen = tool(url, "DELETE")
    box = Toolbox([chosen])
    for _ in range(2):
        assert (await box.call("op", {}, ToolUse("k", 2.0), None)).ok
    await box.aclose()
    server.close()
    assert heard == [b"DELETE", b"DELETE"]
