"""Runs over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from xml.etree import ElementTree

import aiohttp
import msgspec
import pytest
from live import running_gateway

from run_stage import (
    PAYING,
    QUICK,
    SLOW,
    Ledger,
    Stage,
    agent_of,
    answer,
    ask,
    plan_of,
    stage,
    until,
    use,
)
from shoal.assembly import StoredKeys
from shoal.planning.plan import Plan
from shoal.routing.key_order import KeyOrder
from shoal.storage import Store, StoreOptions

Json = dict[str, Any]
LOOK = plan_of(use("seen"), answer("${seen}"))
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
ECHO = plan_of(ask("said", "${input.text}"), answer("${said}"), input=SCHEMA)


class Place:
    """A gateway that performs runs, and a session of a caller without key."""

    def __init__(self, here: Stage, url: str, keys: StoredKeys, http: aiohttp.ClientSession):
        self.here, self.url, self.keys, self.http = here, url, keys, http

    async def key(self, name: str, **spec: object) -> dict[str, str]:
        made = await self.keys.create(KeyOrder.model_validate({"name": name, **spec}))
        return {"authorization": f"Bearer {made.key}"}

    async def said(
        self, method: str, path: str, body: object = None, headers: Any = None
    ) -> tuple[int, Json]:
        data = None if body is None else msgspec.json.encode(body)
        async with self.http.request(
            method, f"{self.url}/shoal/runs{path}", data=data, headers=headers
        ) as reply:
            return reply.status, await reply.json()

    async def begin(self, plan: Plan, headers: Any = None, **more: object) -> str:
        status, told = await self.said("POST", "", {"plan": plan, **more}, headers)
        assert status == 202, told
        return str(told["run"])

    async def state(self, run_id: str, state: str) -> Json:
        await until(lambda: self.here.store.runs.get(run_id).state == state)
        return (await self.said("GET", f"/{run_id}"))[1]


@asynccontextmanager
async def place(store: Store, ledger: Ledger, **how: Any) -> AsyncIterator[Place]:
    async with (
        StoredKeys(store) as keys,
        stage(store, ledger.tools(), **how) as here,
        running_gateway(here.shoal, keys, runs=here.runs, max_body_mb=0.1) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Place(here, url, keys, http)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def store(tmp_path: Any) -> Any:
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        yield store


async def events_of(reply: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, int, Json]]:
    """Name, id (-1 for none) and data of each event."""
    text = ""
    async for raw in reply.content:
        line = raw.decode()
        text += line
        if line == "\n":
            if not text.startswith(":"):
                fields = dict(one.split(": ", 1) for one in text.strip().split("\n"))
                yield fields["event"], int(fields.get("id", -1)), json.loads(fields["data"])
            text = ""


async def test_a_run_is_begun_and_looked_at(store: Store, ledger: Ledger) -> None:
    async with place(store, ledger, says=lambda r: r.messages[-1].text.upper()) as at:
        run_id = await at.begin(ECHO, input={"text": "hello"})
        told = await at.state(run_id, "done")
        assert told["run"]["name"] == "some plan"
        assert told["run"]["tokens"] == 15
        assert told["plan"]["steps"][0]["prompt"] == "${input.text}"
        assert told["input"] == {"text": "hello"}
        assert told["outcome"]["value"] == "HELLO"
        assert [one["kind"] for one in told["records"]] == ["run", "finished", "finished", "ended"]
        assert (told["last_seq"], told["has_more"]) == (3, False)
        _, page = await at.said("GET", f"/{run_id}?after=0&limit=2")
        assert ([one["seq"] for one in page["records"]], page["has_more"]) == ([1, 2], True)
        assert page["outcome"]["value"] == "HELLO"
        status, whole = await at.said(
            "POST", "", {"plan": ECHO, "input": {"text": "x"}, "wait": True}
        )
        assert (status, whole["state"], whole["value"]) == (200, "done", "X")
        _, listed = await at.said("GET", "?limit=1")
        assert [one["id"] for one in listed["data"]] == [whole["run"]]
        _, rest = await at.said("GET", f"?limit=1&before={listed['last_id']}&state=done")
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([run_id], False)
        assert (await at.said("GET", "?agent=nobody"))[1]["data"] == []


async def test_a_dry_run_calls_nothing(store: Store, ledger: Ledger) -> None:
    async with place(store, ledger) as at:
        status, told = await at.said("POST", "", {"plan": PAYING, "dry_run": True})
        assert (status, [one["calls"] for one in told["calls"]]) == (200, ["a person", "tool pay"])
        assert told["most"]["steps"] == 3
    assert (ledger.done, store.runs.list()) == ([], [])


@pytest.mark.parametrize(
    ("body", "said", "param"),
    [
        ({}, "either 'plan' or 'agent'", "plan"),
        ({"plan": LOOK, "agent": "a"}, "either 'plan' or 'agent'", "plan"),
        ({"plan": []}, "plan: Expected `object | null`", "plan"),
        (
            {"plan": {"name": "x", "steps": [{"do": "fly"}]}},
            "'fly' - at `$.steps[0].do`; steps do ask,",
            None,
        ),
        ({"plan": plan_of(use("a", "fly"), answer("${b}"))}, "a: tool: there is no 'fly'", "plan"),
        ({"plan": plan_of(use("a", "fly"), answer("${b}"))}, "end: value: there is no", "plan"),
        ({"plan": LOOK, "goal": "x"}, "goal: a plan has its own", "goal"),
        ({"plan": LOOK, "colour": 1}, "unknown field `colour`", None),
        (
            {"plan": LOOK, "budget": {"usd": -1}},
            "budget.usd: Expected `float` >= 0.0",
            "budget.usd",
        ),
        ({"agent": "nobody", "goal": "x"}, "no agent named 'nobody'", "agent"),
        ({"agent": "planner", "goal": " "}, "goal: expected what the agent is to reach", "goal"),
        ({"agent": "echo", "goal": ""}, 'input: "text" is a required', "input"),
        ({"plan": ECHO, "input": {"text": 1}}, "input: text", "input"),
    ],
)
async def test_what_cannot_be_run_is_refused_by_name(
    store: Store, ledger: Ledger, body: Json, said: str, param: str | None
) -> None:
    agents = [agent_of("planner"), agent_of("echo", ECHO)]
    async with place(store, ledger, agents=agents) as at:
        status, told = await at.said("POST", "", {"wait": True, **body})
    assert status in (400, 404), told
    assert said in told["error"]["message"]
    assert param is None or told["error"]["param"] == param
    assert store.runs.list() == []


async def test_bad_questions(store: Store, ledger: Ledger) -> None:
    async with place(store, ledger) as at:
        for query in ("state=asleep", "limit=0", "limit=x", "limit=999", "colour=red"):
            status, told = await at.said("GET", f"?{query}")
            assert (status, told["error"]["param"]) == (400, query.split("=")[0])
        run_id = await at.begin(LOOK)
        assert (await at.said("GET", f"/{run_id}?after=-2"))[0] == 400
        for path in ("/none", "/none/events", "/none/plan.svg"):
            assert (await at.said("GET", path))[0] == 404
        for path in ("decisions", "settle"):
            body = {"step": "x", "approved": True} if path == "decisions" else {"step": "x"}
            assert (await at.said("POST", f"/none/{path}", body))[0] in (400, 404)
            assert (await at.said("POST", f"/{run_id}/{path}", {}))[0] == 400
        assert (await at.said("DELETE", "/none"))[0] == 404
        big = {"plan": LOOK, "input": {"text": "x" * 200_000}}
        assert (await at.said("POST", "", big))[0] == 413
        async with at.http.get(f"{at.url}/metrics") as reply:
            assert 'shoal_run_acts_total{act="runs.list",outcome="invalid_request"} 5.0' in (
                await reply.text()
            )


async def test_its_plan_is_drawn(store: Store, ledger: Ledger) -> None:
    async with place(store, ledger) as at:
        run_id = await at.begin(LOOK)
        async with at.http.get(f"{at.url}/shoal/runs/{run_id}/plan.svg") as reply:
            assert reply.content_type == "image/svg+xml"
            assert ElementTree.fromstring(await reply.text()).tag.endswith("svg")


async def test_a_person_decides_a_budget_is_raised_and_a_run_is_cancelled(
    store: Store, ledger: Ledger
) -> None:
    async with place(store, ledger) as at:
        run_id = await at.begin(PAYING)
        told = await at.state(run_id, "waiting")
        assert told["questions"] == [{"step": "word", "question": "Pay?", "show": None}]
        word = {"step": "word", "approved": True, "note": "fine"}
        assert await at.said("POST", f"/{run_id}/decisions", word) == (
            202,
            {"run": run_id, "state": "running"},
        )
        assert (await at.state(run_id, "done"))["outcome"]["value"] == "paid 1"
        status, told = await at.said("POST", f"/{run_id}/decisions", word)
        assert (status, told["error"]["code"]) == (409, "conflict")
        asks = plan_of(ask("a"), ask("b", after=["a"]), answer("${b}"), budget={"tokens": 1240})
        poor = await at.begin(asks)
        assert (await at.state(poor, "stuck"))["outcome"]["hint"].startswith(
            "raise the run's budget"
        )
        await at.said("POST", f"/{poor}/resume", {"budget": {"tokens": 1300}})
        await at.state(poor, "done")
        waits = await at.begin(PAYING)
        await at.state(waits, "waiting")
        assert (await at.said("DELETE", f"/{waits}"))[1]["state"] == "cancelled"
        assert (await at.said("POST", f"/{waits}/resume", {}))[0] == 409


async def test_events_are_streamed_from_the_first_to_the_outcome(
    store: Store, ledger: Ledger
) -> None:
    ledger.go.clear()
    async with place(store, ledger) as at:
        body = msgspec.json.encode({"plan": LOOK, "stream": True})
        async with at.http.post(f"{at.url}/shoal/runs", data=body) as reply:
            assert reply.content_type == "text/event-stream"
            events = events_of(reply)
            first = await anext(events)
            assert (first[0], first[1]) == ("run", 0)
            begun = await anext(events)  # that a call began is told while it runs
            assert (begun[0], begun[2]) == ("started", {"step": "seen", "try": 1})
            ledger.go.set()
            rest = [one async for one in events]
        assert [one[0] for one in rest] == ["finished", "finished", "ended", "outcome"]
        assert rest[0][2]["body"]["value"] == "seen it"
        last = rest[-1][2]
        assert (last["run"], last["state"], last["value"]) == (
            reply.headers["x-shoal-run-id"],
            "done",
            "seen it",
        )
        async with at.http.post(
            f"{at.url}/shoal/runs",
            data=msgspec.json.encode({"plan": PAYING}),
            headers={"accept": "text/event-stream"},
        ) as reply:
            names = [one[0] async for one in events_of(reply)]
        assert names[-2:] == ["paused", "outcome"]  # it ends where the run waits


async def test_who_hangs_up_on_a_stream_does_not_cancel_the_run(
    store: Store, ledger: Ledger
) -> None:
    ledger.go.clear()
    async with place(store, ledger) as at:
        for how in ({"stream": True}, {"wait": True}):
            ledger.begun.clear()
            body = msgspec.json.encode({"plan": LOOK, **how})
            asking = asyncio.create_task(at.http.post(f"{at.url}/shoal/runs", data=body))
            await ledger.begun.wait()
            if asking.done():
                asking.result().close()
            asking.cancel()
        await asyncio.sleep(0.05)
        ledger.go.set()
        await until(lambda: [run.state for run in store.runs.list()] == ["done", "done"])


async def test_events_are_replayed_and_followed_whoever_performs_the_run(
    store: Store, ledger: Ledger
) -> None:
    async with place(store, ledger, watch=SLOW) as one, place(store, ledger) as other:
        run_id = await one.begin(PAYING)
        await one.state(run_id, "waiting")
        async with other.http.get(f"{other.url}/shoal/runs/{run_id}/events?after=0") as reply:
            events = events_of(reply)
            assert [(await anext(events))[0] for _ in range(2)] == ["waiting", "paused"]
            word = {"step": "word", "approved": True}
            await one.said("POST", f"/{run_id}/decisions", word)
            rest = [event async for event in events]
        names = [event[0] for event in rest]
        assert names == ["decided", "finished", "started", "finished", "finished", "ended",
                         "outcome"]  # fmt: skip
        assert [event[1] for event in rest[:-1]] == list(range(3, 9))
        back = {"last-event-id": "8"}  # a client that has it all is told the outcome alone
        async with other.http.get(f"{other.url}/shoal/runs/{run_id}/events", headers=back) as reply:
            assert [event[0] async for event in events_of(reply)] == ["outcome"]


async def test_what_is_long_is_cut_in_events_and_whole_in_records(
    store: Store, ledger: Ledger
) -> None:
    long = "x" * 9_000
    async with place(store, ledger, says=lambda request: long) as at:
        run_id = await at.begin(plan_of(ask("a"), answer("${a}")))
        told = await at.state(run_id, "done")
        assert told["records"][1]["body"]["value"] == long
        async with at.http.get(f"{at.url}/shoal/runs/{run_id}/events") as reply:
            found = [one async for one in events_of(reply) if one[0] == "finished"]
    assert found[0][2]["body"]["value"].endswith("… 7,000 more characters")


async def test_a_gateway_that_starts_again_goes_on_with_its_runs(
    store: Store, ledger: Ledger
) -> None:
    ledger.go.clear()
    async with place(store, ledger) as at:
        run_id = await at.begin(LOOK)
        await ledger.begun.wait()
    ledger.go.set()
    async with place(store, ledger, resumes=True, watch=QUICK) as at:
        await at.state(run_id, "done")


async def test_keys_see_their_own_and_admin_all(store: Store, ledger: Ledger) -> None:
    async with place(store, ledger) as at:
        one, other = await at.key("one"), await at.key("other")
        admin, reader = await at.key("ops", scopes=["admin"]), await at.key("r", scopes=["read"])
        assert (await at.said("GET", ""))[0] == 401
        run_id = await at.begin(PAYING, one)
        await until(lambda: store.runs.get(run_id).state == "waiting")
        for who, sees in ((one, 1), (other, 0), (admin, 1)):
            _, listed = await at.said("GET", "", headers=who)
            assert len(listed["data"]) == sees
            status, _ = await at.said("GET", f"/{run_id}", headers=who)
            assert status == (200 if sees else 404)
        assert (await at.said("GET", "", headers=reader))[0] == 403
        status, told = await at.said("POST", "", {"plan": LOOK}, admin)
        assert (status, told["error"]["code"]) == (403, "insufficient_scope")
        word = {"step": "word", "approved": True}
        assert (await at.said("POST", f"/{run_id}/decisions", word, other))[0] == 404
        assert (await at.said("DELETE", f"/{run_id}", headers=other))[0] == 404
        assert (await at.said("POST", f"/{run_id}/decisions", word, admin))[0] == 202
        await until(lambda: store.runs.get(run_id).state == "done")
    decided = next(one for one in store.runs.records(run_id) if one.kind == "decided")
    assert json.loads(decided.body)["by"] == "ops"


async def test_who_began_a_run_may_not_approve_it_where_its_agent_says_so(
    store: Store, ledger: Ledger
) -> None:
    agents = [agent_of("payer", PAYING, approve_by="another_key")]
    async with place(store, ledger, agents=agents) as at:
        one, boss = await at.key("one"), await at.key("boss", scopes=["admin"])
        _, told = await at.said("POST", "", {"agent": "payer", "wait": True}, one)
        word, path = {"step": "word", "approved": True}, f"/{told['run']}/decisions"
        status, refused = await at.said("POST", path, word, one)
        assert (status, refused["error"]["code"]) == (403, "approval_not_allowed")
        assert "agents.payer.approve_by" in refused["error"]["message"]
        assert ledger.done == []
        assert (await at.said("POST", path, word, boss))[0] == 202
        await until(lambda: store.runs.get(told["run"]).state == "done")


async def test_a_gateway_without_runs_says_so(store: Store, ledger: Ledger) -> None:
    async with (
        stage(store, ledger.tools()) as here,
        running_gateway(here.shoal) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/shoal/runs") as reply,
    ):
        assert reply.status == 404
        assert "performs no runs" in (await reply.json())["error"]["message"]


async def test_it_stops_in_time_though_somebody_follows(store: Store, ledger: Ledger) -> None:
    async with aiohttp.ClientSession() as http:
        async with place(store, ledger) as at:
            run_id = await at.begin(PAYING)
            await at.state(run_id, "waiting")
            reply = await http.get(f"{at.url}/shoal/runs/{run_id}/events")
            began = time.monotonic()
        text = (await reply.content.read()).decode()
        assert time.monotonic() - began < 5
        assert text.endswith(
            ": the gateway stops; ask another for the events after the last id\n\n"
        )
