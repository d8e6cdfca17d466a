"""Strategies through a real gateway: asked for by a name, in the body, or set for a task."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from fake_keys import FakeKeys
from live import running_gateway
from scripted_upstream import ScriptedUpstream, running_upstream

from shoal.assembly import Models, Purse, Regime, Shoal
from shoal.chat import Message, Request
from shoal.engines import RemoteOptions
from shoal.flywheel.finding import task_row
from shoal.reasoning import parse_strategy
from shoal.routing.budget import Budgets
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import Receipt
from shoal.storage import Store, StoreOptions
from shoal.tasks import LabelContract, Pattern, Task, Template
from shoal.tasks.template import skeleton_of

SYSTEM = "Say a or b."
ASKED = Request("small", (Message("system", SYSTEM), Message("user", "")))
TEMPLATE = Template(
    skeleton_of(ASKED), (Pattern("system", (SYSTEM,)), Pattern("user", ("", ""))), ("message",)
)
TASK = Task("t-1", "letters", (TEMPLATE,), LabelContract(("a", "b")))
PATHS = ("chat/completions", "responses", "messages")
WORDS = ("a", "b", "a", "b", "b")


class Place:
    """A gateway over an upstream that says one word after the other."""

    def __init__(self, url: str, store: Store, upstream: ScriptedUpstream) -> None:
        self.url, self.store, self.upstream = url, store, upstream

    def says(self, words: Sequence[str | int]) -> None:
        """A number is a status that it fails with; the last is said again and again."""
        left: Iterator[str | int] = itertools.chain(words, itertools.repeat(words[-1]))

        async def reply(request: web.Request) -> web.StreamResponse:
            word = next(left)
            if isinstance(word, int):
                return web.json_response({"error": {"message": "no"}}, status=word)
            usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": word},
                "finish_reason": "stop",
            }
            return web.json_response({"model": "small", "choices": [choice], "usage": usage})

        self.upstream.handler = reply

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.upstream.bodies]

    def receipts(self) -> list[Receipt]:
        self.store.writer.submit(lambda conn: None, urgent=True).result(5)
        found = [call.receipt for call in self.store.calls.list()]
        return [msgspec.json.decode(one, type=Receipt) for one in found]


@asynccontextmanager
async def place(folder: Path, strategy: str = "", **rules: object) -> AsyncIterator[Place]:
    options = PrivacyOptions.model_validate(rules)
    strategies = {TASK.name: parse_strategy(strategy)} if strategy else {}
    with Store.open(StoreOptions(path=folder / "data")) as store:
        with store.database.transaction() as conn:
            store.tasks.put(conn, task_row(TASK, 0.0, 0.0))
        async with running_upstream() as upstream:
            remote = RemoteOptions(
                engine="remote",
                base_url=upstream.base_url,
                retries=0,
                input_price=1.0,
                output_price=10.0,
                context_tokens=4_000,
            )
            models = Models.open({"small": remote, "other": remote})
            purse = Purse(Budgets(store.spend.between, {}), 100)
            regime = Regime(models, {}, PromiseOptions(), options, strategies=strategies)
            async with (
                purse,
                Shoal(store, regime, purse=purse) as desk,
                running_gateway(desk, FakeKeys()) as url,
            ):
                yield Place(url, store, upstream)


def body(
    path: str, model: str = "small", text: str = "Which?", **more: object
) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    match path:
        case "responses":
            return {"model": model, "input": messages, **more}
        case "messages":
            return {"model": model, "messages": messages, "max_tokens": 50, **more}
        case _:
            return {"model": model, "messages": messages, **more}


def text_in(path: str, reply: dict[str, Any]) -> str:
    match path:
        case "responses":
            return str(reply["output"][0]["content"][0]["text"])
        case "messages":
            return str(reply["content"][0]["text"])
        case _:
            return str(reply["choices"][0]["message"]["content"])


async def post(
    http: aiohttp.ClientSession, at: Place, path: str, asked: dict[str, object], **headers: str
) -> tuple[int, dict[str, Any]]:
    async with http.post(f"{at.url}/v1/{path}", json=asked, headers=headers) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("by", ["name", "field"])
async def test_a_vote_in_every_format(
    http: aiohttp.ClientSession, tmp_path: Path, path: str, by: str
) -> None:
    name = body(path, "small+vote:5")
    field = body(path, shoal={"strategy": "vote", "n": 5})
    async with place(tmp_path) as at:
        at.says(WORDS)
        status, reply = await post(http, at, path, name if by == "name" else field)
        assert (status, text_in(path, reply)) == (200, "b"), reply
        assert len(at.sent()) == 5
        assert all(sent["model"] == "small" and "shoal" not in sent for sent in at.sent())
        (receipt,) = at.receipts()
    told = receipt.deliberation
    assert told is not None
    assert (receipt.llm, receipt.answered_by) == ("small+vote:5", "small+vote:5")
    assert (told.strategy, told.most, len(told.samples)) == ("vote:5", 5, 5)
    assert told.agreement == pytest.approx(0.6)
    assert [one.agrees for one in told.samples] == [False, True, False, True, True]
    assert receipt.cost == pytest.approx(5 * (10 * 1.0 + 1 * 10.0) / 1e6)
    used = reply["usage"]
    assert used.get("output_tokens", used.get("completion_tokens")) == 5


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_is_the_final_answer(
    http: aiohttp.ClientSession, tmp_path: Path, path: str
) -> None:
    async with place(tmp_path) as at:
        at.says(["bingo"])
        asked = body(path, "small+vote:5", stream=True)
        async with http.post(f"{at.url}/v1/{path}", json=asked) as reply:
            text = await reply.text()
        assert reply.status == 200
        deltas = [line for line in text.splitlines() if "delta" in line and "bingo" in line]
        assert len(deltas) == 1
        (receipt,) = at.receipts()
        assert len(at.sent()) == 3
    assert receipt.deliberation is not None
    assert receipt.deliberation.stopped == "the vote cannot turn any more"


async def test_a_tasks_own_strategy_votes_by_its_comparator(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with place(tmp_path, "vote:4") as at:
        at.says(["nonsense", "B", " b. ", "a"])
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "x"}]
        known: dict[str, object] = {"model": "small", "messages": messages}
        status, reply = await post(http, at, PATHS[0], known)
        assert (status, text_in(PATHS[0], reply)) == (200, "B")
        assert len(at.sent()) == 3
        await post(http, at, PATHS[0], body(PATHS[0]))  # no call of the task
        assert len(at.sent()) == 4
        of_none, of_task = at.receipts()
    assert (of_task.llm, of_none.llm) == ("small+vote:4", "small")
    assert of_task.deliberation is not None
    assert of_task.deliberation.agreement == pytest.approx(2 / 3)


async def test_a_failed_sample_does_not_fail_the_call(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with place(tmp_path) as at:
        at.says(["a", 500, "a", "b"])
        status, reply = await post(http, at, PATHS[0], body(PATHS[0], "small+vote:4"))
        assert (status, text_in(PATHS[0], reply)) == (200, "a")
        (receipt,) = at.receipts()
    assert receipt.deliberation is not None
    assert [bool(one.error) for one in receipt.deliberation.samples].count(True) == 1


async def test_when_all_fail_the_call_does(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        at.says([500])
        status, _ = await post(http, at, PATHS[0], body(PATHS[0], "small+vote:5"))
        assert status == 500
        assert len(at.sent()) == 3  # a first round, and no more


async def test_a_budget_is_kept(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    asked = body(PATHS[0], max_tokens=20, shoal={"strategy": "vote", "n": 9, "budget": 0.00025})
    async with place(tmp_path) as at:
        at.says(["a", "b", "c", "d"])
        status, _ = await post(http, at, PATHS[0], asked)
        assert status == 200
        (receipt,) = at.receipts()
        assert receipt.deliberation is not None
        assert receipt.deliberation.stopped == "the budget is spent"
        assert receipt.cost is not None
        assert receipt.cost <= 0.00025
        status, reply = await post(
            http, at, PATHS[0], body(PATHS[0], shoal={"strategy": "vote", "budget": 1e-9})
        )
        assert (status, reply["error"]["code"]) == (403, "strategy_budget_exceeded")


async def test_what_was_spent_in_vain_counts_all_the_same(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A first turn is paid for, the second not any more."""
    field = {"strategy": "think:20", "budget": {"tokens": 55}}
    async with place(tmp_path) as at:
        at.says(["thoughts"])
        status, reply = await post(http, at, PATHS[0], body(PATHS[0], shoal=field))
        assert (status, reply["error"]["code"]) == (403, "strategy_budget_exceeded")
        assert len(at.sent()) == 1
        at.receipts()  # all is written
        (row,) = at.store.spend.list("model", "")
    assert (row.group, row.calls) == ("small+think:20", 0)


