"""Whom a gateway without keys lets in."""

import aiohttp
from live import FakeDesk, running_gateway


async def status(http: aiohttp.ClientSession, url: str, **headers: str) -> int:
    async with http.get(url, headers=headers) as response:
        if response.status != 200:
            assert set((await response.json())["error"]) == {"message", "type", "param", "code"}
        return response.status


HOSTS = {
    "localhost": 200,
    "LOCALHOST:8400": 200,
    "127.0.0.1:80": 200,
    "127.9.9.9": 200,
    "[::1]:8400": 200,
    "shoal.localhost": 200,
    "evil.example": 403,
    "evil.example:8400": 403,
    "localhost.evil.example": 403,
    "127.0.0.1.evil.example": 403,
    "127.0.0.1@evil.example": 403,
    "evil.example#localhost": 403,
    "10.0.0.1": 403,
    "0.0.0.0": 403,
    "": 403,
    "[::": 403,
    "gateway.internal": 403,
    "localhost.": 200,
    "localhost:": 200,  # RFC 3986 allows it
    "[0:0:0:0:0:0:0:1]": 200,
    "[::1%lo]:8400": 200,
    "[::1%25lo]:8400": 200,
    "[::1%]": 403,
    "[fe80::1%25eth0]": 403,
    "[::1": 403,
    "::1": 403,
    "[::1]evil.example": 403,
    "[[::1]]": 403,
    "[1.1]": 403,
    "[127.0.0.1]": 403,
    "localhost:99999": 403,
    "localhost:8400:8400": 403,
    "localhost:http": 403,
    "localhost:-1": 403,
    "localhost:٣": 403,
    "evil.example@localhost": 403,
    "localhost/evil.example": 403,
    "localhost#evil.example": 403,
    "localhost?evil.example": 403,
    "localhost\\evil.example": 403,
    "localhost, evil.example": 403,
    "local\thost": 403,
    "localhost..": 403,
    ".localhost": 403,
    "evil..localhost": 403,
    "http://localhost": 403,
    "//localhost": 403,
    "local%68ost": 403,
    "127.1": 403,
    "0x7f000001": 403,
}
ORIGINS = {
    "http://localhost:3000": 200,
    "https://127.0.0.1": 200,
    "https://evil.example": 403,
    "http://localhost.evil.example": 403,
    "http://[::1]:3000": 200,
    "http://evil.example@localhost": 403,
    "http://localhost/evil": 403,
    "http://localhost https://evil.example": 403,
    "http:localhost": 403,
    "//localhost": 403,
    "file://": 403,
    "null": 403,
    "localhost": 403,
}


async def test_host(http: aiohttp.ClientSession, gateway: str) -> None:
    got = {host: await status(http, f"{gateway}/v1/models", Host=host) for host in HOSTS}
    assert got == HOSTS


async def test_origin(http: aiohttp.ClientSession, gateway: str) -> None:
    for path in ("/v1/models", "/healthz"):
        got = {origin: await status(http, gateway + path, Origin=origin) for origin in ORIGINS}
        assert got == ORIGINS


async def test_hosts_that_are_named(http: aiohttp.ClientSession, desk: FakeDesk) -> None:
    named = ["Gateway.internal", "[FD00:0::1]", "[fe80::2%eth0]"]
    async with running_gateway(desk, allowed_hosts=named) as url:
        assert await status(http, f"{url}/healthz", Host="gateway.internal:80") == 200
        assert await status(http, f"{url}/healthz", Host="gateway.internal.") == 200
        assert await status(http, f"{url}/healthz", Host="[fd00::1]:8400") == 200
        for zone in ("", "%eth0", "%25eth0", "%25en%2D1"):
            assert await status(http, f"{url}/healthz", Host=f"[fe80::2{zone}]:8400") == 200
        assert await status(http, f"{url}/healthz", Host="[fd00::2]") == 403
        assert await status(http, f"{url}/healthz", Host="localhost") == 200
        assert await status(http, f"{url}/healthz", Host="other.internal") == 403


async def test_a_refused_page_changes_nothing(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    body = b'{"model":"echo","messages":[{"role":"user","content":"hi"}]}'
    for path in ("/v1/chat/completions", "/shoal/feedback"):
        evil = {"Origin": "https://evil.example"}
        async with http.post(gateway + path, data=body, headers=evil) as response:
            assert response.status == 403
    assert desk.finished == desk.feedbacks == []
