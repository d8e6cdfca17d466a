"""Keys and spend over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fake_keys import FakeKeys
from live import FakeDesk, running_gateway


@pytest.fixture
async def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
async def admin(desk: FakeDesk, keys: FakeKeys) -> AsyncIterator[aiohttp.ClientSession]:
    made = keys.add(scopes=["admin"])
    async with running_gateway(desk, keys) as url:
        headers = {"Authorization": f"Bearer {made.key}"}
        async with aiohttp.ClientSession(url, headers=headers) as session:
            yield session


async def test_a_key_is_made_shown_once_used_and_revoked(
    admin: aiohttp.ClientSession, keys: FakeKeys
) -> None:
    order = {"name": "team", "models": ["echo"], "rpm": 5, "budget_day": 1.5, "expires_days": 30}
    async with admin.post("/shoal/keys", json=order) as reply:
        assert reply.status == 201
        assert reply.headers["cache-control"] == "no-store"
        made = await reply.json()
    assert made["key"].startswith("sk-shoal-")
    assert (made["name"], made["state"], made["hint"]) == ("team", "in force", made["key"][-4:])
    assert made["spec"] == {"scopes": ["call"], "models": ["echo"], "rpm": 5, "budget_day": 1.5}
    assert made["expires_at"] == pytest.approx(made["created_at"] + 30 * 86_400)

    own = {"Authorization": f"Bearer {made['key']}"}
    async with admin.get("/v1/models", headers=own) as reply:
        assert reply.status == 200
    async with admin.get("/shoal/keys") as reply:
        text = await reply.text()
        assert [key["name"] for key in (await reply.json())["keys"]] == ["key0", "team"]
    assert made["key"] not in text
    assert "digest" not in text

    async with admin.delete(f"/shoal/keys/{made['id']}") as reply:
        assert (await reply.json())["state"] == "revoked"
    async with admin.get("/v1/models", headers=own) as reply:
        assert reply.status == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "name"),
        (b'{"name":"x","name":"y"}', None),
        (b'{"name":"x","scopes":["root"]}', "scopes.0"),
        (b'{"name":"x","rpm":0}', "rpm"),
        (b'{"name":"x","key":"sk-shoal-mine"}', "key"),
        (b'{"name":"x","budget_day":1e999}', "budget_day"),
        (b'{"name":"key-0123456789ab"}', "name"),
    ],
)
async def test_bad_orders(
    admin: aiohttp.ClientSession, keys: FakeKeys, body: bytes, param: str | None
) -> None:
    async with admin.post("/shoal/keys", data=body) as reply:
        error = (await reply.json())["error"]
        assert (reply.status, error["code"]) == (400, "invalid_request")
    assert "sk-shoal-mine" not in error["message"]
    assert param is None or error["param"] == param
    assert len(keys.rows) == 1


async def test_a_name_that_is_taken_and_a_key_that_is_not_there(
    admin: aiohttp.ClientSession,
) -> None:
    async with admin.post("/shoal/keys", json={"name": "key0"}) as reply:
        assert (reply.status, (await reply.json())["error"]["code"]) == (409, "conflict")
    async with admin.delete("/shoal/keys/none") as reply:
        assert (reply.status, (await reply.json())["error"]["code"]) == (404, "not_found")
    async with admin.put("/shoal/keys") as reply:
        assert reply.status == 405


async def test_spend(admin: aiohttp.ClientSession, keys: FakeKeys) -> None:
    async with admin.get("/shoal/spend") as reply:
        found: dict[str, Any] = await reply.json()
    assert (found["by"], found["since"]) == ("day", "")
    (row,) = found["spend"]
    assert (row["group"], row["calls"], row["cost"], row["llm_cost"]) == ("2025-01-31", 2, 0.5, 1.5)
    async with admin.get("/shoal/spend?by=key&since=2025-01-01") as reply:
        assert reply.status == 200
    assert keys.asked == [("day", ""), ("key", "2025-01-01")]


@pytest.mark.parametrize("query", ["by=colour", "since=yesterday", "since=2025-1-1", "by="])
async def test_bad_questions_about_spend(admin: aiohttp.ClientSession, query: str) -> None:
    async with admin.get(f"/shoal/spend?{query}") as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["param"] == query.split("=")[0]
