"""The official openai package's Responses, unchanged, against a running gateway.

Upstreams speak Chat Completions, Responses, or both; callers of either are answered by all.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import aiohttp
import openai
import pytest
from live import FakeDesk, running_gateway
from msgspec.structs import replace
from openai.types.responses import Response
from pydantic import BaseModel, ValidationError
from scripted_upstream import SpeakingUpstream, speaking

from shoal.chat import Answer, CallDelta, Delta, Message, Reasoning, Request, ToolCall, Usage
from shoal.engines import EchoOptions, RemoteOptions, open_engine
from shoal.formats import FORMATS, Envelope, deltas_of

CHAT, RESPONSES = FORMATS["chat"], FORMATS["responses"]
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}
PATCH = {"type": "custom", "name": "patch"}
CHAT_TOOLS = '[{"type":"custom","custom":{"name":"patch"}}]'
CALLED = Answer(
    text="I look.",
    tool_calls=(ToolCall("c1", "look", '{"at":"🐟"}'), ToolCall("c2", "patch", "@@")),
    finish_reason="tool_calls",
    model="up",
    usage=Usage(9, 5, cached_tokens=4, reasoning_tokens=2),
    reasoning=(Reasoning("hm", "signed"),),
)


@pytest.fixture
async def upstream() -> AsyncIterator[SpeakingUpstream]:
    async with speaking() as scripted:
        yield scripted


@pytest.fixture
async def desk(upstream: SpeakingUpstream) -> AsyncIterator[FakeDesk]:
    spoken = {"chat": ("chat",), "responses": ("responses",), "both": ("chat", "responses")}
    engines = [
        open_engine(
            name,
            RemoteOptions(
                engine="remote",
                base_url=upstream.base_url,
                timeout_s=5,
                model="up",
                formats=formats,
            ),
        )
        for name, formats in spoken.items()
    ]
    yield FakeDesk(open_engine("echo", EchoOptions(engine="echo")), *engines)
    for engine in engines:
        await engine.aclose()


@pytest.fixture
async def gateway(desk: FakeDesk) -> AsyncIterator[str]:
    async with running_gateway(desk) as url:
        yield url


@pytest.fixture
async def client(gateway: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="none") as opened:
        yield opened.with_options(max_retries=0)


def envelope(tools: str = CHAT_TOOLS) -> Envelope:
    return Envelope("u1", 1, Request("up", (Message("user", "hi"),), tools=tools))


def chat_stream(deltas: Sequence[Delta]) -> list[bytes]:
    asked = Request("up", (), tools=CHAT_TOOLS, params='{"stream_options":{"include_usage":true}}')
    writer = CHAT.new_writer(Envelope("u1", 1, asked))
    return [*[writer.feed([delta]) for delta in deltas], writer.end()]


def responses_stream(deltas: Sequence[Delta]) -> list[bytes]:
    writer = RESPONSES.new_writer(envelope())
    return [*[writer.feed([delta]) for delta in deltas], writer.end()]


def calls_of(response: Response) -> list[tuple[str, str]]:
    called = []
    for item in response.output:
        if item.type == "function_call":
            called.append((item.call_id, item.arguments))
        elif item.type == "custom_tool_call":
            called.append((item.call_id, item.input))
    return called


CALLS = [("c1", '{"at":"🐟"}'), ("c2", "@@")]


async def test_plain(client: openai.AsyncOpenAI, desk: FakeDesk) -> None:
    raw = await client.responses.with_raw_response.create(
        model="echo", instructions="Be brief.", input="Grüße 🐟", temperature=0.5
    )
    whole = raw.parse()
    assert whole.output_text == "Grüße 🐟"
    assert (whole.id, whole.status, whole.temperature) == ("resp_call-1", "completed", 0.5)
    assert (whole.instructions, whole.usage and whole.usage.output_tokens) == ("Be brief.", 2)
    assert raw.headers["x-shoal-call-id"] == "call-1"
    Response.model_validate_json(raw.content)  # strictly, unlike the client
    assert [answer.text for _, answer, _ in desk.finished] == ["Grüße 🐟"]


async def test_streamed(client: openai.AsyncOpenAI, desk: FakeDesk) -> None:
    async with client.responses.stream(model="echo", input="Grüße 🐟") as stream:
        kinds = [event.type async for event in stream]
        whole = await stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert whole.output_text == "Grüße 🐟"
    (_, answer, error) = desk.finished[0]
    assert (answer.text, answer.complete, error) == ("Grüße 🐟", True, "")


async def test_a_whole_answer_is_streamed_if_asked_for(
    client: openai.AsyncOpenAI, desk: FakeDesk
) -> None:
    desk.whole_only = True
    async with client.responses.stream(model="echo", input="hi") as stream:
        assert (await stream.get_final_response()).output_text == "hi"


async def test_the_sync_client(gateway: str) -> None:
    def talk() -> tuple[str, str]:
        with openai.OpenAI(base_url=f"{gateway}/v1", api_key="none") as client:
            whole = client.responses.create(model="echo", input="hi")
            with client.responses.stream(model="echo", input="hi") as stream:
                return whole.output_text, stream.get_final_response().output_text

    assert await asyncio.to_thread(talk) == ("hi", "hi")


async def test_the_last_event_waits_until_the_call_is_recorded(
    client: openai.AsyncOpenAI, desk: FakeDesk
) -> None:
    desk.may_finish.clear()
    events = aiter(await client.responses.create(model="echo", input="hi", stream=True))
    kinds = [(await anext(events)).type for _ in range(5)]
    assert kinds[-1] == "response.output_text.delta"
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    desk.may_finish.set()
    assert (await waiting).type == "response.output_text.done"
    assert [event.type async for event in events][-1] == "response.completed"


async def test_tools_over_chat_completions(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    upstream.replies(CHAT.encode_answer(CALLED, envelope()))
    whole = await client.responses.create(
        model="chat",
        instructions="Be brief.",
        input=[
            {"role": "user", "content": "What is this?"},
            {"type": "function_call", "call_id": "c0", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c0", "output": "a fish"},
        ],
        tools=[LOOK, PATCH],
        max_output_tokens=100,
        reasoning={"effort": "low"},
    )
    assert calls_of(whole) == CALLS
    assert whole.output_text == "I look."
    assert whole.usage is not None
    assert whole.usage.input_tokens_details.cached_tokens == 4
    assert whole.usage.output_tokens_details.reasoning_tokens == 2
    assert whole.output[0].type == "reasoning"
    assert (whole.output[0].summary[0].text, whole.output[0].encrypted_content) == ("hm", "signed")
    assert upstream.paths == ["/v1/chat/completions"]
    assert json.loads(upstream.bodies[0]) == {
        "model": "up",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c0",
                        "type": "function",
                        "function": {"name": "look", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c0", "content": "a fish"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
            {"type": "custom", "custom": {"name": "patch"}},
        ],
        "max_completion_tokens": 100,
        "reasoning_effort": "low",
    }


async def test_a_stream_over_chat_completions(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    upstream.streams(
        chat_stream(
            [
                Delta(model="up", thinking="hm", signature="signed"),
                Delta(text="I "),
                Delta(calls=(CallDelta(0, "c1", "look"), CallDelta(1, "c2", "patch"))),
                Delta(calls=(CallDelta(1, arguments="@"), CallDelta(0, arguments='{"at":'))),
                Delta(text="look."),
                Delta(calls=(CallDelta(0, arguments='"🐟"}'), CallDelta(1, arguments="@"))),
                Delta(finish_reason="tool_calls", usage=CALLED.usage),
            ]
        )
    )
    async with client.responses.stream(model="chat", input="hi", tools=[LOOK, PATCH]) as stream:
        whole = await stream.get_final_response()
    assert calls_of(whole) == CALLS
    assert whole.output_text == "I look."
    assert whole.usage is not None
    assert whole.usage.total_tokens == 14
    assert desk.finished[0][1] == CALLED
    sent = json.loads(upstream.bodies[0])
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


class Place(BaseModel):
    city: str


async def test_structured_output_over_chat_completions(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    answer = Answer(text='{"city":"Lima"}', model="up")
    upstream.replies(CHAT.encode_answer(answer, envelope()))
    whole = await client.responses.parse(model="chat", input="hi", text_format=Place)
    assert whole.output_parsed == Place(city="Lima")
    sent = json.loads(upstream.bodies[0])["response_format"]
    assert (sent["type"], sent["json_schema"]["name"]) == ("json_schema", "Place")
    assert sent["json_schema"]["strict"] is True
    upstream.streams(chat_stream(deltas_of(answer)))
    async with client.responses.stream(model="chat", input="hi", text_format=Place) as stream:
        assert (await stream.get_final_response()).output_parsed == Place(city="Lima")


async def test_refused_and_cut_short(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    upstream.replies(CHAT.encode_answer(Answer(refusal="no", model="up"), envelope()))
    whole = await client.responses.create(model="chat", input="hi")
    assert whole.output[0].type == "message"
    assert whole.output[0].content[0].type == "refusal"
    assert whole.output[0].content[0].refusal == "no"
    upstream.streams(chat_stream(deltas_of(Answer(text="ha", finish_reason="length"))))
    events = await client.responses.create(model="chat", input="hi", stream=True)
    last = [event async for event in events][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.output_text == "ha"


ODD = (
    b'{ "model": "both",\n "input": [{"type":"item_reference","id":"msg_1"}], "tools":'
    b' [{"type":"web_search"}], "store": true, "unheard_of": 1.50, "stream": %s}'
)
ODD_REPLY = (
    b'{"id":"resp_9", "output":[{"type":"web_search_call","id":"w","unheard":[1]},'
    b'{"type":"message","content":[{"type":"output_text","text":"hi","annotations":[{"x":1}]}]}],'
    b' "model":"up-1","status":"completed","extra":1.50}'
)


async def test_its_own_format_passes_byte_for_byte(
    gateway: str, http: aiohttp.ClientSession, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    upstream.replies(ODD_REPLY)
    asked = ODD % b"false"
    async with http.post(f"{gateway}/v1/responses", data=asked) as reply:
        assert await reply.read() == ODD_REPLY
    assert upstream.paths == ["/v1/responses"]
    assert upstream.bodies == [asked.replace(b'"both"', b'"up"')]
    (_, answer, _) = desk.finished[0]
    assert (answer.text, answer.model, answer.format) == ("hi", "up-1", "responses")


async def test_its_own_format_streams_byte_for_byte(
    gateway: str, http: aiohttp.ClientSession, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    events = [event.replace(b'"delta":', b' "unheard" :1.50,"delta":') for event in
              responses_stream(deltas_of(CALLED))]  # fmt: skip
    events.insert(1, b': ping\r\n\r\nevent: response.new\r\ndata: {"type":"response.new"}\r\n\r\n')
    upstream.streams(events)
    asked = ODD % b"true"
    async with http.post(f"{gateway}/v1/responses", data=asked) as reply:
        assert reply.content_type == "text/event-stream"
        assert await reply.read() == b"".join(events)
    assert upstream.paths == ["/v1/responses"]
    assert upstream.bodies == [asked.replace(b'"both"', b'"up"')]
    assert desk.finished[0][1] == replace(CALLED, id="resp_u1")


async def test_who_speaks_both_is_asked_in_the_callers_own(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    upstream.replies(CHAT.encode_answer(CALLED, envelope()))
    asked = [{"role": "user", "content": "hi"}]
    await client.chat.completions.create(model="both", messages=asked, seed=3)
    assert upstream.paths == ["/v1/chat/completions"]
    assert json.loads(upstream.bodies[0])["seed"] == 3


async def test_a_chat_over_responses(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    upstream.replies(RESPONSES.encode_answer(CALLED, envelope()))
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    tools = [
        {"type": "function", "function": {"name": "look"}},
        {"type": "custom", "custom": {"name": "patch"}},
    ]
    whole = await client.chat.completions.create(
        model="responses", messages=asked, tools=tools, max_tokens=20
    )
    choice = whole.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    assert choice.message.tool_calls is not None
    first, second = choice.message.tool_calls
    assert (first.type, first.id) == ("function", "c1")
    assert (second.type, second.id) == ("custom", "c2")
    assert second.custom.input == "@@"
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (9, 5)
    assert upstream.paths == ["/v1/responses"]
    assert json.loads(upstream.bodies[0]) == {
        "model": "up",
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "hi"}],
        "tools": [
            {"type": "function", "name": "look", "parameters": None, "strict": False},
            {"type": "custom", "name": "patch"},
        ],
        "max_output_tokens": 20,
        "store": False,
    }


async def test_a_streamed_chat_over_responses(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    answer = CALLED
    upstream.streams(responses_stream(deltas_of(answer)))
    async with client.chat.completions.stream(
        model="responses",
        messages=[{"role": "user", "content": "hi"}],
        stream_options={"include_usage": True},
    ) as stream:
        whole = await stream.get_final_completion()
    choice = whole.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    assert choice.message.tool_calls is not None
    assert [(call.id, call.function.arguments) for call in choice.message.tool_calls] == CALLS
    assert whole.usage is not None
    assert whole.usage.total_tokens == 14
    assert desk.finished[0][1] == replace(answer, id="resp_u1")
    assert "stream_options" not in json.loads(upstream.bodies[0])


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_upstreams_format_cannot_say(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError, match=r"tools\[0\] \(web_search\)") as caught:
        await client.responses.create(
            model="chat", input="hi", tools=[{"type": "web_search"}], stream=stream
        )
    assert (caught.value.code, caught.value.param) == ("untranslatable", "tools[0]")
    asked = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.BadRequestError, match="stop") as chat:
        await client.chat.completions.create(
            model="responses", messages=asked, stop="x", stream=stream
        )
    assert (chat.value.code, chat.value.param) == ("untranslatable", "stop")
    assert upstream.bodies == []
    assert len(desk.failures) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["chat", "responses"])
async def test_the_upstreams_own_errors(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, model: str, stream: bool
) -> None:
    body = b'{"error": {"message":"theirs", "type":"t", "param":"p", "code":"c"} }'
    upstream.replies(body, 429, headers={"Retry-After": "17"})
    with pytest.raises(openai.RateLimitError, match="theirs") as caught:
        await client.responses.create(model=model, input="hi", stream=stream)
    assert (caught.value.code, caught.value.param) == ("c", "p")
    assert caught.value.response.content == body
    assert caught.value.response.headers["retry-after"] == "17"


async def test_an_answer_that_failed(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk
) -> None:
    failed = {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}
    upstream.replies(json.dumps({"output": [], **failed}).encode())
    for ask in (
        client.responses.create(model="responses", input="hi"),
        client.chat.completions.create(model="responses", messages=[{"role": "user"}]),  # type: ignore[list-item]
    ):
        with pytest.raises(openai.RateLimitError, match="slow"):
            await ask
    told = {"type": "response.failed", "response": failed}
    upstream.streams([b"data: %s\n\n" % json.dumps(told).encode()])
    with pytest.raises(openai.APIError, match="slow"):
        async with client.responses.stream(model="responses", input="hi") as stream:
            await stream.get_final_response()
    assert len(desk.failures) == 3  # a stream that begins with its failure has a status, too


@pytest.mark.parametrize("model", ["chat", "responses"])
async def test_a_stream_that_breaks_off(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, desk: FakeDesk, model: str
) -> None:
    make = chat_stream if model == "chat" else responses_stream
    upstream.streams(make(deltas_of(Answer(text="half", model="up")))[:2])
    events = await client.responses.create(model=model, input="hi", stream=True)
    kinds: list[str] = []
    with pytest.raises(openai.APIError, match="ended its stream before the answer was whole"):
        kinds += [event.type async for event in events]
    assert "response.completed" not in kinds
    (_, answer, error) = desk.finished[0]
    assert (answer.text, answer.complete) == ("half", False)
    assert "before the answer was whole" in error


async def test_an_unknown_model_and_a_malformed_request(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'none'") as caught:
        await client.responses.create(model="none", input="hi")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="expected at least one item") as malformed:
        await client.responses.create(model="echo", input=[])
    assert malformed.value.param == "input"


def test_an_address_that_names_the_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="leave '/responses' out"):
        RemoteOptions(engine="remote", base_url="https://api.openai.com/v1/responses")
