"""Shapes of prompts to be told apart: examples, reasoning, histories, steps of agents."""

import json
import random
from collections import defaultdict
from collections.abc import Callable

import pytest
import recurring
from recurring import Labelled, call, composition, observed

from framework_agent import CLOSING, Case, ParcelModel, Played, cases, graph, loop, steps
from shoal.chat import Answer, Message, Request, ToolCall
from shoal.tasks import (
    CallContract,
    Contract,
    LabelContract,
    NumberContract,
    ObservedCall,
    Task,
    TextContract,
    discover,
    parse,
    render,
)

STEPS = "Let's think step by step."


def tasks_by_name(calls: list[Labelled], seed: int = 1) -> dict[str, Task]:
    """The task of each template; fails if one is mixed, split or not found."""
    found = discover(observed(calls, seed))
    composed = composition(calls, found)
    assert "" not in composed
    assert all(len(names) == 1 for names in composed.values())
    assert len(composed) == len({name for name, _ in calls})
    tasks = {task.id: task for task in found.tasks}
    return {name: tasks[found.assignments[made.id]] for name, made in calls}


def shots(pairs: list[tuple[str, str]], label: str, reason: str = "") -> str:
    return "\n\n".join(f"Q: {text}\nA:{reason} {label} {answer}".strip() for text, answer in pairs)


def few_shot(number: int) -> list[Labelled]:
    """Prompts that share all but their examples."""
    rows = recurring.shop()
    made = []
    for key in ("topic", "urgency", "department"):
        examples = shots([(row["message"], row["llm"][key]) for row in rows[:4]], "")
        for i, row in enumerate(rows[10 : 10 + number]):
            text = f"{examples}\n\nQ: {row['message']}\nA:"
            made.append(call(key, i, [("user", text)], row["llm"][key]))
    return made


def test_prompts_are_told_apart_by_their_examples() -> None:
    tasks = tasks_by_name(few_shot(80))
    for key, task in tasks.items():
        assert len(task.templates[0].slots) == 1, key
    assert isinstance(tasks["urgency"].contract, LabelContract)


def reasoned(number: int) -> list[Labelled]:
    """Bare questions and few-shot prompts that end in the same request to reason."""
    rng = random.Random(3)
    rows = recurring.shop()
    examples = shots(
        [(row["message"], row["llm"]["urgency"]) for row in rows[:3]],
        "So the answer is",
        f" {STEPS} They wait.",
    )
    made = []
    for i, row in enumerate(rows[10 : 10 + number]):
        urgency = row["llm"]["urgency"]
        text = f"{examples}\n\nQ: {row['message']}\nA: {STEPS}"
        answer = f"The customer says so in {i} words. So the answer is {urgency}."
        made.append(call("few shots", i, [("user", text)], answer))
        text = f"Q: {row['message']} \nA: {STEPS}"
        answer = f"Well, {rng.choice(recurring.replies())}"
        made.append(call("open question", i, [("user", text)], answer))
        apples = rng.randint(2, 900)
        text = f"Q: Count what is listed and add {apples} to it: {row['message']}\nA: {STEPS}"
        answer = f"There are {i}.\nAdding makes more.\nTherefore, the answer is: {apples + i}."
        made.append(call("number", i, [("user", text)], answer))
    return made


def test_reasoning_has_a_contract_of_what_it_comes_to() -> None:
    tasks = tasks_by_name(reasoned(120))
    urgency, number = tasks["few shots"].contract, tasks["number"].contract
    assert urgency == LabelContract(("high", "low", "normal"), "So the answer is ", reasoned=True)
    assert number == NumberContract("Therefore, the answer is ", reasoned=True)
    assert tasks["open question"].contract == TextContract()
    assert parse(urgency, "Is it high? So the answer is low. So the answer is High.") == "high"
    assert render(urgency, "low") == "So the answer is low"
    assert parse(urgency, "I cannot tell.") is None
    assert parse(number, "First 3.\nTherefore, the answer is:\n\n1,240") == 1240.0


def test_an_answer_in_a_box_is_closed_again() -> None:
    calls = [
        call(
            "box",
            i,
            [("user", f"Choose the best option.\nQuestion: {row['message']}\nBox your answer.")],
            f"\\boxed{{{'ABCD'[i % 4]}}} since {i} is what it says.",
        )
        for i, row in enumerate(recurring.shop()[:80])
    ]
    contract = tasks_by_name(calls)["box"].contract
    assert contract == LabelContract(("A", "B", "C", "D"), "\\boxed{", reasoned=True)
    assert render(contract, "B") == "\\boxed{B}"
    assert parse(contract, "\\boxed{{B}} it is") == "B"


def test_what_is_asked_is_told_apart_though_the_wrapper_is_the_same() -> None:
    rng = random.Random(5)
    names = ["Anna", "Bob", "Chen", "Dora", "Eve", "Gus", "Ida", "Jon", "Kim", "Lea"]
    made = []
    for i, row in enumerate(recurring.shop()[:300]):
        text = f"Q: {row['message']}\nA: {STEPS}"
        made.append(call("open", i, [("user", text)], f"Hm, {row['message']} {i}"))
        if i < 100:
            some = " ".join(rng.sample(names, 4))
            text = f'Q: Take the last letter of each of the words in "{some}" and join them up.'
            made.append(call("letters", i, [("user", f"{text}\nA: {STEPS}")], f"It is {some}"))
    tasks_by_name(made)


