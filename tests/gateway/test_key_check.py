"""Who gets in, with which key, and what the rest of the gateway is told of them."""

import asyncio
import time

import aiohttp
import pytest
from fake_keys import FakeKeys
from live import FakeDesk, running_gateway
from openai import AsyncOpenAI, AuthenticationError, PermissionDeniedError
from starlette.types import Receive, Scope, Send

from shoal.errors import BudgetExceeded, RateLimited
from shoal.formats import FORMATS
from shoal.gateway.key_check import KeyCheck, caller_of
from shoal.gateway.replies import error_reply
from shoal.routing.caller import ANYBODY, Caller

CHAT = b'{"model":"echo","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


async def asked(
    http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str
) -> tuple[int, str]:
    """The status, and the code of the error if it is one; its shape is OpenAI's."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    data = CHAT if method == "POST" else None
    async with http.request(method, url, headers=sent, data=data) as reply:
        if reply.status < 400:
            return reply.status, ""
        error = (await reply.json())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert "sk-shoal-" not in error["message"]
        if reply.status == 401:
            assert reply.headers["www-authenticate"] == "Bearer"
        return reply.status, error["code"]


async def test_without_any_key_loopback_is_open(
    http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys
) -> None:
    async with running_gateway(desk, keys) as url:
        assert await asked(http, f"{url}/v1/chat/completions", "POST") == (200, "")
        assert await asked(http, f"{url}/v1/models", Authorization="Bearer anything") == (200, "")
        assert await asked(http, f"{url}/shoal/spend") == (200, "")
        assert await asked(http, f"{url}/shoal/keys") == (403, "insufficient_scope")
        assert await asked(http, f"{url}/shoal/keys", "POST") == (403, "insufficient_scope")
    assert keys.rows == []


async def test_with_one_key_everybody_needs_one(
    http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys
) -> None:
    made = keys.add(scopes=["call", "read", "admin"])
    bad = made.key[:-1] + ("a" if made.key[-1] != "a" else "b")
    paths = (
        "/v1/models",
        "/v1/models/echo",
        "/shoal/calls/1",
        "/shoal/spend",
        "/shoal/keys",
        "/no",
    )
    async with running_gateway(desk, keys) as url:
        for path in paths:
            refused = 401, "invalid_api_key"
            assert await asked(http, url + path) == refused
            assert await asked(http, url + path, Authorization=f"Bearer {bad}") == refused
            assert await asked(http, url + path, Authorization=made.key) == refused
            assert await asked(http, url + path, Authorization=f"Basic {made.key}") == refused
            assert await asked(http, url + path, x_api_key=bad) == refused
            assert (await asked(http, url + path, x_api_key=made.key))[0] != 401
            assert (await asked(http, url + path, Authorization=f"bearer {made.key}"))[0] != 401
        assert await asked(http, f"{url}/v1/chat/completions", "POST") == refused
        assert await asked(http, f"{url}/healthz") == (200, "")
        assert await asked(http, f"{url}/readyz") == (200, "")
    assert desk.episodes == []


async def test_the_bearer_counts_before_the_other_header(
    http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys
) -> None:
    made = keys.add()
    async with running_gateway(desk, keys) as url:
        both = {"Authorization": f"Bearer {made.key}", "x_api_key": "other"}
        assert await asked(http, f"{url}/v1/models", **both) == (200, "")
        both = {"Authorization": "Bearer other", "x_api_key": made.key}
        assert await asked(http, f"{url}/v1/models", **both) == (401, "invalid_api_key")


async def test_scopes(http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys) -> None:
    call, read, admin = (keys.add(scopes=[scope]).key for scope in ("call", "read", "admin"))
    lacks = 403, "insufficient_scope"
    async with running_gateway(desk, keys) as url:
        for path, method, those in (
            ("/v1/chat/completions", "POST", [call]),
            ("/v1/models", "GET", [call]),
            ("/shoal/spend", "GET", [read, admin]),
            ("/shoal/calls/1", "GET", [read, admin]),
            ("/shoal/feedback", "POST", [call]),
            ("/shoal/keys", "GET", [admin]),
            ("/shoal/keys", "POST", [admin]),
            ("/shoal/keys/1", "DELETE", [admin]),
            ("/shoal/what-comes-later", "GET", [admin]),
            ("/no-such-path", "GET", [call, read, admin]),
        ):
            for key in (call, read, admin):
                got = await asked(http, url + path, method, x_api_key=key)
                assert (got != lacks) is (key in those), (path, method, got)


async def test_a_key_ends_at_once(
    http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys
) -> None:
    passing, revoked = keys.add(expires_at=time.time() + 0.5), keys.add()
    async with running_gateway(desk, keys) as url:
        assert await asked(http, f"{url}/v1/models", x_api_key=passing.key) == (200, "")
        assert await asked(http, f"{url}/v1/models", x_api_key=revoked.key) == (200, "")
        await keys.revoke(revoked.row.id)
        await asyncio.sleep(0.5)
        for made in (passing, revoked):
            got = await asked(http, f"{url}/v1/models", x_api_key=made.key)
            assert got == (401, "invalid_api_key")


async def test_the_official_client(desk: FakeDesk, keys: FakeKeys) -> None:
    made = keys.add()
    async with (
        running_gateway(desk, keys) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=made.key) as client,
    ):
        said = await client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "hi"}]
        )
        assert said.choices[0].message.content == "hi"
        async with client.with_options(api_key="sk-wrong") as wrong:
            with pytest.raises(AuthenticationError) as caught:
                await wrong.models.list()
        assert caught.value.code == "invalid_api_key"


async def test_the_official_client_is_told_of_scopes(desk: FakeDesk, keys: FakeKeys) -> None:
    made = keys.add(scopes=["read"])
    async with (
        running_gateway(desk, keys) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=made.key) as client,
    ):
        with pytest.raises(PermissionDeniedError, match="needs call"):
            await client.models.list()


async def test_a_key_does_not_open_the_guard(
    http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys
) -> None:
    made = keys.add()
    async with running_gateway(desk, keys) as url:
        evil = {"x_api_key": made.key, "Origin": "https://evil.example"}
        assert await asked(http, f"{url}/v1/models", **evil) == (403, "origin_not_allowed")
        evil = {"x_api_key": made.key, "Host": "evil.example"}
        assert await asked(http, f"{url}/v1/models", **evil) == (403, "host_not_allowed")


async def test_beyond_loopback_nobody_gets_in_without_a_key(
    http: aiohttp.ClientSession, desk: FakeDesk, keys: FakeKeys
) -> None:
    async with running_gateway(desk, keys, host="0.0.0.0") as url:
        assert await asked(http, f"{url}/v1/models") == (401, "invalid_api_key")
        assert await asked(http, f"{url}/healthz") == (200, "")
        made = keys.add()
        assert await asked(http, f"{url}/v1/models", x_api_key=made.key) == (200, "")


async def seen_by_app(keys: FakeKeys, *headers: tuple[bytes, bytes]) -> Caller:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(caller_of(scope))

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": list(headers)}
    await KeyCheck(app, keys, open_to_all=True)(scope, nothing, nothing)  # type: ignore[arg-type]
    (caller,) = seen
    return caller


async def test_the_gateway_is_told_who_calls(keys: FakeKeys) -> None:
    assert await seen_by_app(keys) == ANYBODY
    made = keys.add(models=["gpt"], rpm=5)
    caller = await seen_by_app(keys, (b"x-api-key", made.key.encode()))
    assert (caller.key, caller.name) == (made.row.id, "key0")
    assert (caller.spec.models, caller.spec.rpm) == (("gpt",), 5)


def test_errors_bring_their_headers() -> None:
    for error in (
        RateLimited("no", {"retry-after": "7", "x-ratelimit-limit-requests": "5"}),
        BudgetExceeded("no", {"retry-after": "7", "x-should-retry": "false"}),
    ):
        reply = error_reply(error, FORMATS["chat"])
        assert reply.status_code == 429
        assert {name: reply.headers[name] for name in error.headers} == error.headers


async def test_keys_that_are_behind_the_store_are_told(
    desk: FakeDesk, http: aiohttp.ClientSession
) -> None:
    keys = FakeKeys()
    async with running_gateway(desk, keys) as url:
        async with http.get(f"{url}/healthz") as reply:
            assert (await reply.json())["status"] == "ok"
        keys.trouble = "cannot be read again"
        async with http.get(f"{url}/healthz") as reply:
            told = await reply.json()
    assert (told["status"], told["keys"]) == ("degraded", "cannot be read again")


async def test_the_detail_of_health_is_for_whoever_may_read(
    desk: FakeDesk, http: aiohttp.ClientSession
) -> None:
    async def told(url: str, key: str = "") -> object:
        sent = {"x-api-key": key} if key else {}
        async with http.get(f"{url}/healthz", headers=sent) as reply:
            assert reply.status == 200
            return await reply.json()

    keys, whole = FakeKeys(), {"status": "ok", "store": "ok"}
    async with running_gateway(desk, keys) as url:
        assert await told(url) == whole  # nobody needs a key yet
        calls, reads = keys.add(), keys.add(scopes=["read"])
        assert await told(url) == {"status": "ok"}
        assert await told(url, "no key") == {"status": "ok"}
        assert await told(url, calls.key) == {"status": "ok"}
        assert await told(url, reads.key) == whole
