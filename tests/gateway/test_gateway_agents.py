"""Agents of ordinary frameworks through the gateway: their steps are found, learned and served."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from live import running_gateway

from framework_agent import Case, ParcelModel, Played, cases, graph
from shoal.assembly import Model, Models, Regime, Shoal
from shoal.chat import Answer
from shoal.flywheel.finding import known_tasks
from shoal.flywheel.learner import Learner
from shoal.flywheel.options import LearnOptions
from shoal.formats.chat_completions import decode_answer, record_request
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store, StoreOptions
from shoal.tasks import CallContract, LabelContract, Task, TextContract

PROMISE = PromiseOptions(alpha=0.1)
LEARN = LearnOptions(min_examples=150, shadow_calls=10, promote="serve")


class Play:
    """Runs played through a gateway: who answered the calls of each node, and their ids."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1/chat/completions"
        self.by: dict[str, Counter[str]] = defaultdict(Counter)
        self.ids: dict[str, list[str]] = defaultdict(list)
        self.wrong = 0

    async def all(self, found: Sequence[Case], begun: int = 0) -> None:
        """Some at a time, each an episode."""
        waiting = iter(enumerate(found, begun))
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                for number, case in waiting:
                    await self._one(session, graph(case), f"run-{number}")

            await asyncio.gather(*(work() for _ in range(8)))

    async def _one(self, session: aiohttp.ClientSession, played: Played, episode: str) -> None:
        llm = ParcelModel()
        node, request = next(played)
        while True:
            headers = {"x-shoal-episode": episode, "content-type": "application/json"}
            body = record_request(request)
            async with session.post(self.url, data=body, headers=headers) as reply:
                assert reply.status == 200, await reply.text()
                answer = decode_answer(await reply.read())
            assert reply.headers["x-shoal-episode"] == episode
            self.by[node][reply.headers["x-shoal-answered-by"]] += 1
            self.ids[node].append(reply.headers["x-shoal-call-id"])
            self.wrong += _plain(answer) != _plain(llm.said(request))
            try:
                node, request = played.send(answer)
            except StopIteration:
                return


def _plain(answer: Answer) -> object:
    return answer.text, [(call.name, call.arguments) for call in answer.tool_calls]


@pytest.mark.slow
async def test_the_steps_of_a_graph_are_found_and_its_router_is_certified_and_served(
    tmp_path: Path,
) -> None:
    models = Models({"gpt": Model("gpt", ParcelModel(), Tariff(input=1.0, output=2.0))})
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        learner = Learner(store, LEARN, {}, PROMISE)
        async with (
            Shoal(store, Regime(models, {}, PROMISE)) as desk,
            running_gateway(desk) as url,
        ):
            play = Play(url)
            await play.all(cases(110))
            await desk.settle()
            await asyncio.to_thread(learner.turn)
            tasks = {node: task_of(store, ids) for node, ids in play.ids.items()}
            assert _contracts(tasks["router"]) == [LabelContract(("CONTINUE", "FINISH"))]
            assert _contracts(tasks["summary"]) == [TextContract()]
            called = [CallContract(("look_up_order",)), CallContract(("track_parcel",))]
            assert sorted(_contracts(tasks["agent"]), key=repr) == called
            (router,) = tasks["router"]
            assert [one.task for one in store.certificates.list(router.id)] == [router.id]
            await desk.reload()
            await play.all(cases(15, seed=1), begun=110)  # in the shadow
            await desk.settle()
            await asyncio.to_thread(learner.turn)
            standing = store.standings.get(router.id)
            assert standing is not None
            assert standing.stage == "serve"
            await desk.reload()
            served = Play(url)
            await served.all(cases(20, seed=2), begun=125)
            receipt = store.calls.get(served.ids["router"][0])
    asked = len(served.ids["router"])
    assert served.by["router"][f"specialist/{router.name}"] >= 0.5 * asked
    assert served.by["summary"] == {"gpt": 20}
    assert served.wrong <= 0.1 * asked
    assert receipt.episode.startswith("run-")


def task_of(store: Store, ids: Sequence[str]) -> list[Task]:
    """The tasks of these calls, which have one each."""
    tasks = {task.id: task for task in known_tasks(store)}
    found = Counter(store.calls.get(call_id).task for call_id in ids)
    return [tasks[task] for task in found]


def _contracts(tasks: Sequence[Task]) -> list[object]:
    return [task.contract for task in tasks]
