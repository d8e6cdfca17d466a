"""Calls made from known templates out of real customers' messages, for tests of discovery."""

import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from shoal.chat import Answer, Message, Request, ToolCall
from shoal.tasks import Discovery, ObservedCall

Labelled = tuple[str, ObservedCall]
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SHOAL_DATA", "../shared/data"))
DATA = DATA if DATA.is_absolute() else ROOT / DATA


def lines(packed: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(packed).splitlines()]


@cache
def shop() -> list[dict[str, Any]]:
    """The demonstration's messages with the desk's answers, shipped with the package."""
    return lines(resources.files("shoal.demo").joinpath("calls.jsonl.gz").read_bytes())


@cache
def data(path: str) -> list[dict[str, Any]]:
    if not (DATA / path).exists():
        pytest.skip(f"{DATA / path} is not there: set SHOAL_DATA to the folder of test data")
    return lines((DATA / path).read_bytes())


def replies() -> list[str]:
    return [row["llm"]["reply"] for row in shop() if "reply" in row["llm"]]


def call(
    name: str,
    number: int,
    messages: Sequence[tuple[str, str]],
    answer: str | Answer,
    tools: str = "",
) -> Labelled:
    """One call of the template ``name``; messages are (role, text)."""
    request = Request("gpt", tuple(Message(role, text) for role, text in messages), tools=tools)
    full = answer if isinstance(answer, Answer) else Answer(answer)
    return name, ObservedCall(f"{name}/{number}", request, full)


def variants(number: int, seed: int = 0) -> Iterator[Labelled]:
    """``number`` calls of each of many shapes that prompts have in the wild."""
    rng = random.Random(seed)
    said = replies()
    for i, row in enumerate(shop()[:number]):
        m, llm = row["message"], row["llm"]
        user = [("user", m)]
        day = f"2026-{i % 12 + 1:02d}-{i % 28 + 1:02d}"
        person = rng.choice(["Anna", "Bob Miller", "Chen", "Dora", "Eve", "Frank Zappa", "Gus"])
        other = rng.choice(shop())["message"]
        text = f"Here is a message:\n\n{m}\n\nHow urgent is it? Answer low, normal or high."
        yield call("input in the middle", i, [("user", text)], llm["urgency"])
        text = f"Name the topic of this message. {m}"
        yield call("input at the end", i, [("user", text)], llm["topic"])
        text = f"{m}\n\nIs the message above about money? Answer yes or no."
        yield call("input at the start", i, [("user", text)], llm["about_money"])
        text = f"{m} Is this about a purchase not made yet? Answer yes or no."
        yield call("input on the same line", i, [("user", text)], llm["before_purchase"])
        text = f"<task>Pick the department.</task>\n<ticket>{m}</ticket>"
        persona = ("system", "You are a helpful assistant.")
        yield call("tags", i, [persona, ("user", text)], llm["department"])
        system = (
            f"You triage. Today is {day}. Answer with the sentiment: negative, neutral, positive."
        )
        yield call("date in system", i, [("system", system), *user], llm["sentiment"])
        system = f"You are talking to {person}. Decide what to do with their ticket: one action."
        yield call("name in system", i, [("system", system), *user], llm["action"])
        shots = [("user", "Where is it"), ("assistant", "delivery"), ("user", "Charged twice")]
        shots = [("system", "Classify."), *shots, ("assistant", "payments"), *user]
        yield call("example messages", i, shots, llm["department"])
        shown = "Message: Late again\nUrgency: normal\n\nMessage: Fire!!\nUrgency: high"
        text = f"{shown}\n\nMessage: {m}\nUrgency:"
        yield call("example text", i, [("user", text)], llm["urgency"])
        parts = {"instruction": "Extract the fields as JSON", "message": m}
        text = json.dumps(parts, ensure_ascii=False)
        yield call("JSON prompt", i, [("user", text)], json.dumps(llm["fields"]))
        text = f'Translate "{m}" into German.'
        yield call("quotes", i, [("user", text)], f"{rng.choice(said)} {i}")
        text = f"Compare the messages.\nFirst: {m}\nSecond: {other}\nSame topic? yes/no"
        yield call("two slots", i, [("user", text)], rng.choice(["yes", "no"]))
        system = "You are a sentiment classifier."
        yield call("persona only", i, [("system", system), *user], llm["sentiment"])
        yield call("one word", i, [("user", f"Summarize: {m}")], f"{rng.choice(said)} {i}")
        prefill = [("system", "Reply with urgency and sentiment as JSON."), *user]
        triage = json.dumps({key: llm[key] for key in ("urgency", "sentiment")})
        yield call("prefilled", i, [*prefill, ("assistant", "{")], triage)


def conversations(number: int, seed: int = 0) -> Iterator[Labelled]:
    """The calls of ``number`` growing chats with one system prompt."""
    rng = random.Random(seed)
    system = "You are Penny of the Penguin web shop. Be brief, be kind, never promise refunds."
    count = 0
    for _ in range(number):
        messages = [("system", system)]
        for _ in range(rng.randint(1, 5)):
            messages.append(("user", rng.choice(shop())["message"]))
            answer = rng.choice(replies())
            count += 1
            yield call("conversation", count, messages, answer)
            messages.append(("assistant", answer))


def chatter(texts: Sequence[str], system: str = "", seed: int = 0) -> Iterator[Labelled]:
    """Messages without any template, and answers of all kinds."""
    rng = random.Random(seed)
    head = [("system", system)] if system else []
    for i, text in enumerate(texts):
        yield call("chatter", i, [*head, ("user", text)], f"{rng.choice(replies())} {i}")


def agent_calls() -> Iterator[Labelled]:
    """The steps of an agent: tool calls and answers, each with all that went before; the template
    is what the step comes after."""
    episodes = data("agent_traces/airline_trajectories.jsonl.gz")
    policy = json.loads((DATA / "agent_traces/system.json").read_text())["airline"]
    for episode, row in enumerate(episodes):
        messages = [Message("system", policy)]
        made: tuple[ToolCall, ...] = ()
        for step, said in enumerate(row["traj"]):
            text = said["content"] or ""
            if said["role"] == "tool":
                origin = f"agent after {made[0].name}"
                messages.append(Message("tool", text, tool_call_id=made[0].id))
                made = made[1:]
            elif said["role"] == "user":
                origin = "agent after user"
                messages.append(Message("user", text))
            else:
                made = tuple(
                    ToolCall(f"{step}-{i}", asked["name"], asked["arguments"])
                    for i, asked in enumerate(said.get("tool_calls") or ())
                )
                request = Request("gpt-4o", tuple(messages), tools="[…]")
                yield origin, ObservedCall(f"agent/{episode}/{step}", request, Answer(text, made))
                messages.append(Message("assistant", text, tool_calls=made))


def composition(calls: Sequence[Labelled], found: Discovery) -> dict[str, Counter[str]]:
    """For each task (and "" for none) how many calls of which template it holds."""
    composed: dict[str, Counter[str]] = {}
    for name, observed in calls:
        task = found.assignments.get(observed.id, "")
        composed.setdefault(task, Counter())[name] += 1
    return composed


def observed(calls: Sequence[Labelled], seed: int | None = None) -> list[ObservedCall]:
    """The calls without their templates' names, shuffled if a seed is given."""
    found = [observed for _, observed in calls]
    if seed is not None:
        random.Random(seed).shuffle(found)
    return found
