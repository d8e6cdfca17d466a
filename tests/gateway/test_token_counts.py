"""Counting tokens: the official anthropic package against a running gateway over all of Shoal."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import pytest
from scripted_upstream import SpeakingUpstream, speaking
from whole_shoal import Place, whole_shoal

from shoal.chat import Answer, Message, Request
from shoal.engines import AnthropicOptions, EchoOptions, EngineOptions, RemoteOptions
from shoal.engines.circuit import FAILURES
from shoal.formats import FORMATS, Envelope
from shoal.routing.estimate import expected_usage
from tiny_tokenizer import bytes_tokenizer, write

ASKED: list[Any] = [{"role": "user", "content": "Grüße 🐟"}]
REPLY = b' {"input_tokens": 14 , "context_management":{"original_input_tokens":20},"x":1.50}'
MAIL: list[Any] = [{"role": "user", "content": "Write to bob@example.com."}]
TOOL: Any = {"name": "look", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
async def upstream() -> AsyncIterator[SpeakingUpstream]:
    async with speaking() as scripted:
        yield scripted


@asynccontextmanager
async def place(folder: Path, upstream: SpeakingUpstream, **rules: object) -> AsyncIterator[Place]:
    base = upstream.base_url
    remote = RemoteOptions(engine="remote", base_url=base, model="up", retries=0)
    models: dict[str, EngineOptions] = {
        "claude": AnthropicOptions(
            engine="anthropic", base_url=base, model="up", retries=0, fallback=("other",)
        ),
        "other": remote.model_copy(update={"formats": ("messages",)}),
        "both": remote.model_copy(update={"formats": ("chat", "messages")}),
        "chat": remote,
        "echo": EchoOptions(engine="echo"),
    }
    async with whole_shoal(folder, models, **rules) as found:
        yield found


def client_of(here: Place, **spec: object) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=here.url, api_key=here.key(**spec), max_retries=0)


@pytest.fixture
async def here(tmp_path: Path, upstream: SpeakingUpstream) -> AsyncIterator[Place]:
    async with place(tmp_path, upstream) as found:
        yield found


@pytest.fixture
async def client(here: Place) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with client_of(here) as opened:
        yield opened


@pytest.mark.parametrize("model", ["claude", "both"])
async def test_the_upstream_counts(
    client: anthropic.AsyncAnthropic, upstream: SpeakingUpstream, here: Place, model: str
) -> None:
    upstream.replies(REPLY, headers={"request-id": "req_1"})
    system: Any = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    raw = await client.messages.with_raw_response.count_tokens(
        model=model, messages=ASKED, system=system, tools=[TOOL]
    )
    counted = await raw.parse()
    assert (counted.input_tokens, counted._request_id) == (14, "req_1")
    assert raw.http_response.content == REPLY
    assert "x-shoal-estimated" not in raw.headers
    assert "x-shoal-call-id" not in raw.headers
    assert upstream.paths == ["/v1/messages/count_tokens"]
    assert json.loads(upstream.bodies[0]) == {
        "model": "up",
        "messages": ASKED,
        "system": system,
        "tools": [TOOL],
    }
    assert here.calls() == []
    assert here.store.spend.list(by="model") == []


async def test_the_beta_of_it(client: anthropic.AsyncAnthropic, upstream: SpeakingUpstream) -> None:
    upstream.replies(REPLY)
    counted = await client.beta.messages.count_tokens(
        model="claude",
        messages=ASKED,
        betas=["context-management-2025-06-27"],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
    )
    assert counted.context_management is not None
    assert counted.context_management.original_input_tokens == 20
    headers = {name.lower(): value for name, value in upstream.headers[0].items()}
    assert "context-management-2025-06-27" in headers["anthropic-beta"].split(",")
    assert "context_management" in json.loads(upstream.bodies[0])


async def test_its_bytes_are_the_callers(
    http: aiohttp.ClientSession, here: Place, upstream: SpeakingUpstream
) -> None:
    upstream.replies(REPLY)
    body = b'{ "messages":[{"role":"user","content":"\\u00e9"}], "model":"other" ,"odd":1.50}'
    headers = {"x-api-key": here.key()}
    url = f"{here.url}/v1/messages/count_tokens?beta=true"
    async with http.post(url, data=body, headers=headers) as reply:
        assert await reply.read() == REPLY
    assert upstream.bodies == [body.replace(b'"other"', b'"up"')]


@pytest.mark.parametrize("model", ["chat", "echo"])
async def test_other_models_are_counted_here(
    client: anthropic.AsyncAnthropic, upstream: SpeakingUpstream, here: Place, model: str
) -> None:
    for count in (client.messages, client.beta.messages):
        raw = await count.with_raw_response.count_tokens(  # type: ignore[attr-defined]
            model=model, messages=ASKED, system="Be brief."
        )
        said = (Message("system", "Be brief."), Message("user", "Grüße 🐟"))
        expected = expected_usage(Request(model, said), 0).input_tokens
        assert (await raw.parse()).input_tokens == expected > 0
        assert raw.headers["x-shoal-estimated"] == "true"
    assert upstream.bodies == []
    assert here.calls() == []


async def test_a_models_own_tokenizer_counts(tmp_path: Path, upstream: SpeakingUpstream) -> None:
    file = write(bytes_tokenizer(), tmp_path / "tokenizer.json")
    chat = RemoteOptions(
        engine="remote", base_url=upstream.base_url, model="up", tokenizer=str(file)
    )
    short, long = "fish", "fish " * 1_000  # the second is counted beside the event loop
    async with whole_shoal(tmp_path, {"chat": chat}) as here, client_of(here) as client:
        counts = []
        for said in (short, long):
            raw = await client.messages.with_raw_response.count_tokens(
                model="chat", messages=[{"role": "user", "content": said}]
            )
            assert "x-shoal-estimated" not in raw.headers
            counts.append((await raw.parse()).input_tokens)
    assert counts[1] - counts[0] == len(long) - len(short)
    assert upstream.bodies == []


async def test_the_sync_client(here: Place) -> None:
    def count() -> int:
        with anthropic.Anthropic(base_url=here.url, api_key=here.key()) as client:
            return client.messages.count_tokens(model="echo", messages=ASKED).input_tokens

    assert await asyncio.to_thread(count) > 0


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"404 page not found"), (405, b""), (404, b'{"detail":"Not Found"}')]
)
async def test_a_server_that_lacks_the_path(
    client: anthropic.AsyncAnthropic, upstream: SpeakingUpstream, status: int, body: bytes
) -> None:
    upstream.replies(body, status)
    raw = await client.messages.with_raw_response.count_tokens(model="other", messages=ASKED)
    assert raw.headers["x-shoal-estimated"] == "true"


@pytest.mark.parametrize(
    ("status", "body", "raised", "said"),
    [
        (
            404,
            b'{"type":"error","error":{"type":"not_found_error","message":"model: up"}}',
            anthropic.NotFoundError,
            "model: up",
        ),
        (
            429,
            b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}',
            anthropic.RateLimitError,
            "slow down",
        ),
        (503, b"down", anthropic.APIStatusError, "down"),
        (200, b"[]", anthropic.APIStatusError, "the reply holds no count of tokens"),
        (200, b'{"input_tokens":"7"}', anthropic.APIStatusError, "expected a number"),
    ],
)
async def test_an_upstream_that_cannot_count(
    client: anthropic.AsyncAnthropic,
    upstream: SpeakingUpstream,
    here: Place,
    status: int,
    body: bytes,
    raised: type[anthropic.APIStatusError],
    said: str,
) -> None:
    """It is told as it is: no other model's count would be this one's."""
    upstream.replies(body, status)
    with pytest.raises(raised, match=said) as caught:
        await client.messages.count_tokens(model="claude", messages=ASKED)
    told: Any = caught.value.body
    assert told["type"] == "error"
    assert len(upstream.bodies) == 1
    assert here.calls() == []


async def test_counts_that_fail_do_not_keep_calls_away(
    client: anthropic.AsyncAnthropic, upstream: SpeakingUpstream
) -> None:
    upstream.replies(b"down", 503)
    for _ in range(FAILURES + 1):
        with pytest.raises(anthropic.APIStatusError):
            await client.messages.count_tokens(model="other", messages=ASKED)
    assert len(upstream.bodies) == FAILURES
    answer = Answer("yes", model="up")
    upstream.replies(FORMATS["messages"].encode_answer(answer, Envelope("u1", 1, Request("", ()))))
    message = await client.messages.create(model="other", max_tokens=9, messages=ASKED)
    assert message.id == "msg_u1"


async def test_what_the_key_may(here: Place, upstream: SpeakingUpstream) -> None:
    async with client_of(here, models=["chat"]) as client:
        with pytest.raises(anthropic.PermissionDeniedError, match="may not ask 'claude'"):
            await client.messages.count_tokens(model="claude", messages=ASKED)
        await client.messages.count_tokens(model="chat", messages=ASKED)
        with pytest.raises(anthropic.NotFoundError, match="no model named 'gone'"):
            await client_of(here).messages.count_tokens(model="gone", messages=ASKED)
        with pytest.raises(anthropic.AuthenticationError):
            await client.with_options(api_key="none").messages.count_tokens(
                model="chat", messages=ASKED
            )
    async with client_of(here, scopes=["read"]) as client:
        with pytest.raises(anthropic.PermissionDeniedError, match="this needs call"):
            await client.messages.count_tokens(model="chat", messages=ASKED)
    async with client_of(here, tasks=["department"]) as client:
        with pytest.raises(anthropic.PermissionDeniedError, match="this call is of no known one"):
            await client.messages.count_tokens(model="chat", messages=ASKED)
    assert upstream.bodies == []


async def test_limits_of_requests_count_it_and_budgets_do_not(here: Place) -> None:
    async with client_of(here, rpm=2, tpm=5, budget_day=0.000001) as client:
        for left in ("1", "0"):
            raw = await client.messages.with_raw_response.count_tokens(model="echo", messages=ASKED)
            assert raw.headers["x-ratelimit-remaining-requests"] == left
            assert raw.headers["x-ratelimit-remaining-tokens"] == "5"
        with pytest.raises(anthropic.RateLimitError, match="2 requests a minute") as caught:
            await client.messages.count_tokens(model="echo", messages=ASKED)
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_the_privacy_rules(tmp_path: Path, upstream: SpeakingUpstream) -> None:
    upstream.replies(REPLY)
    async with place(tmp_path / "refuse", upstream, refuse=["email"]) as here:
        client = client_of(here)
        for model in ("claude", "chat"):
            with pytest.raises(anthropic.PermissionDeniedError, match="email in messages"):
                await client.messages.count_tokens(model=model, messages=MAIL)
    async with place(tmp_path / "local", upstream, local_only=["email"]) as here:
        client = client_of(here)
        with pytest.raises(anthropic.PermissionDeniedError, match="claude is not local"):
            await client.messages.count_tokens(model="claude", messages=MAIL)
        await client.messages.count_tokens(model="chat", messages=MAIL)  # it is not told
    async with place(tmp_path / "residency", upstream, residency=["eu"]) as here:
        with pytest.raises(anthropic.PermissionDeniedError, match="claude has no residency"):
            await client_of(here).messages.count_tokens(model="claude", messages=ASKED)
    assert upstream.bodies == []
    async with place(tmp_path / "redact", upstream, redact=["email"]) as here:
        client = client_of(here)
        counted = await client.messages.count_tokens(
            model="claude", messages=MAIL, tools=[TOOL], thinking={"type": "disabled"}
        )
    assert counted.input_tokens == 14
    assert json.loads(upstream.bodies[0]) == {
        "model": "up",
        "messages": [{"role": "user", "content": "Write to [EMAIL_1]."}],
        "tools": [TOOL],
        "thinking": {"type": "disabled"},
    }


async def test_bad_requests(http: aiohttp.ClientSession, here: Place) -> None:
    headers = {"x-api-key": here.key()}
    for body, said in ((b"no", "not JSON"), (b'{"model":"echo"}', "'messages' is missing")):
        url = f"{here.url}/v1/messages/count_tokens"
        async with http.post(url, data=body, headers=headers) as reply:
            told = await reply.json()
        assert (reply.status, told["type"]) == (400, "error")
        assert said in told["error"]["message"]
    async with http.get(f"{here.url}/v1/messages/count_tokens", headers=headers) as reply:
        assert (reply.status, (await reply.json())["type"]) == (405, "error")
