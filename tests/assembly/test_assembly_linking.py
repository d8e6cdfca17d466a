"""Calls of agents become episodes, and a tool loop stays with the model that began it."""

import asyncio
from dataclasses import dataclass, field

import pytest
from keyword_desk import PRICES, Clerk, ask, request_of, seen

from shoal.assembly import Model, Models, Regime, Shoal, linking
from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.engines import WrittenStream
from shoal.errors import EngineUnreachable
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.storage import CallFilter, Store

DEAR = Tariff(input=10.0, cached=1.0, output=100.0)
OUTAGE = EngineUnreachable("gpt: nobody listens there")


class Agency(Clerk):
    """An LLM that calls a tool until it has seen three results, then talks; it keeps responses."""

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        results = sum(message.role == "tool" for message in request.messages)
        if results % 3 == 2 or request.messages[-1].text == "thanks":
            return Answer("Done.", model=self.name, usage=Usage(900, 5), id="resp_done")
        call = ToolCall(f"call_{self.name}_{len(self.asked)}", "look_up", '{"id": "A1"}')
        called = (call,)
        return Answer("", called, "tool_calls", model=self.name, usage=Usage(800, 20))

    async def stream(self, request: Request) -> WrittenStream:
        return WrittenStream(await self.answer(request))


@dataclass
class Agent:
    """Runs its loop through a desk, as a framework does."""

    desk: Shoal
    opening: str = "Cancel my flight"
    messages: list[Message] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    async def step(self, stream: bool = False) -> Answer:
        if not self.messages:
            self.messages += [Message("system", "An agent."), Message("user", self.opening)]
        request = Request("gpt", tuple(self.messages), stream=stream)
        handled, answer = await ask(self.desk, request)
        self.by.append(handled.receipt.answered_by)
        self.ids.append(handled.receipt.call_id)
        self.reasons.append(handled.receipt.reason)
        self.messages.append(Message("assistant", answer.text, tool_calls=answer.tool_calls))
        for call in answer.tool_calls:
            self.messages.append(Message("tool", '{"id": "A1"}', tool_call_id=call.id))
        if not answer.tool_calls:
            self.messages.append(Message("user", "thanks"))
        return answer


def desk_of(store: Store, llm: Clerk, other: Clerk | None, cheap: Tariff = DEAR) -> Shoal:
    models = {llm.name: Model(llm.name, llm, DEAR, fallback=(other.name,) if other else ())}
    if other is not None:
        models[other.name] = Model(other.name, other, cheap)
    return Shoal(store, Regime(Models(models), {}, PromiseOptions()))


async def episodes(desk: Shoal, agent: Agent) -> set[str]:
    return {(await seen(desk, call_id)).episode for call_id in agent.ids}


@pytest.mark.parametrize("stream", [False, True])
async def test_agents_who_talk_at_once_have_an_episode_each(store: Store, stream: bool) -> None:
    async with desk_of(store, Agency("gpt"), None) as desk:
        agents = [Agent(desk) for _ in range(3)]
        for _ in range(4):
            await asyncio.gather(*(agent.step(stream) for agent in agents))
        found = [await episodes(desk, agent) for agent in agents]
        first = agents[0].ids[0]
        listed = [call.id for call in store.calls.list(CallFilter(episode=first))]
        receipts = {(await seen(desk, call_id)).receipt.episode for call_id in agents[0].ids}
    assert receipts == {first}
    assert found == [{agent.ids[0]} for agent in agents]  # named by the call that began it
    assert sorted(listed) == sorted(agents[0].ids)


async def test_a_call_that_fails_is_of_the_episode_too(store: Store) -> None:
    llm = Agency("gpt")
    async with desk_of(store, llm, None) as desk:
        agent = Agent(desk)
        await agent.step()
        llm.error = OUTAGE
        request = Request("gpt", tuple(agent.messages))
        with pytest.raises(EngineUnreachable):
            await desk.serve(request, "")
        told = await desk.failed(request, "", ANYBODY, OUTAGE, 0.0)
        llm.error = None
        await agent.step()
        view = await seen(desk, told.call_id)
        assert {view.episode} == await episodes(desk, agent) == {told.episode}