SYSTEM = "You are Robin of the parcel office. Use the tools, never guess where a parcel is."
TOOLS = json.dumps([{"name": name} for name in ("find_parcel", "refund")])


def episodes(number: int, tools: str = TOOLS) -> list[Labelled]:
    """Conversations of a scripted agent: find the parcel, refund it, say so, chat on."""
    made = []

    def step(name: str, episode: int, messages: list[Message], answer: Answer) -> None:
        request = Request("gpt", tuple(messages), tools=tools)
        made.append((name, ObservedCall(f"{name}/{episode}", request, answer)))

    for i, row in enumerate(recurring.shop()[:number]):
        find = ToolCall(f"a{i}", "find_parcel", json.dumps({"id": i}))
        refund = ToolCall(f"b{i}", "refund", json.dumps({"id": i, "euros": i % 7}))
        messages = [Message("system", SYSTEM), Message("user", row["message"])]
        step("after the user", i, messages, Answer("", (find,)))
        messages.append(Message("assistant", tool_calls=(find,)))
        messages.append(Message("tool", f"lost at stop {i}", tool_call_id=find.id))
        step("after find_parcel", i, messages, Answer("", (refund,)))
        messages.append(Message("assistant", tool_calls=(refund,)))
        messages.append(Message("tool", "done", tool_call_id=refund.id))
        step("after refund", i, messages, Answer(f"{row['llm'].get('reply', 'Done')} {i}"))
    return made


def test_an_agents_steps_have_the_contract_of_their_place() -> None:
    tasks = tasks_by_name(episodes(60))
    assert tasks["after the user"].contract == CallContract(("find_parcel",))
    assert tasks["after find_parcel"].contract == CallContract(("refund",))
    assert tasks["after refund"].contract == TextContract()


def test_two_agents_with_other_tools_are_two() -> None:
    other = [(f"other {name}", made) for name, made in episodes(60, '[{"name": "x"}]')]
    renamed = [
        (name, ObservedCall(f"other/{made.id}", made.request, made.answer)) for name, made in other
    ]
    assert len(tasks_by_name([*episodes(60), *renamed])) == 6


@pytest.mark.parametrize("turns", [1, 3])
def test_a_history_belongs_to_its_conversation(turns: int) -> None:
    system = "You are Penny of the penguin shop. Be brief, be kind, never promise any refund."
    made = []
    rng = random.Random(turns)
    for i in range(60):
        messages = [("system", system)]
        for turn in range(rng.randint(1, turns)):
            messages.append(("user", rng.choice(recurring.shop())["message"]))
            answer = f"{rng.choice(recurring.replies())} {i}"
            made.append(call("talk", 100 * i + turn, messages, answer))
            messages.append(("assistant", answer))
    task = tasks_by_name(made)["talk"]
    assert task.templates[0].continues == (turns > 1)


@pytest.mark.parametrize("closing", ["", CLOSING])
def test_the_steps_of_a_frameworks_loop(closing: str) -> None:
    """What the agent does next is found by what has just happened; to end the loop is a step too,
    if that is said word for word."""
    contracts = steps_found(loop, ParcelModel(closing))
    assert contracts["look_up_order"] == {CallContract(("look_up_order",))}
    tracking = CallContract(
        ("track_parcel",), talks=not closing, says=(closing,) if closing else ()
    )
    assert contracts["track_parcel"] == {tracking}
    ending = LabelContract((closing,)) if closing else TextContract()
    assert contracts["talk"] == {tracking, ending}


def test_the_steps_of_a_frameworks_graph() -> None:
    """A router is a task of two labels, and a summary of results is one, however many there are."""
    contracts = steps_found(graph, ParcelModel())
    assert contracts["router"] == {LabelContract(("CONTINUE", "FINISH"))}
    assert contracts["summary"] == {TextContract()}
    assert contracts["look_up_order"] == {CallContract(("look_up_order",))}
    assert contracts["track_parcel"] == {CallContract(("track_parcel",))}


def steps_found(shape: Callable[[Case], Played], llm: ParcelModel) -> dict[str, set[Contract]]:
    """The contracts of the tasks that were found for each kind of step; every call has a task."""
    played = [step for case in cases(120) for step in steps(shape(case), llm)]
    calls = [ObservedCall(str(n), step.request, step.answer) for n, step in enumerate(played)]
    found = discover(calls)
    tasks = {task.id: task.contract for task in found.tasks}
    contracts: dict[str, set[Contract]] = defaultdict(set)
    for one, step in zip(calls, played, strict=True):
        made = step.answer.tool_calls
        kind = made[0].name if made else "talk" if step.node == "agent" else step.node
        contracts[kind].add(tasks[found.assignments[one.id]])
    return contracts
