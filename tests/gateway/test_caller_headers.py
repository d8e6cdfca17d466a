"""What of a caller's headers reaches an upstream, and which of an upstream's reach a caller."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from multidict import CIMultiDict
from scripted_upstream import SpeakingUpstream, speaking
from whole_shoal import Place, whole_shoal

from shoal.chat import Answer, Message, Request
from shoal.engines import AnthropicOptions, EngineOptions, RemoteOptions
from shoal.errors import MalformedRequest
from shoal.formats import FORMATS, Envelope, deltas_of, with_headers

KEY = "sk-upstream-0123456789"
ANSWER = Answer("I see.", model="up")
ASKED: list[Any] = [{"role": "user", "content": "hi"}]
OWN = {
    "host",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
}
"""What an upstream gets whoever asks, besides its key."""

STRANGE = {
    "cookie": "a=b",
    "proxy-authorization": "Basic eDp5",
    "anthropic-workspace-id": "w",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-shoal-episode": "e",
    "x-forwarded-for": "192.0.2.1",
}


@pytest.fixture
async def upstream() -> AsyncIterator[SpeakingUpstream]:
    async with speaking() as scripted:
        yield scripted


def options(upstream: SpeakingUpstream) -> dict[str, EngineOptions]:
    base, env = upstream.base_url, "SOME_KEY"
    spoken: dict[str, tuple[Any, ...]] = {
        "chat": ("chat",),
        "responses": ("responses",),
        "both": ("messages", "chat"),
    }
    found: dict[str, EngineOptions] = {
        name: RemoteOptions(engine="remote", base_url=base, key_env=env, formats=formats, retries=0)
        for name, formats in spoken.items()
    }
    found["claude"] = AnthropicOptions(
        engine="anthropic", base_url=base, key_env=env, retries=0, fallback=("chat", "both")
    )
    return found


@pytest.fixture(autouse=True)
def upstreams_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)


@pytest.fixture
async def here(tmp_path: Path, upstream: SpeakingUpstream) -> AsyncIterator[Place]:
    async with whole_shoal(tmp_path, options(upstream)) as place:
        yield place


@pytest.fixture
async def claude(here: Place) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=here.url, api_key=here.key(), max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def gpt(here: Place) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{here.url}/v1",
        api_key=here.key(),
        organization="org-1",
        project="proj-1",
        default_headers={"OpenAI-Beta": "assistants=v2", **STRANGE},
        max_retries=0,
    ) as client:
        yield client


def envelope() -> Envelope:
    return Envelope("u1", 1, Request("up", (Message("user", "hi"),)))


def whole(upstream: SpeakingUpstream, wire: str, **headers: str) -> None:
    reply = FORMATS[wire].encode_answer(ANSWER, envelope())  # type: ignore[index]
    upstream.replies(reply, headers=headers)


def streamed(upstream: SpeakingUpstream, wire: str, **headers: str) -> None:
    writer = FORMATS[wire].new_writer(envelope())  # type: ignore[index]
    events = [*(writer.feed([delta]) for delta in deltas_of(ANSWER)), writer.end()]
    upstream.streams(events, headers=headers)


def told(upstream: SpeakingUpstream, at: int = -1) -> dict[str, str]:
    """What an upstream was told that it is not told whoever asks."""
    headers = {name.lower(): value for name, value in upstream.headers[at].items()}
    return {name: value for name, value in headers.items() if name not in OWN}


@pytest.mark.parametrize("stream", [False, True])
async def test_betas_and_the_version_go_on(
    claude: anthropic.AsyncAnthropic, upstream: SpeakingUpstream, stream: bool
) -> None:
    asked: dict[str, Any] = {
        "messages": ASKED,
        "max_tokens": 9,
        "betas": ["files-api-2025-04-14", "context-1m-2025-08-07"],
        "extra_headers": {"anthropic-version": "2099-01-01", **STRANGE},
    }
    for model, key in (
        ("claude", {"x-api-key": KEY}),
        ("both", {"authorization": f"Bearer {KEY}"}),
    ):
        if stream:
            streamed(upstream, "messages")
            async with claude.beta.messages.stream(model=model, **asked) as events:
                message = await events.get_final_message()
        else:
            whole(upstream, "messages")
            message = await claude.beta.messages.create(model=model, **asked)
        assert message.content[0].type == "text"
        assert message.content[0].text == "I see."
        assert told(upstream) == key | {
            "anthropic-beta": "files-api-2025-04-14,context-1m-2025-08-07",
            "anthropic-version": "2099-01-01",
        }


async def post(
    http: aiohttp.ClientSession, here: Place, model: str, *headers: tuple[str, str]
) -> tuple[int, dict[str, Any]]:
    sent = CIMultiDict([("x-api-key", here.key()), *headers])
    asked = {"model": model, "max_tokens": 9, "messages": ASKED}
    async with http.post(f"{here.url}/v1/messages", json=asked, headers=sent) as reply:
        return reply.status, await reply.json()


async def test_a_header_that_comes_several_times_is_one_list(
    http: aiohttp.ClientSession, here: Place, upstream: SpeakingUpstream
) -> None:
    whole(upstream, "messages")
    betas = [("anthropic-beta", value) for value in ("a-1, b-2", "", " c-3 ")]
    await post(http, here, "claude", *betas)
    assert told(upstream)["anthropic-beta"] == "a-1, b-2,c-3"
    assert told(upstream)["anthropic-version"] == "2023-06-01"  # the engine's own
    await post(http, here, "claude", ("anthropic-beta", " "))
    assert "anthropic-beta" not in told(upstream)


async def test_other_formats_are_told_nothing(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    whole(upstream, "chat")
    await claude.beta.messages.create(model="chat", max_tokens=9, messages=ASKED, betas=["a-1"])
    whole(upstream, "messages")
    await gpt.chat.completions.create(model="claude", messages=ASKED)
    whole(upstream, "responses")
    await gpt.chat.completions.create(model="responses", messages=ASKED)
    bearer = {"authorization": f"Bearer {KEY}"}
    assert told(upstream, 0) == bearer
    assert told(upstream, 1) == {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    assert told(upstream, 2) == bearer


async def test_openais_beta_goes_on_and_the_callers_account_does_not(
    gpt: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    whole(upstream, "chat")
    await gpt.chat.completions.create(model="chat", messages=ASKED)
    whole(upstream, "responses")
    await gpt.responses.create(model="responses", input="hi")
    for at in (0, 1):
        assert told(upstream, at) == {
            "authorization": f"Bearer {KEY}",
            "openai-beta": "assistants=v2",
        }


async def test_who_stands_in_is_told_in_the_same_format_only(
    claude: anthropic.AsyncAnthropic, upstream: SpeakingUpstream
) -> None:
    upstream.replies(b"{}", 503)
    with pytest.raises(anthropic.APIStatusError):
        await claude.beta.messages.create(
            model="claude", max_tokens=9, messages=ASKED, betas=["a-1"]
        )
    assert upstream.paths == ["/v1/messages", "/v1/chat/completions", "/v1/messages"]
    betas = [told(upstream, at).get("anthropic-beta") for at in range(3)]
    assert betas == ["a-1", None, "a-1"]


@pytest.mark.parametrize(
    ("value", "said"),
    [("é", "printable ASCII"), ("a" * 5_000, "5,000 characters, at most 4,096")],
)
async def test_values_that_no_header_has_are_refused(
    http: aiohttp.ClientSession, here: Place, upstream: SpeakingUpstream, value: str, said: str
) -> None:
    for model in ("claude", "chat"):
        status, body = await post(http, here, model, ("anthropic-beta", value))
        assert (status, body["type"], body["error"]["type"]) == (
            400,
            "error",
            "invalid_request_error",
        )
        assert body["error"]["param"] == "anthropic-beta"
        assert said in body["error"]["message"]
    assert upstream.bodies == []


@pytest.mark.parametrize(
    "value", [b"a\r\nx-api-key: b", b"a\nb", b"a\0b", b"a\x7f", b"a\tb", b"\xff"]
)
def test_no_value_can_become_another_header(value: bytes) -> None:
    """Whatever the server before it lets through."""
    with pytest.raises(MalformedRequest, match="anthropic-beta: expected printable ASCII"):
        with_headers(envelope().request, ("anthropic-beta",), [(b"anthropic-beta", value)])


async def test_the_privacy_rules_read_them(tmp_path: Path, upstream: SpeakingUpstream) -> None:
    """Also that no beta there is, in the client of today, looks like something personal."""
    known: list[Any] = list(anthropic.types.AnthropicBetaParam.__args__[1].__args__)  # type: ignore[attr-defined]
    kinds = ["email", "phone", "card", "iban", "national_id", "ip", "secret"]
    whole(upstream, "messages")
    async with (
        whole_shoal(tmp_path, options(upstream), refuse=kinds) as here,
        anthropic.AsyncAnthropic(base_url=here.url, api_key=here.key(), max_retries=0) as claude,
    ):
        asked: dict[str, Any] = {"model": "both", "max_tokens": 9, "messages": ASKED}
        await claude.beta.messages.create(**asked, betas=known)
        with pytest.raises(
            anthropic.PermissionDeniedError, match=r"email in headers\.anthropic-be"
        ):
            await claude.beta.messages.create(**asked, betas=["bob@example.com"])
    assert told(upstream)["anthropic-beta"] == ",".join(known)
    assert len(upstream.bodies) == 1


async def test_the_upstreams_id_of_an_exchange_is_where_clients_look(
    claude: anthropic.AsyncAnthropic,
    gpt: openai.AsyncOpenAI,
    upstream: SpeakingUpstream,
    here: Place,
) -> None:
    asked: dict[str, Any] = {"max_tokens": 9, "messages": ASKED}
    whole(upstream, "messages", **{"request-id": "req_1"})
    assert (await claude.messages.create(model="claude", **asked))._request_id == "req_1"
    whole(upstream, "chat", **{"x-request-id": "req_2"})
    assert (await claude.messages.create(model="chat", **asked))._request_id == "req_2"
    completion = await gpt.chat.completions.create(model="chat", messages=ASKED)
    assert completion._request_id == "req_2"
    assert [call.answer and call.answer.request_id for call in here.calls()] == [
        "req_2",
        "req_2",
        "req_1",
    ]
    refusal = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
    upstream.replies(refusal, 400, headers={"request-id": "req_3"})
    with pytest.raises(anthropic.BadRequestError) as caught:
        await claude.messages.create(model="both", **asked)
    assert caught.value.request_id == "req_3"
    whole(upstream, "chat")
    assert (await gpt.chat.completions.create(model="chat", messages=ASKED))._request_id is None


@pytest.mark.parametrize("reply", [streamed, whole])  # an upstream may answer whole all the same
async def test_a_streams_id_comes_with_its_headers(
    claude: anthropic.AsyncAnthropic, upstream: SpeakingUpstream, reply: Any
) -> None:
    reply(upstream, "messages", **{"request-id": "req_4"})
    async with claude.messages.stream(model="claude", max_tokens=9, messages=ASKED) as events:
        assert events.request_id == "req_4"
        await events.get_final_message()