async def test_what_a_call_may_cost_bounds_its_strategy(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    asked = body(PATHS[0], "small+vote:9", max_tokens=20)
    async with place(tmp_path) as at:
        at.says(["a", "b", "c", "d"])
        status, _ = await post(http, at, PATHS[0], asked, **{"x-shoal-max-cost": "0.00025"})
        assert status == 200
        (receipt,) = at.receipts()
    assert receipt.cost is not None
    assert receipt.cost <= 0.00025


async def test_every_model_of_an_ensemble_is_under_the_privacy_rules(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with place(tmp_path, residency=["nowhere"]) as at:
        status, reply = await post(http, at, PATHS[0], body(PATHS[0], "small+panel:other"))
        assert (status, reply["error"]["code"]) == (403, "no_answerer_allowed")
        assert at.sent() == []


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"strategy": "vote", "n": 500}, "shoal.n"),
        ({"strategy": "guess"}, "shoal.strategy"),
        ({"strategy": "best"}, "shoal.strategy"),
        ({"strategy": "vote", "n": "five"}, "shoal.n"),
        ({"strategy": "vote", "depth": 2}, "shoal"),
        ({"strategy": "vote", "budget": {"usd": -1}}, "shoal.budget"),
        ({"strategy": "best", "validators": ["checks.py:f"]}, "shoal.validators"),
        ({"strategy": "panel", "models": ["nobody"]}, "model"),
        ("vote", "shoal"),
    ],
)
async def test_what_is_wrong_is_told(
    http: aiohttp.ClientSession, tmp_path: Path, field: object, param: str
) -> None:
    async with place(tmp_path) as at:
        status, reply = await post(http, at, PATHS[0], body(PATHS[0], shoal=field))
        assert status in (400, 404)
        assert reply["error"]["param"] == param
        assert at.sent() == []


async def test_a_client_that_hangs_up_stops_all_samples(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    asked, gone, begun = 0, asyncio.Semaphore(0), asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 3:
            begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            gone.release()
        return web.Response()

    async with place(tmp_path) as at:
        at.upstream.handler = hang
        calling = asyncio.create_task(post(http, at, PATHS[0], body(PATHS[0], "small+vote:5")))
        await asyncio.wait_for(begun.wait(), 10)
        calling.cancel()
        async with asyncio.timeout(10):
            for _ in range(3):
                await gone.acquire()
    assert asked == 3
