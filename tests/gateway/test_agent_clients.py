"""``shoal/agent:NAME`` through the official clients of all three formats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from live import running_gateway

from run_stage import PAYING, Ledger, Stage, agent_of, answer, ask, plan_of, stage, until, use
from shoal.storage import Store, StoreOptions

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
TWO = plan_of(use("seen"), ask("said", "${input.text}", after=["seen"]), answer("${said}"),
              input=SCHEMA)  # fmt: skip
BROKEN = plan_of(ask("number", output={"type": "number"}), answer("${number}"))
AGENTS = (agent_of("two", TWO), agent_of("pays", PAYING), agent_of("broken", BROKEN))
USER: Any = [{"role": "user", "content": "hello"}]


class Place:
    def __init__(self, here: Stage, url: str) -> None:
        self.here = here
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def at(tmp_path: Path, ledger: Ledger) -> AsyncIterator[Place]:
    async with place(tmp_path, ledger) as found:
        yield found


@asynccontextmanager
async def place(folder: Path, ledger: Ledger) -> AsyncIterator[Place]:
    with Store.open(StoreOptions(path=folder / "data")) as store:
        async with (
            stage(store, ledger.tools(), lambda r: r.messages[-1].text.upper(), AGENTS) as here,
            running_gateway(here.shoal, runs=here.runs) as url,
        ):
            found = Place(here, url)
            async with found.openai, found.anthropic:
                yield found


def progressed(thinking: str) -> None:
    lines = thinking.strip().split("\n")
    assert [line.split(":")[0] for line in lines] == ["seen", "said", "end"]
    assert "done by gpt in" in lines[1]


async def test_chat_whole(at: Place) -> None:
    found = await at.openai.chat.completions.create(model="shoal/agent:two", messages=USER)
    assert found.choices[0].message.content == "HELLO"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (10, 5)
    await at.here.shoal.settle()
    spent = at.here.store.spend.list()
    assert sum(one.input_tokens for one in spent) == 10  # the model's call counts, and once
    calls = {call.answered_by: call for call in at.here.store.calls.list()}
    assert set(calls) == {"shoal/agent:two", "gpt"}  # the model's call is one of its own
    assert len({call.episode for call in calls.values()}) == 1
    (run,) = at.here.store.runs.list()
    assert (run.state, run.agent, run.goal) == ("done", "two", "hello")


async def test_chat_streamed(at: Place) -> None:
    thinking = text = ""
    usage = None
    async for chunk in await at.openai.chat.completions.create(
        model="shoal/agent:two",
        messages=USER,
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thinking += getattr(choice.delta, "reasoning_content", None) or ""
    progressed(thinking)
    assert (text, usage is not None) == ("HELLO", True)
    assert (usage.prompt_tokens, usage.completion_tokens) == (10, 5)


async def test_responses_whole_and_streamed(at: Place) -> None:
    found = await at.openai.responses.create(model="shoal/agent:two", input="hello")
    assert (found.output_text, found.status) == ("HELLO", "completed")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (10, 5)
    thinking = text = ""
    async for event in await at.openai.responses.create(
        model="shoal/agent:two", input="hello", stream=True
    ):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type in (
            "response.reasoning_summary_text.delta",
            "response.reasoning_text.delta",
        ):
            thinking += event.delta  # type: ignore[union-attr]
        elif event.type == "response.completed":
            assert event.response.output_text == "HELLO"
    progressed(thinking)
    assert text == "HELLO"


async def test_messages_whole_and_streamed(at: Place) -> None:
    found = await at.anthropic.messages.create(
        model="shoal/agent:two", messages=USER, max_tokens=100
    )
    assert [block.text for block in found.content if block.type == "text"] == ["HELLO"]
    assert found.stop_reason == "end_turn"
    async with at.anthropic.messages.stream(
        model="shoal/agent:two", messages=USER, max_tokens=100
    ) as stream:
        whole = await stream.get_final_message()
    kinds = {block.type: block for block in whole.content}
    progressed(kinds["thinking"].thinking)  # type: ignore[union-attr]
    assert kinds["text"].text == "HELLO"  # type: ignore[union-attr]


async def test_a_run_that_fails_is_a_502_in_each_format(at: Place) -> None:
    for asking in (
        at.openai.chat.completions.create(model="shoal/agent:broken", messages=USER),
        at.openai.responses.create(model="shoal/agent:broken", input="hello"),
        at.anthropic.messages.create(model="shoal/agent:broken", messages=USER, max_tokens=9),
    ):
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as failed:
            await asking
        assert failed.value.status_code == 502
        assert "has failed at number: expected JSON" in str(failed.value)


async def test_a_stream_of_a_run_that_fails_ends_in_an_error(at: Place) -> None:
    stream = await at.openai.chat.completions.create(
        model="shoal/agent:broken", messages=USER, stream=True
    )
    with pytest.raises(openai.APIError, match="has failed at number"):
        async for _ in stream:
            pass
    with pytest.raises(anthropic.APIError, match="has failed at number"):
        async with at.anthropic.messages.stream(
            model="shoal/agent:broken", messages=USER, max_tokens=9
        ) as messages:
            await messages.get_final_message()
    with pytest.raises(openai.APIError, match="has failed at number"):
        async for _ in await at.openai.responses.create(
            model="shoal/agent:broken", input="hello", stream=True
        ):
            pass
    await at.here.shoal.settle()
    ended = [c for c in at.here.store.calls.list() if c.answered_by == "shoal/agent:broken"]
    assert len(ended) == 3
    assert all(call.error for call in ended)


async def test_a_run_that_waits_says_how_to_approve(at: Place) -> None:
    found = await at.openai.chat.completions.create(model="shoal/agent:pays", messages=USER)
    (run,) = at.here.store.runs.list()
    assert run.state == "waiting"
    text = found.choices[0].message.content or ""
    assert f"shoal runs approve {run.id}" in text
    assert f"POST /shoal/runs/{run.id}/decisions" in text


TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ],
)
async def test_what_an_agent_does_not_do_is_a_400(
    at: Place, asked: dict[str, Any], param: str
) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            await at.openai.chat.completions.create(
                **{"model": "shoal/agent:two", "messages": USER, "stream": stream} | asked
            )
        assert refused.value.param == param
    assert at.here.store.runs.list() == []


async def test_plain_formats_are_taken(at: Place) -> None:
    found = await at.openai.chat.completions.create(
        model="shoal/agent:two", messages=USER, n=1, response_format={"type": "text"}, tools=[]
    )
    assert found.choices[0].message.content == "HELLO"


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_cancels_the_run(at: Place, ledger: Ledger, stream: bool) -> None:
    ledger.go.clear()
    asking = asyncio.create_task(
        at.openai.chat.completions.create(  # type: ignore[call-overload]
            model="shoal/agent:two", messages=USER, stream=stream
        )
    )
    await ledger.begun.wait()
    if stream:
        await (await asking).close()
    else:
        asking.cancel()
    runs = at.here.store.runs
    await until(lambda: [run.state for run in runs.list()] == ["cancelled"])


async def test_the_cost_that_a_call_may_have_is_its_runs(at: Place) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await at.openai.chat.completions.create(
            model="shoal/agent:two", messages=USER, extra_headers={"x-shoal-max-cost": "0"}
        )
    assert refused.value.status_code in (400, 403, 502)
    await at.here.shoal.settle()
    assert "gpt" not in [call.answered_by for call in at.here.store.calls.list()]
