"""Models, health, calls and feedback."""

import json

import aiohttp
from live import FakeDesk

from shoal.routing.health import Health

ASKED = b'{"model":"echo","messages":[{"role":"user","content":"hi"}]}'


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, object]]:
    async with http.get(url) as response:
        return response.status, await response.json()


async def tell(http: aiohttp.ClientSession, gateway: str, body: bytes) -> tuple[int, str]:
    async with http.post(f"{gateway}/shoal/feedback", data=body) as response:
        told = await response.json()
        return response.status, told["error"]["message"] if "error" in told else told["status"]


async def test_health(http: aiohttp.ClientSession, gateway: str, desk: FakeDesk) -> None:
    assert await get(http, f"{gateway}/healthz") == (200, {"status": "ok", "store": "ok"})
    desk.healthy = Health(False, {"store": "disk full", "since": 3.5})
    assert await get(http, f"{gateway}/healthz") == (
        200,
        {"status": "degraded", "store": "disk full", "since": 3.5},
    )


async def test_readiness(http: aiohttp.ClientSession, gateway: str, desk: FakeDesk) -> None:
    desk.healthy = Health(False, {"store": "disk full"})
    assert await get(http, f"{gateway}/readyz") == (200, {"ready": True})
    desk.healthy = Health(False, {}, ready=False)
    assert await get(http, f"{gateway}/readyz") == (503, {"ready": False})


async def test_calls(http: aiohttp.ClientSession, gateway: str) -> None:
    async with http.post(f"{gateway}/v1/chat/completions", data=ASKED) as response:
        id = response.headers["x-shoal-call-id"]
    assert await get(http, f"{gateway}/shoal/calls/{id}") == (
        200,
        {"id": id, "text": "hi", "error": ""},
    )
    status, told = await get(http, f"{gateway}/shoal/calls/{id}?why=true")
    assert (status, told["why"]) == (200, True)
    status, told = await get(http, f"{gateway}/shoal/calls/{id}?why=perhaps")
    assert (status, told["error"]["param"]) == (400, "why")
    status, told = await get(http, f"{gateway}/shoal/calls/none")
    assert (status, told["error"]) == (
        404,
        {
            "message": "there is no call 'none'",
            "type": "invalid_request_error",
            "param": None,
            "code": "not_found",
        },
    )


async def test_feedback(http: aiohttp.ClientSession, gateway: str, desk: FakeDesk) -> None:
    async with http.post(f"{gateway}/v1/chat/completions", data=ASKED) as response:
        id = response.headers["x-shoal-call-id"]
    for said in ({"verdict": "right"}, {"verdict": "wrong"}, {"answer": "hé"}):
        sent = json.dumps({"call_id": id, **said}).encode()
        assert await tell(http, gateway, sent) == (200, "recorded")
    assert desk.feedbacks == [(id, "right", ""), (id, "wrong", ""), (id, "", "hé")]
    sent = b'{"call_id":"none","verdict":"right"}'
    assert await tell(http, gateway, sent) == (404, "there is no call 'none'")


UNREADABLE = [
    (b"", "not JSON"),
    (b"[]", "dictionary"),
    (b"{}", "call_id: Field required"),
    (b'{"call_id":7,"verdict":"right"}', "call_id: Input should be a valid string"),
    (b'{"call_id":"a"}', "expected either 'verdict' (right or wrong) or 'answer'"),
    (b'{"call_id":"a","verdict":"right","answer":"b"}', "expected either"),
    (b'{"call_id":"a","verdict":"maybe"}', "verdict: Input should be 'right' or 'wrong'"),
    (b'{"call_id":"a","answer":{}}', "answer: Input should be a valid string"),
    (b'{"call_id":"a","verdict":"right","vote":1}', "vote: Extra inputs are not permitted"),
    (b'{"call_id":"a","call_id":"b","verdict":"right"}', "given twice"),
    (b"x" * 200_000, "over 0.1 MB"),
]


async def test_feedback_that_cannot_be_read(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    for sent, said in UNREADABLE:
        status, told = await tell(http, gateway, sent)
        assert status == (413 if len(sent) > 100_000 else 400)
        assert said in told
    assert desk.feedbacks == []
