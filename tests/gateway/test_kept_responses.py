"""Responses by their ids: the official openai package against a gateway over all of Shoal."""

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.responses import Response
from openai.types.responses.response_item_list import ResponseItemList
from scripted_upstream import SpeakingUpstream, speaking
from whole_shoal import Place, whole_shoal
from yarl import URL

from shoal.chat import Answer, Reasoning, Request, ToolCall, Usage
from shoal.engines import EchoOptions, EngineOptions, RemoteOptions
from shoal.engines.options import Endpoint
from shoal.formats import FORMATS, Envelope, deltas_of

LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
PATCH: Any = {"type": "custom", "name": "patch"}
CALLED = Answer(
    text="I look.",
    tool_calls=(ToolCall("c1", "look", '{"at":"🐟"}'), ToolCall("c2", "patch", "@@")),
    finish_reason="tool_calls",
    model="up",
    usage=Usage(9, 5, cached_tokens=4, reasoning_tokens=2),
    reasoning=(Reasoning("hm", "signed"),),
)
AGENT: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": [
        {"role": "system", "content": "Truly."},
        {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}]},
        {
            "type": "reasoning",
            "id": "rs_7",
            "summary": [{"type": "summary_text", "text": "A fish."}],
            "encrypted_content": "sealed",
        },
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c0", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": "a fish"},
    ],
    "tools": [LOOK, PATCH],
    "tool_choice": {"type": "function", "name": "look"},
    "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "metadata": {"a": "b"},
    "max_output_tokens": 50,
    "parallel_tool_calls": False,
    "temperature": 0.5,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "u",
}
THEIRS = b'{ "id":"resp_9", "object":"response","status":"%s" ,"model":"up-1","output":[],"x":1.50}'
NO_SUCH = b'{"error":{"message":"Response not found.","type":"invalid_request_error"}}'


@pytest.fixture
async def upstream() -> AsyncIterator[SpeakingUpstream]:
    async with speaking() as scripted:
        yield scripted


def models(upstream: SpeakingUpstream) -> dict[str, EngineOptions]:
    chat = RemoteOptions(engine="remote", base_url=upstream.base_url, model="up", retries=0)
    return {
        "echo": EchoOptions(engine="echo"),
        "chat": chat,
        "gpt": chat.model_copy(update={"formats": ("responses",)}),
        "often": chat.model_copy(update={"formats": ("responses",), "retries": 2}),
        "other": chat.model_copy(update={"formats": ("chat", "responses")}),
    }


@pytest.fixture
async def here(tmp_path: Path, upstream: SpeakingUpstream) -> AsyncIterator[Place]:
    async with whole_shoal(tmp_path, models(upstream)) as place:
        yield place


@asynccontextmanager
async def client_of(here: Place, **spec: object) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{here.url}/v1", api_key=here.key(**spec), max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def client(here: Place) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(here) as opened:
        yield opened


def chat_answer(upstream: SpeakingUpstream, answer: Answer = CALLED) -> None:
    tools = '[{"type":"custom","custom":{"name":"patch"}}]'
    envelope = Envelope("u1", 1, Request("up", (), tools=tools))
    upstream.replies(FORMATS["chat"].encode_answer(answer, envelope))


async def test_what_shoal_wrote_is_told_as_it_was(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, here: Place
) -> None:
    chat_answer(upstream)
    said = await client.responses.create(model="chat", **AGENT)
    raw = await client.responses.with_raw_response.retrieve(
        said.id, include=["file_search_call.results"]
    )
    told = raw.parse()
    assert told == said
    assert (told.store, told.metadata, told.truncation) == (True, {"a": "b"}, "auto")  # type: ignore[attr-defined]
    Response.model_validate_json(raw.content)  # strictly, unlike the client
    assert len(upstream.bodies) == len(here.calls()) == 1


