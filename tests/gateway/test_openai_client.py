"""The official openai package, unchanged, against a running gateway."""

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest
from live import FakeDesk
from pydantic import BaseModel
from scripted_upstream import ScriptedUpstream

from shoal.chat import Answer, Request, ToolCall, Usage
from shoal.formats.chat_completions import encode_answer
from written_streams import envelope, streamed

ASKED = [{"role": "user", "content": "Grüße 🐟"}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
CALLED = Answer(
    tool_calls=(ToolCall("c1", "look", '{"at":"🐟"}'), ToolCall("c2", "look", "{}")),
    finish_reason="tool_calls",
    model="up",
    usage=Usage(5, 3),
)


@pytest.fixture
async def client(gateway: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="none") as opened:
        yield opened.with_options(max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_answer_tells_its_episode(client: openai.AsyncOpenAI, stream: bool) -> None:
    create = client.chat.completions.with_raw_response.create
    given = {"x-shoal-episode": "morning"}
    told = await create(model="echo", messages=ASKED, stream=stream, extra_headers=given)
    assert told.headers["x-shoal-episode"] == "morning"
    untold = await create(model="echo", messages=ASKED, stream=stream)
    assert "x-shoal-episode" not in untold.headers  # of which this desk knows nothing


async def test_plain(client: openai.AsyncOpenAI, desk: FakeDesk) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="echo", messages=ASKED)
    whole = raw.parse()
    assert whole.choices[0].message.content == "Grüße 🐟"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.id == "chatcmpl-call-1"
    assert whole.usage is not None
    assert raw.headers["x-shoal-answered-by"] == "echo"
    assert raw.headers["x-shoal-call-id"] == "call-1"
    assert raw.headers["x-shoal-reason"] == "no specialist yet"
    assert raw.headers["x-shoal-task"] == r"gr\xf6\xdfe x-evil: 1"
    assert [answer.text for _, answer, _ in desk.finished] == ["Grüße 🐟"]


async def test_streamed(client: openai.AsyncOpenAI, desk: FakeDesk) -> None:
    asked = {"model": "echo", "messages": ASKED, "stream": True}
    raw = await client.chat.completions.with_raw_response.create(**asked)  # type: ignore[call-overload]
    chunks = [chunk async for chunk in raw.parse()]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Grüße 🐟"
    assert raw.headers["x-shoal-call-id"] == "call-1"
    assert raw.headers["content-type"].startswith("text/event-stream")
    (_, answer, error) = desk.finished[0]
    assert (answer.text, answer.complete, error) == ("Grüße 🐟", True, "")


async def test_usage_in_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="echo", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    last = [chunk async for chunk in stream][-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 2


async def test_a_whole_answer_is_streamed_if_asked_for(
    client: openai.AsyncOpenAI, desk: FakeDesk
) -> None:
    desk.whole_only = True
    stream = await client.chat.completions.create(model="echo", messages=ASKED, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Grüße 🐟"
    assert chunks[0].id == "chatcmpl-call-1"
    assert desk.finished[0][1].usage is not None


async def test_the_sync_client(gateway: str) -> None:
    def talk() -> tuple[str | None, str]:
        with openai.OpenAI(base_url=f"{gateway}/v1", api_key="none") as client:
            whole = client.chat.completions.create(model="echo", messages=ASKED)
            with client.chat.completions.create(
                model="echo", messages=ASKED, stream=True
            ) as stream:
                pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    assert await asyncio.to_thread(talk) == ("Grüße 🐟", "Grüße 🐟")


async def test_tools(client: openai.AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.replies(encode_answer(CALLED, envelope()))
    whole = await client.chat.completions.create(
        model="remote", messages=ASKED, tools=TOOLS, temperature=0.5, extra_body={"own": [1]}
    )
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.arguments) for call in calls] == [
        ("c1", '{"at":"🐟"}'),
        ("c2", "{}"),
    ]
    sent = json.loads(upstream.bodies[0])
    assert sent == {
        "model": "remote",
        "messages": ASKED,
        "tools": TOOLS,
        "temperature": 0.5,
        "own": [1],
    }


async def test_tools_in_a_stream(
    client: openai.AsyncOpenAI, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    asked = Request("m", (), params='{"stream_options":{"include_usage":true}}')
    upstream.streams([streamed(CALLED, asked)])
    async with client.chat.completions.stream(
        model="remote", messages=ASKED, tools=TOOLS
    ) as stream:
        whole = await stream.get_final_completion()
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.arguments for call in calls] == ['{"at":"🐟"}', "{}"]
    assert whole.usage is None  # not asked for, so not passed on, but known
    assert desk.finished[0][1] == CALLED


class Place(BaseModel):
    city: str


async def test_response_format(client: openai.AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    upstream.replies(encode_answer(Answer(text='{"city":"Lima"}', model="up"), envelope()))
    whole = await client.chat.completions.parse(
        model="remote", messages=ASKED, response_format=Place
    )
    assert whole.choices[0].message.parsed == Place(city="Lima")
    sent = json.loads(upstream.bodies[0])["response_format"]
    assert sent["json_schema"]["name"] == "Place"


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["remote", "echo"]
    assert (await client.models.retrieve("echo")).owned_by == "shoal"
    with pytest.raises(openai.NotFoundError, match="there is no model 'org/none'"):
        await client.models.retrieve("org/none")


async def test_an_unknown_model(client: openai.AsyncOpenAI, desk: FakeDesk) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'none'") as caught:
        await client.chat.completions.create(model="none", messages=ASKED)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.type == "invalid_request_error"
    assert caught.value.response.headers["x-shoal-call-id"] == "failed-1"
    assert desk.failures[0][0].model == "none"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_malformed_request(client: openai.AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="expected at least one message") as caught:
        await client.chat.completions.create(model="echo", messages=[], stream=stream)
    assert caught.value.param == "messages"
    assert "x-shoal-call-id" not in caught.value.response.headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_upstreams_own_errors(
    client: openai.AsyncOpenAI,
    upstream: ScriptedUpstream,
    status: int,
    kind: type[openai.APIStatusError],
    stream: bool,
) -> None:
    body = b'{"error": {"message":"theirs", "type":"t", "param":"p", "code":"c"} }'
    upstream.replies(body, status)
    with pytest.raises(kind, match="theirs") as caught:
        await client.chat.completions.create(model="remote", messages=ASKED, stream=stream)
    assert (caught.value.code, caught.value.param, caught.value.type) == ("c", "p", "t")
    assert caught.value.response.content == body
    assert caught.value.response.headers["x-shoal-call-id"] == "failed-1"


async def test_when_to_try_again_is_passed_on(
    client: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.replies(b'{"error": {"message":"slow down"}}', 429, headers={"Retry-After": "17"})
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="remote", messages=ASKED)
    assert caught.value.response.headers["retry-after"] == "17"


async def test_a_body_over_the_limit(client: openai.AsyncOpenAI) -> None:
    big = [{"role": "user", "content": "x" * 10_000_000}]
    with pytest.raises(openai.APIStatusError, match=r"over 0\.1 MB") as caught:
        await client.chat.completions.create(model="echo", messages=big)
    assert caught.value.status_code == 413
    assert (await client.chat.completions.create(model="echo", messages=ASKED)).choices


async def test_a_stream_that_breaks_off(
    client: openai.AsyncOpenAI, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    upstream.streams([b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'])
    stream = await client.chat.completions.create(model="remote", messages=ASKED, stream=True)
    got = aiter(stream)
    assert (await anext(got)).choices[0].delta.content == "half"
    with pytest.raises(openai.APIError, match="ended its stream before the answer was whole"):
        await anext(got)
    (_, answer, error) = desk.finished[0]
    assert (answer.text, answer.complete) == ("half", False)
    assert "before the answer was whole" in error


async def test_many_at_once(client: openai.AsyncOpenAI, desk: FakeDesk) -> None:
    async def ask(number: int) -> str | None:
        asked = [{"role": "user", "content": str(number)}]
        if number % 2:
            whole = await client.chat.completions.create(model="echo", messages=asked)
            return whole.choices[0].message.content
        stream = await client.chat.completions.create(model="echo", messages=asked, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert await asyncio.gather(*map(ask, range(40))) == [str(number) for number in range(40)]
    assert len(desk.finished) == 40
