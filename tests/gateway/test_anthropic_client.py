"""The official anthropic package, unchanged, against a running gateway; and callers of either
format with upstreams of the other."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from live import FakeDesk, running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.chat import Answer, Reasoning, Request, ToolCall, Usage
from shoal.engines import (
    AnthropicOptions,
    EchoOptions,
    EngineOptions,
    RemoteOptions,
    open_engine,
)
from shoal.formats import FORMATS, Envelope, deltas_of
from shoal.formats.chat_completions import CHAT_COMPLETIONS
from shoal.formats.messages import MESSAGES

KEY = "sk-ant-0123456789"
ASKED: list[Any] = [{"role": "user", "content": "Grüße 🐟"}]
TOOL: Any = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
FUNCTION: Any = {"type": "function", "function": {"name": "look"}}
ENVELOPE = Envelope("u1", 1, Request("up", (), params='{"stream_options":{"include_usage":true}}'))
ANSWER = Answer(
    text="I look.",
    tool_calls=(ToolCall("c1", "look", '{"at":"🐟"}'), ToolCall("c2", "look", "{}")),
    finish_reason="tool_calls",
    model="up",
    usage=Usage(15, 7, cached_tokens=5, reasoning_tokens=2),
    reasoning=(Reasoning("Hm.", "signed"),),
)


def event_stream(wire: str, answer: Answer = ANSWER) -> list[bytes]:
    writer = FORMATS[wire].new_writer(ENVELOPE)  # type: ignore[index]
    return [*(writer.feed([delta]) for delta in deltas_of(answer)), writer.end()]


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """Answers in both formats as it is scripted."""
    scripted = ScriptedUpstream()
    app = web.Application()
    app.router.add_post("/v1/messages", scripted.handle)
    app.router.add_post("/v1/chat/completions", scripted.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.base_url = "http://{}:{}/v1".format(*runner.addresses[0][:2])
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def desk(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeDesk]:
    monkeypatch.setenv("SOME_KEY", KEY)
    base = upstream.base_url
    options: dict[str, EngineOptions] = {
        "chat": RemoteOptions(engine="remote", base_url=base, model="up"),
        "claude": AnthropicOptions(
            engine="anthropic", base_url=base, model="up", key_env="SOME_KEY"
        ),
        "both": RemoteOptions(engine="remote", base_url=base, formats=("chat", "messages")),
        "echo": EchoOptions(engine="echo"),
    }
    engines = [open_engine(name, option) for name, option in options.items()]
    yield FakeDesk(*engines)
    for engine in engines:
        await engine.aclose()


@pytest.fixture
async def client(desk: FakeDesk) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with (
        running_gateway(desk, max_body_mb=0.1) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as opened,
    ):
        yield opened


@pytest.fixture
async def other(desk: FakeDesk) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        running_gateway(desk) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as opened,
    ):
        yield opened


async def asked_whole(client: anthropic.AsyncAnthropic, **fields: Any) -> anthropic.types.Message:
    return await client.messages.create(
        **{"model": "chat", "max_tokens": 9, "messages": ASKED} | fields
    )


async def asked_streamed(
    client: anthropic.AsyncAnthropic, **fields: Any
) -> anthropic.types.Message:
    asked = {"model": "chat", "max_tokens": 9, "messages": ASKED} | fields
    async with client.messages.stream(**asked) as stream:
        return await stream.get_final_message()


def check(message: anthropic.types.Message) -> None:
    """That a message says what ``ANSWER`` says."""
    thought, text, first, second = message.content
    assert thought.type == "thinking"
    assert (thought.thinking, thought.signature) == ("Hm.", "signed")
    assert text.type == "text"
    assert text.text == "I look."
    assert first.type == "tool_use"
    assert (first.id, first.name, first.input) == ("c1", "look", {"at": "🐟"})
    assert second.type == "tool_use"
    assert (second.id, second.input) == ("c2", {})
    assert message.stop_reason == "tool_use"
    assert message.model == "up"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (10, 5, 7)
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 2


@pytest.mark.parametrize("ask", [asked_whole, asked_streamed])
async def test_an_engine_that_speaks_no_format(
    client: anthropic.AsyncAnthropic, desk: FakeDesk, ask: Any
) -> None:
    message = await ask(client, model="echo", system="Repeat it.")
    assert [block.text for block in message.content] == ["Grüße 🐟"]
    assert (message.id, message.stop_reason) == ("msg_call-1", "end_turn")
    assert message.usage.output_tokens == 2
    ((_, answer, error),) = desk.finished
    assert (answer.text, answer.complete, error) == ("Grüße 🐟", True, "")


async def test_the_receipt_is_in_the_headers(client: anthropic.AsyncAnthropic) -> None:
    raw = await client.messages.with_raw_response.create(model="echo", max_tokens=9, messages=ASKED)
    assert raw.headers["x-shoal-answered-by"] == "echo"
    assert raw.headers["x-shoal-call-id"] == "call-1"


async def test_the_sync_client(desk: FakeDesk) -> None:
    def talk(url: str) -> list[str]:
        with anthropic.Anthropic(base_url=url, api_key="none") as client:
            asked: Any = {"model": "echo", "max_tokens": 9, "messages": ASKED}
            whole = client.messages.create(**asked)
            with client.messages.stream(**asked) as stream:
                return [whole.content[0].text, *stream.text_stream]  # type: ignore[union-attr]

    async with running_gateway(desk) as url:
        assert await asyncio.to_thread(talk, url) == ["Grüße 🐟", "Grüße 🐟"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_completions_upstream(
    client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream, desk: FakeDesk, stream: bool
) -> None:
    if stream:
        upstream.streams(event_stream("chat"))
    else:
        upstream.replies(CHAT_COMPLETIONS.encode_answer(ANSWER, ENVELOPE))
    messages = [
        *ASKED,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": "dark"},
                {"type": "text", "text": "Again."},
            ],
        },
    ]
    ask = asked_streamed if stream else asked_whole
    check(
        await ask(client, messages=messages, system="Be brief.", tools=[TOOL], stop_sequences=["x"])
    )
    sent = json.loads(upstream.bodies[0])
    assert [message["role"] for message in sent["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert sent["tools"][0]["function"]["parameters"] == TOOL["input_schema"]
    assert (sent["model"], sent["max_completion_tokens"], sent["stop"]) == ("up", 9, ["x"])
    ((_, answer, error),) = desk.finished
    assert (answer.usage, answer.complete, error) == (ANSWER.usage, True, "")


@pytest.mark.parametrize("model", ["claude", "both"])
async def test_an_upstream_of_the_same_format_is_passed_through(
    client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream, desk: FakeDesk, model: str
) -> None:
    asked = {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]}
    upstream.replies(MESSAGES.encode_answer(ANSWER, ENVELOPE))
    message = await asked_whole(client, model=model, tools=[TOOL], **asked)
    check(message)
    assert message.id == "msg_u1"
    upstream.streams(event_stream("messages"))
    message = await asked_streamed(client, model=model, tools=[TOOL], **asked)
    check(message)
    assert message.id == "msg_u1"
    for body in map(json.loads, upstream.bodies):
        assert body["system"] == asked["system"]
        assert body["model"] == ("up" if model == "claude" else "both")
    headers = {name.lower(): value for name, value in upstream.headers[0].items()}
    if model == "claude":
        assert headers["x-api-key"] == KEY
        assert headers["anthropic-version"] == client.default_headers["anthropic-version"]
        assert "authorization" not in headers
    assert [error for _, _, error in desk.finished] == ["", ""]
    assert desk.finished[1][1].text == "I look."


async def test_bytes_of_a_stream_pass_untouched(desk: FakeDesk, upstream: ScriptedUpstream) -> None:
    sent = [b": hi\n\n", *event_stream("messages")]
    sent.insert(3, b'event: not_yet_known\ndata: {"type": "not_yet_known"}\r\n\r\n')
    upstream.streams(sent)
    async with (
        running_gateway(desk) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k") as c,
    ):
        asked: Any = {"model": "claude", "max_tokens": 9, "messages": ASKED, "stream": True}
        async with c.messages.with_streaming_response.create(**asked) as reply:
            assert b"".join([piece async for piece in reply.iter_bytes()]) == b"".join(sent)


async def test_the_last_event_is_held_until_the_call_is_recorded(
    desk: FakeDesk, upstream: ScriptedUpstream
) -> None:
    desk.may_finish.clear()
    upstream.streams(event_stream("messages"))
    async with (
        running_gateway(desk) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="k") as c,
    ):
        asked: Any = {"model": "claude", "max_tokens": 9, "messages": ASKED, "stream": True}
        events = aiter(await c.messages.create(**asked))
        async for event in events:
            if event.type == "message_delta":
                break
        last = asyncio.ensure_future(anext(events))
        await asyncio.wait((last,), timeout=0.1)
        assert not last.done()
        desk.may_finish.set()
        assert (await last).type == "message_stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_caller_with_an_anthropic_upstream(
    other: openai.AsyncOpenAI, upstream: ScriptedUpstream, desk: FakeDesk, stream: bool
) -> None:
    asked: dict[str, Any] = {"model": "claude", "messages": ASKED, "tools": [FUNCTION]}
    if stream:
        upstream.streams(event_stream("messages"))
        options = {"include_usage": True}
        async with other.chat.completions.stream(**asked, stream_options=options) as events:
            whole: Any = await events.get_final_completion()
    else:
        upstream.replies(MESSAGES.encode_answer(ANSWER, ENVELOPE))
        whole = await other.chat.completions.create(**asked)
    (choice,) = whole.choices
    assert choice.message.content == "I look."
    called = [(call.id, call.function.arguments) for call in choice.message.tool_calls or ()]
    assert called == [("c1", '{"at":"🐟"}'), ("c2", "{}")]
    assert choice.finish_reason == "tool_calls"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (15, 7)
    assert whole.usage.prompt_tokens_details.cached_tokens == 5
    sent = json.loads(upstream.bodies[0])
    assert sent["max_tokens"] == 8_192
    assert sent["messages"] == ASKED
    ((_, answer, error),) = desk.finished
    assert (answer.usage, answer.reasoning, error) == (ANSWER.usage, ANSWER.reasoning, "")


async def test_a_conversation_with_an_anthropic_upstream_keeps_its_signatures(
    other: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    """A chat caller that sends back what it was told sends back what Anthropic wants."""
    upstream.replies(MESSAGES.encode_answer(ANSWER, ENVELOPE))
    asked: dict[str, Any] = {"model": "claude", "tools": [FUNCTION]}
    whole = await other.chat.completions.create(messages=ASKED, **asked)
    said = whole.choices[0].message.model_dump(exclude_none=True)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in said["tool_calls"]
    ]
    await other.chat.completions.create(messages=[*ASKED, said, *results], **asked)
    _, assistant, results_turn = json.loads(upstream.bodies[1])["messages"]
    assert assistant["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "signed"}
    assert [block["type"] for block in results_turn["content"]] == ["tool_result"] * 2


async def test_what_cannot_be_translated_is_refused_before_it_is_sent(
    client: anthropic.AsyncAnthropic, other: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\] \(web_search") as caught:
        await asked_whole(client, tools=tools)
    body: Any = caught.value.body
    assert body["error"]["type"] == "invalid_request_error"
    assert (body["error"]["code"], body["error"]["param"]) == ("untranslatable", "tools[0]")
    assert body["request_id"] == "failed-1"
    with pytest.raises(openai.BadRequestError, match="n: Messages has no such field") as refused:
        await other.chat.completions.create(model="claude", messages=ASKED, n=2)
    assert (refused.value.code, refused.value.param) == ("untranslatable", "n")
    assert upstream.bodies == []


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("claude", b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'),
        ("chat", b'{"error":{"message":"slow down","type":"requests","code":"rate"}}'),
    ],
)
@pytest.mark.parametrize("ask", [asked_whole, asked_streamed])
async def test_errors_of_the_upstream(
    client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream, model: str, body: bytes, ask: Any
) -> None:
    upstream.replies(body, 429, headers={"Retry-After": "17"})
    with pytest.raises(anthropic.RateLimitError, match="slow down") as caught:
        await ask(client, model=model)
    told: Any = caught.value.body
    assert (told["type"], told["error"]["type"]) == ("error", "rate_limit_error")
    assert caught.value.response.headers["retry-after"] == "17"
    if model == "claude":
        assert caught.value.response.content == body


async def test_an_error_of_an_anthropic_upstream_told_to_a_chat_caller(
    other: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    error = {"type": "overloaded_error", "message": "too busy"}
    upstream.replies(json.dumps({"type": "error", "error": error}).encode(), 529)
    with pytest.raises(openai.APIStatusError, match="too busy") as caught:
        await other.chat.completions.create(model="claude", messages=ASKED)
    assert (caught.value.status_code, caught.value.code) == (529, "upstream_refused")


@pytest.mark.parametrize("model", ["chat", "claude"])
async def test_a_stream_that_breaks_off(
    client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream, desk: FakeDesk, model: str
) -> None:
    half = event_stream("chat" if model == "chat" else "messages", Answer("half", model="up"))
    upstream.streams(half[:-2])
    with pytest.raises(anthropic.APIStatusError, match="before the answer was whole") as caught:
        await asked_streamed(client, model=model)
    body: Any = caught.value.body
    assert (body["error"]["type"], body["request_id"]) == ("api_error", "call-1")
    ((_, answer, error),) = desk.finished
    assert (answer.text, answer.complete) == ("half", False)
    assert error


async def test_an_error_within_a_stream(
    client: anthropic.AsyncAnthropic, upstream: ScriptedUpstream
) -> None:
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"too busy"}}'
    upstream.streams([event_stream("messages")[0], b"event: error\ndata: " + error + b"\n\n"])
    with pytest.raises(anthropic.APIStatusError, match="too busy") as caught:
        await asked_streamed(client, model="claude")
    assert caught.value.body == json.loads(error)


async def test_malformed_and_unknown(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="at least one message"):
        await asked_whole(client, messages=[])
    with pytest.raises(anthropic.NotFoundError, match="there is no model 'none'") as caught:
        await asked_whole(client, model="none")
    body: Any = caught.value.body
    assert body["error"]["code"] == "model_not_found"
    big = [{"role": "user", "content": "x" * 1_000_000}]
    with pytest.raises(anthropic.APIStatusError, match=r"over 0\.1 MB") as too_large:
        await asked_whole(client, messages=big)
    assert too_large.value.status_code == 413