async def test_what_shoal_streamed_is_told_whole(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    async with client.responses.stream(model="echo", input="Grüße 🐟") as stream:
        said = await stream.get_final_response()
    told = await client.responses.retrieve(said.id)
    assert told.output_text == said.output_text == "Grüße 🐟"
    assert (told.id, told.status, told.usage) == (said.id, "completed", said.usage)


async def test_the_items_of_the_input(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream, here: Place, http: aiohttp.ClientSession
) -> None:
    chat_answer(upstream)
    said = await client.responses.create(model="chat", **AGENT)
    items = [item async for item in client.responses.input_items.list(said.id, order="asc")]
    assert [item.type for item in items] == [
        "message",
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert len({item.id for item in items}) == len(items)
    told = [json.loads(item.to_json()) for item in items]
    assert [item.get("role") for item in told] == ["system", "user", None, "assistant", None, None]
    assert told[1]["content"] == [{"type": "input_text", "text": "What is this?"}]
    assert (told[2]["id"], told[2]["encrypted_content"]) == ("rs_7", "sealed")
    assert told[5]["output"] == "a fish"
    backwards = [item.id async for item in client.responses.input_items.list(said.id, limit=4)]
    assert backwards == [item.id for item in reversed(items)]
    page = await client.responses.input_items.list(said.id, limit=4)
    assert (len(page.data), page.has_more) == (4, True)
    headers = {"authorization": f"Bearer {client.api_key}"}
    url = f"{here.url}/v1/responses/{said.id}/input_items"
    async with http.get(url, headers=headers) as reply:
        ResponseItemList.model_validate_json(await reply.read())  # strictly, unlike the client
    for query, param in (("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"),
                         ("after=none", "after")):  # fmt: skip
        async with http.get(f"{url}?{query}", headers=headers) as reply:
            assert (reply.status, (await reply.json())["error"]["param"]) == (400, param)


async def test_whose_it_is(here: Place, upstream: SpeakingUpstream) -> None:
    upstream.replies(THEIRS % b"completed")
    async with (
        client_of(here) as mine,
        client_of(here) as anothers,
        client_of(here, scopes=["call", "admin"]) as admin,
    ):
        ids = [(await mine.responses.create(model=name, input="hi")).id for name in ("echo", "gpt")]
        asked = len(upstream.bodies)
        for response_id in ids:
            for act in (
                anothers.responses.retrieve,
                anothers.responses.delete,
                anothers.responses.cancel,
                anothers.responses.input_items.list,
            ):
                with pytest.raises(openai.NotFoundError) as caught:
                    await act(response_id)
                assert caught.value.response.json()["error"].keys() == {
                    "message",
                    "type",
                    "param",
                    "code",
                }
            with pytest.raises(openai.NotFoundError) as unknown:
                await anothers.responses.retrieve("resp_none")
            expected = str(unknown.value).replace("resp_none", response_id)
            assert str(caught.value) == expected  # nobody learns that there is one
        assert len(upstream.bodies) == asked
        for response_id in ids:
            assert (await admin.responses.retrieve(response_id)).id == response_id


async def test_nobody_goes_on_from_another_keys(here: Place, upstream: SpeakingUpstream) -> None:
    upstream.replies(THEIRS % b"completed")
    async with client_of(here) as mine, client_of(here) as anothers:
        first = await mine.responses.create(model="gpt", input="hi")
        here.calls()  # once it is written
        with pytest.raises(openai.BadRequestError, match="'resp_9' not found") as caught:
            await anothers.responses.create(
                model="gpt", input="go on", previous_response_id=first.id
            )
        assert caught.value.param == "previous_response_id"
        escaped = b'{"model":"gpt","input":"go on","previous\\u005fresponse_id":"resp_9"}'
        headers = {"authorization": f"Bearer {anothers.api_key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{here.url}/v1/responses", data=escaped, headers=headers) as reply,
        ):
            assert reply.status == 400
        assert len(upstream.bodies) == 1
        for previous in (first.id, "resp_unknown"):
            await mine.responses.create(model="gpt", input="go on", previous_response_id=previous)
        await anothers.responses.create(model="gpt", input="?", previous_response_id="resp_unknown")
    assert len(upstream.bodies) == 4


async def test_what_was_not_to_be_kept(
    client: openai.AsyncOpenAI, here: Place, upstream: SpeakingUpstream
) -> None:
    said = await client.responses.create(model="echo", input="hi", store=False)
    assert not said.store  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError, match="was not to be kept"):
        await client.responses.retrieve(said.id)
    completion = await client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "hi"}]
    )
    call_id = completion.id.removeprefix("chatcmpl-")
    assert here.calls()[0].id == call_id
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(f"resp_{call_id}")
    kept = await client.responses.create(model="echo", input="hi")
    here.store.expire(now=time.time() + 1e9)
    with pytest.raises(openai.NotFoundError, match="has expired"):
        await client.responses.retrieve(kept.id)


