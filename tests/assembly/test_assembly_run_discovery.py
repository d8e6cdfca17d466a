"""Whatever a model does for a run is a recorded call of the run's episode, and feeds discovery."""

import json
import random
from collections import defaultdict

import pytest

from run_stage import Ledger, Stage, agent_of, answer, ask, order_of, plan_of, stage, use
from shoal.chat import Request
from shoal.flywheel.finding import Finder, known_tasks
from shoal.routing.caller import ANYBODY
from shoal.storage import CallFilter, Store
from shoal.tasks import Contract, FieldsContract, LabelContract, TextContract

RUNS = 30
SORT = "Which desk of the office is this for? Answer garden or music.\n\nParcel: "
NAME = "Name the thing in this line of a packing list, in few words.\n\nLine: "
DRAFT = "Write a note to the sender of this parcel, in one sentence.\n\nParcel: "
GOOD = "Is this note polite enough to be sent? Answer yes or no.\n\nNote: "
FIND = 'What is to be looked up? Answer in JSON, like {"what": "a word"}.\n\nParcel: '
GOAL = "Look after this parcel: "
_THINGS = ("a spade", "tulip bulbs", "a violin", "three flutes", "a rake", "old guitar strings")
_STATES = ("wet", "dented", "well packed", "very heavy", "open on one side", "late by a week")
_WORDS = (
    "parcel sender friend today thanks sorry paper string box lid weight price corner shelf rain "
    "road yellow green heavy light broken whole early late kindly surely always never found lost"
)

WHOLE = plan_of(
    ask("desk", SORT + "${input.parcel}"),
    {
        "do": "map",
        "id": "names",
        "over": "${input.lines}",
        "as": "line",
        "steps": [ask("name", NAME + "${line}")],
        "result": "${name}",
    },
    {
        "do": "branch",
        "id": "which",
        "arms": [
            {
                "when": [{"value": "${desk}", "op": "equals", "than": "garden"}],
                "steps": [
                    ask("args", FIND + "${input.parcel}", output={"type": "object"}),
                    use("seen", arguments={"what": "${args.what}"}),
                ],
                "result": "${seen}",
            }
        ],
        "else": {"result": "not asked"},
    },
    {
        "do": "repeat",
        "id": "note",
        "at_most": 3,
        "start": "",
        "steps": [
            ask("draft", DRAFT + "${input.parcel} ${last}"),
            ask("good", GOOD + "${draft}"),
        ],
        "result": "${draft}",
        "until": [{"value": "${good}", "op": "equals", "than": "yes"}],
    },
    answer("${note}"),
    input={
        "type": "object",
        "properties": {
            "parcel": {"type": "string"},
            "lines": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["parcel", "lines"],
    },
)
"""A step of every kind in which a model is asked; the conditions of branch and repeat are what a
model says, the argument of a tool too."""


def said(request: Request) -> str:
    """The model's rule for each prompt."""
    text = request.messages[-1].text
    rest = text.partition(": ")[2]
    chance = random.Random(text)
    if request.messages[0].text.startswith("You write plans"):
        what = text.rpartition(GOAL)[2].split()[1]
        looking = [use("a", arguments={"what": what}), answer("${a}")]
        return json.dumps({"name": "looking", "steps": looking})
    if text.startswith(SORT):
        return "garden" if any(word in rest for word in ("spade", "tulip", "rake")) else "music"
    if text.startswith(NAME):
        return f"{rest.split()[0]} {' '.join(chance.sample(_WORDS.split(), 4))}"
    if text.startswith(FIND):
        return json.dumps({"what": rest.split()[-1]})
    if text.startswith(DRAFT):
        return " ".join(chance.sample(_WORDS.split(), 8)).capitalize()
    return chance.choice(("yes", "yes", "no"))


async def perform(on: Stage, number: int) -> str:
    """One run of the whole plan; returns its id."""
    chance = random.Random(number)
    parcel = f"{chance.choice(_THINGS)}, {chance.choice(_STATES)}, parcel {number}"
    lines = [f"{chance.choice(_THINGS)}, {number} pieces, {chance.random()}" for _ in range(2)]
    order = order_of(WHOLE, given={"parcel": parcel, "lines": lines})
    run_id = await on.orchestra.begin(order, ANYBODY)
    assert (await on.orchestra.outcome(run_id)).state in ("done", "failed")
    return run_id


async def test_every_step_that_a_model_does_is_a_call_of_the_run_and_becomes_a_task(
    store: Store,
) -> None:
    async with stage(store, Ledger().tools(), said) as on:
        ids = [await perform(on, number) for number in range(RUNS)]
        asked = on.scribes["gpt"].asked
    contracts = recorded_of(store, ids, len(asked))
    expected: dict[str, list[Contract]] = {
        SORT: [LabelContract(("garden", "music"))],
        NAME: [TextContract()],
        DRAFT: [TextContract()],
        GOOD: [LabelContract(("yes", "no"))],
    }
    assert {prompt: contracts[prompt] for prompt in expected} == expected
    (arguments,) = contracts[FIND]
    assert isinstance(arguments, FieldsContract)
    assert [field.name for field in arguments.fields] == ["what"]


@pytest.mark.parametrize("early", [True, False])
async def test_planning_is_a_call_of_the_run_and_becomes_a_task(store: Store, early: bool) -> None:
    """Whether the plan comes whole or as a stream. Tools that are called take no model, and leave
    no example."""
    agents = [agent_of("desk", tools=("look",), models=("gpt",), begin_early=early)]
    async with stage(store, Ledger().tools(), said, agents) as on:
        ids = []
        for number in range(RUNS):
            goal = f"{GOAL}parcel-{number} {random.Random(number).choice(_STATES)}"
            ids.append(await on.orchestra.begin(order_of(agent="desk", goal=goal), ANYBODY))
            assert (await on.orchestra.outcome(ids[-1])).state == "done"
        asked = on.scribes["gpt"].asked
    assert len(asked) == RUNS
    (contract,) = recorded_of(store, ids, RUNS)["You write plans"]
    assert isinstance(contract, FieldsContract | TextContract)


def recorded_of(store: Store, runs: list[str], asked: int) -> dict[str, list[Contract]]:
    """The contracts of the tasks found for each prompt, once it is sure that all that a model was
    asked is recorded, each in its run's episode."""
    calls = [call for run in runs for call in store.calls.list(CallFilter(episode=run, limit=99))]
    assert len(calls) == asked
    assert len(calls) == sum(len(page) for page in store.calls.pages())
    Finder(store, 10).look()
    tasks = {task.id: task.contract for task in known_tasks(store)}
    found: dict[str, list[Contract]] = defaultdict(list)
    for call in calls:
        whole = store.calls.get(call.id)
        first, last = whole.request.messages[0].text, whole.request.messages[-1].text
        prompts = (SORT, NAME, DRAFT, GOOD, FIND)
        prompt = next((one for one in prompts if last.startswith(one)), first[:15])
        assert whole.task, f"no task was found for {prompt!r}"
        if tasks[whole.task] not in found[prompt]:
            found[prompt].append(tasks[whole.task])
    return found