async def test_a_response_is_gone_on_from_by_its_id(store: Store) -> None:
    async with desk_of(store, Agency("gpt"), None) as desk:
        first, answer = await ask(
            desk, Request("gpt", (Message("user", "thanks"),), format="responses")
        )
        body = b'{"previous_response_id": "%s"}' % answer.id.encode()
        messages = (Message("user", "And now?"),)
        second, _ = await ask(desk, Request("gpt", messages, body=body, format="responses"))
        third, _ = await ask(desk, Request("gpt", messages, body=b"{}", format="responses"))
    assert second.episode == first.episode == first.receipt.call_id
    assert third.episode == third.receipt.call_id


async def test_who_stood_in_holds_the_loop_to_its_end(store: Store) -> None:
    llm, other = Agency("gpt"), Agency("mini")
    async with desk_of(store, llm, other) as desk:
        agent = Agent(desk)
        llm.error = OUTAGE
        await agent.step()
        llm.error = None
        for _ in range(3):
            await agent.step()
    assert agent.by == ["mini", "mini", "mini", "gpt"]
    assert len(llm.asked) == 2  # in vain at first, and when the loop had ended
    assert agent.reasons[1] == "mini stood in for gpt when this tool loop began, and goes on"


async def test_a_loop_that_the_llm_began_is_the_llms(store: Store) -> None:
    llm, other = Agency("gpt"), Agency("mini")
    async with desk_of(store, llm, other) as desk:
        agent = Agent(desk)
        for _ in range(3):
            await agent.step()
    assert agent.by == ["gpt"] * 3
    assert other.asked == []


async def test_the_llm_takes_over_where_the_holder_fails(store: Store) -> None:
    llm, other = Agency("gpt"), Agency("mini")
    async with desk_of(store, llm, other) as desk:
        agent = Agent(desk)
        llm.error = OUTAGE
        await agent.step()
        llm.error, other.error = None, EngineUnreachable("mini: gone as well")
        await agent.step()
        other.error = None
        await agent.step()
    assert agent.by == ["mini", "gpt", "gpt"]


async def test_the_llm_takes_over_where_it_is_so_much_cheaper(store: Store) -> None:
    llm, other = Agency("gpt"), Agency("opus")
    async with desk_of(store, llm, other, Tariff(input=100.0, output=500.0)) as desk:
        agent = Agent(desk)
        llm.error = OUTAGE
        await agent.step()
        llm.error = None
        await agent.step()
    assert agent.by == ["opus", "gpt"]


async def test_a_call_without_a_conversation_has_an_episode_of_its_own(store: Store) -> None:
    async with desk_of(store, Clerk(), None, PRICES) as desk:
        one, _ = await ask(desk, request_of("?"))
        two, _ = await ask(desk, request_of("?"))
    assert one.episode != two.episode


@pytest.mark.parametrize("home", ["sqlite", "postgres"], indirect=True)
async def test_an_agent_whose_calls_reach_several_processes_has_one_episode(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two desks over one store know of each other as two processes do."""
    monkeypatch.setattr(linking, "_LOOK_S", 10.0)  # this LLM answers before the record can
    llm = Agency("gpt")
    async with desk_of(store, llm, None) as one, desk_of(store, llm, None) as two:
        agent, other = Agent(one), Agent(two)
        await other.step()
        for desk in (one, two, two, one):
            agent.desk = desk
            await agent.step()
            await desk.settle()
        assert await episodes(one, agent) == {agent.ids[0]}
        receipts = {(await seen(one, call_id)).receipt.episode for call_id in agent.ids}
        assert receipts == {agent.ids[0]}
        assert await episodes(one, other) == {other.ids[0]}


async def test_another_keys_conversation_is_not_taken_over(store: Store) -> None:
    llm = Agency("gpt")
    mine = Caller(key="mine", spec=ANYBODY.spec)
    async with desk_of(store, llm, None) as one, desk_of(store, llm, None) as two:
        agent = Agent(one)
        await agent.step()
        await one.settle()
        handled, _ = await ask(two, Request("gpt", tuple(agent.messages)), caller=mine)
        await two.settle()
        assert (await seen(two, handled.receipt.call_id)).episode == handled.receipt.call_id