@pytest.mark.parametrize(
    "odd", ["resp_", "x", "resp_%00", "..", "%2e%2e", "a" * 300, "%C3%A9", "a?b"]
)
async def test_ids_that_are_none(
    http: aiohttp.ClientSession, here: Place, upstream: SpeakingUpstream, odd: str
) -> None:
    headers = {"authorization": f"Bearer {here.key()}"}
    url = URL(f"{here.url}/v1/responses/{odd}", encoded=True)
    async with http.get(url, headers=headers) as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["type"] == "invalid_request_error"
    assert upstream.bodies == []


async def test_shoals_record_is_not_deleted(client: openai.AsyncOpenAI, here: Place) -> None:
    said = await client.responses.create(model="echo", input="hi")
    with pytest.raises(openai.PermissionDeniedError, match="part of Shoal's record") as caught:
        await client.responses.delete(said.id)
    assert caught.value.code == "response_recorded"
    with pytest.raises(openai.BadRequestError, match="made in the background"):
        await client.responses.cancel(said.id)
    with pytest.raises(openai.BadRequestError, match="is not streamed again"):
        await client.responses.retrieve(said.id, stream=True)
    assert (await client.responses.retrieve(said.id)).output_text == "hi"


async def test_what_broke_off_is_told_as_failed(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    asked = Request("up", (), params='{"stream_options":{"include_usage":true}}')
    writer = FORMATS["chat"].new_writer(Envelope("u1", 1, asked))
    upstream.streams([writer.feed(deltas_of(Answer(text="half", model="up"))[:2])])
    events = aiter(await client.responses.create(model="chat", input="hi", stream=True))
    begun = await anext(events)
    assert begun.type == "response.created"
    with pytest.raises(openai.APIError):
        _ = [event async for event in events]
    told = await client.responses.retrieve(begun.response.id)
    assert (told.status, told.output_text) == ("failed", "half")
    assert told.error is not None
    assert "ended its stream before the answer was whole" in told.error.message


async def test_an_upstreams_own_is_asked_for_there(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    """By way of the one that made it, as long as it takes."""
    upstream.replies(THEIRS % b"queued")
    said = await client.responses.create(model="gpt", input="hi", background=True)
    assert (said.id, said.status) == ("resp_9", "queued")
    upstream.replies(THEIRS % b"completed", headers={"x-request-id": "req_1"})
    raw = await client.responses.with_raw_response.retrieve(
        "resp_9", include=["message.output_text.logprobs"]
    )
    assert raw.content == THEIRS % b"completed"
    assert raw.parse()._request_id == "req_1"
    await client.responses.cancel("resp_9")
    await client.responses.delete("resp_9")
    upstream.replies(b'{"object":"list","data":[],"has_more":false}')
    assert (await client.responses.input_items.list("resp_9", limit=5)).data == []
    assert upstream.asked[1:] == [
        ("GET", "/v1/responses/resp_9?include%5B%5D=message.output_text.logprobs"),
        ("POST", "/v1/responses/resp_9/cancel"),
        ("DELETE", "/v1/responses/resp_9"),
        ("GET", "/v1/responses/resp_9/input_items?limit=5"),
    ]
    with pytest.raises(openai.BadRequestError, match="is not streamed again"):
        await client.responses.retrieve("resp_9", stream=True)


async def test_an_upstreams_own_that_was_streamed(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    writer = FORMATS["responses"].new_writer(Envelope("9", 1, Request("up", ())))
    upstream.streams([writer.feed(deltas_of(Answer(text="hi", model="up"))), writer.end()])
    async with client.responses.stream(model="other", input="hi") as stream:
        said = await stream.get_final_response()
    assert said.id == "resp_9"
    upstream.replies(THEIRS % b"completed")
    assert (await client.responses.retrieve("resp_9")).model == "up-1"


async def test_what_the_upstream_says_of_it(
    client: openai.AsyncOpenAI, upstream: SpeakingUpstream
) -> None:
    upstream.replies(THEIRS % b"completed")
    await client.responses.create(model="gpt", input="hi")
    upstream.replies(NO_SUCH, 404)
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.retrieve("resp_9")
    assert caught.value.response.content == NO_SUCH


async def test_a_response_that_failed_was_worked_on(
    client: openai.AsyncOpenAI, here: Place, upstream: SpeakingUpstream
) -> None:
    """So it is not asked for again, and nobody knows what it cost."""
    upstream.replies(
        b'{"id":"resp_9","object":"response","status":"failed","model":"up","output":[],'
        b'"error":{"code":"server_error","message":"broke"}}'
    )
    with pytest.raises(openai.InternalServerError, match="broke"):
        await client.with_options(max_retries=0).responses.create(model="often", input="hi")
    assert len(upstream.bodies) == 1
    here.calls()
    assert [row.unpriced for row in here.store.spend.list(by="model")] == [1]


async def test_an_id_that_no_index_holds(
    client: openai.AsyncOpenAI, here: Place, upstream: SpeakingUpstream
) -> None:
    upstream.replies(
        THEIRS.replace(b"resp_9", b"resp_" + random.randbytes(4_000).hex().encode()) % b"completed"
    )
    said = await client.responses.create(model="gpt", input="hi")
    assert [call.answer.id for call in here.calls() if call.answer] == [said.id]
    assert here.store.calls.keys_of_answer(said.id) == set()
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(said.id)


async def test_of_several_endpoints_the_one_that_has_it(
    tmp_path: Path, upstream: SpeakingUpstream
) -> None:
    async with speaking() as second:
        gpt = RemoteOptions(
            engine="remote",
            base_url=upstream.base_url,
            formats=("responses",),
            endpoints=(Endpoint(base_url=second.base_url),),
        )
        async with whole_shoal(tmp_path, {"gpt": gpt}) as here, client_of(here) as client:
            upstream.replies(THEIRS % b"completed")
            await client.responses.create(model="gpt", input="hi")
            upstream.replies(NO_SUCH, 404)
            second.replies(THEIRS % b"completed")
            assert (await client.responses.retrieve("resp_9")).id == "resp_9"
            second.replies(NO_SUCH, 404)
            with pytest.raises(openai.NotFoundError, match="Response not found"):
                await client.responses.retrieve("resp_9")


async def test_a_model_that_is_gone(tmp_path: Path, upstream: SpeakingUpstream) -> None:
    upstream.replies(THEIRS % b"completed")
    async with whole_shoal(tmp_path, models(upstream)) as here, client_of(here) as client:
        await client.responses.create(model="gpt", input="hi")
    gone = {name: option for name, option in models(upstream).items() if name != "gpt"}
    for left, why in (
        (gone, "'gpt', which shoal.toml no longer names"),
        (gone | {"gpt": models(upstream)["chat"]}, "gpt keeps no responses"),
        (gone | {"gpt": EchoOptions(engine="echo")}, "gpt keeps no responses"),
    ):
        async with (
            whole_shoal(tmp_path, left) as here,
            client_of(here, scopes=["call", "admin"]) as client,
        ):
            with pytest.raises(openai.NotFoundError, match=why):
                await client.responses.retrieve("resp_9")


async def test_requests_a_minute_and_models_of_the_key(
    here: Place, upstream: SpeakingUpstream
) -> None:
    async with client_of(here, rpm=2) as client:
        said = await client.responses.create(model="echo", input="hi")
        raw = await client.responses.with_raw_response.retrieve(said.id)
        assert raw.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError):
            await client.responses.retrieve(said.id)
    async with client_of(here, scopes=["read"]) as reader:
        with pytest.raises(openai.PermissionDeniedError, match="this needs call"):
            await reader.responses.retrieve(said.id)


async def test_without_keys_all_callers_are_one(tmp_path: Path, upstream: SpeakingUpstream) -> None:
    async with (
        whole_shoal(tmp_path, models(upstream)) as here,
        openai.AsyncOpenAI(base_url=f"{here.url}/v1", api_key="none") as client,
    ):
        said = await client.responses.create(model="echo", input="hi")
        assert (await client.responses.retrieve(said.id)).output_text == "hi"


async def test_what_was_redacted_stays_so_in_the_store(
    tmp_path: Path, upstream: SpeakingUpstream
) -> None:
    async with (
        whole_shoal(tmp_path, models(upstream), store="redacted") as here,
        client_of(here) as client,
    ):
        said = await client.responses.create(
            model="echo", input="I am bob@example.com", metadata={"who": "bob@example.com"}
        )
        assert said.output_text == "I am bob@example.com"
        told = await client.responses.retrieve(said.id)
        assert (told.output_text, told.metadata) == ("I am [EMAIL]", {"who": "[EMAIL]"})
