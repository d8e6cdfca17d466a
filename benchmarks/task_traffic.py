"""Calls whose template is known, for measuring discovery, which is not told it."""

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from shoal.chat import Answer, Message, Request, ToolCall
from shoal.tasks.discovery import ObservedCall


class Labelled(Struct, frozen=True):
    """A call, the name of the template it was made from, and the right output by the data set
    ("" where it has none)."""

    template: str
    call: ObservedCall
    target: str = ""


DATA = Path(os.environ.get("SHOAL_DATA", "../shared/data"))


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a gzipped file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def call(
    name: str, number: int, system: str, user: str, answer: str, target: object = ""
) -> Labelled:
    """One call: system prompt ("" for none), user message, answer."""
    messages = (Message("system", system),) if system else ()
    request = Request("gpt-4o-mini", (*messages, Message("user", user)))
    return Labelled(name, ObservedCall(f"{name}/{number}", request, Answer(answer)), str(target))


BANK = "You work at the support desk of a bank."
INTENT = (
    BANK
    + " Classify the customer's message into one of these intents:\n{}\n\n"
    + ("Reply with the name of the intent only.")
)
TRIAGE = BANK + (
    " Triage the customer's message. Reply with a JSON object with the keys urgency (low, normal "
    "or high), sentiment (negative, neutral or positive) and action (answer_from_faq, "
    "check_account, block_card, open_dispute, verify_identity or escalate_to_human)."
)
ENTITIES = BANK + (
    " Extract from the customer's message, word for word, what it mentions of: amount, country, "
    "currency, merchant, payment_method, timeframe. Reply with a JSON object; leave out what is "
    "not there."
)


def support_desk() -> Iterator[Labelled]:
    """Each bank customer's message as three calls."""
    intents = json.loads((DATA / "support_desk/intents.json").read_text())
    system = INTENT.format("\n".join(f"- {intent}" for intent in intents))
    for number, row in enumerate(rows(DATA / "support_desk/calls.jsonl.gz")):
        text, llm = row["message"], row["llm"]
        triage = {key: llm[key] for key in ("urgency", "sentiment", "action")}
        yield call("bank-intent", number, system, text, llm["intent"], llm["intent"])
        yield call("bank-triage", number, TRIAGE, text, json.dumps(triage))
        yield call("bank-entities", number, ENTITIES, text, json.dumps(llm["entities"]))


SHOP = "You work at the support desk of an online shop."
SHOP_PROMPTS = {
    "department": "Which department should handle the customer's message? Answer with one of: "
    "account, advice, care, delivery, order, payments, returns.",
    "about_money": "Is the customer's message about money? Answer yes or no.",
    "before_purchase": "Was the customer's message written before a purchase? Answer yes or no.",
    "topic": "Name the topic of the customer's message. Answer with the topic only.",
    "urgency": "How urgent is the customer's message? Answer low, normal or high.",
    "reply": "Write a short, friendly reply to the customer's message.",
}
ORDER_FIELDS = (
    "Copy these from the customer's message if it mentions them: order_id, product, amount, date, "
    "city, quantity. Answer with a JSON object."
)


def demo(template: str = SHOP + " {instruction}\n\nMessage: {message}") -> Iterator[Labelled]:
    """Each shop customer's message as up to seven calls, the input inside the user message."""
    for number, row in enumerate(rows(DATA / "demo/calls.jsonl.gz")):
        text, llm = row["message"], row["llm"]
        for key, instruction in SHOP_PROMPTS.items():
            if key in llm:
                user = template.format(instruction=instruction, message=text)
                yield call(f"shop-{key}", number, "", user, llm[key])
        user = template.format(instruction=ORDER_FIELDS, message=text)
        yield call("shop-fields", number, "", user, json.dumps(llm["fields"]))


def big_bench_hard() -> Iterator[Labelled]:
    """Few-shot prompts: examples, then a question; answered directly or with reasoning."""
    folder = DATA / "recurring_calls/bbh"
    prefixes = {(r["task"], r["strategy"]): r["prefix"] for r in rows(folder / "prefixes.jsonl.gz")}
    for number, row in enumerate(rows(folder / "outputs.jsonl.gz")):
        key = row["task"], row["strategy"]
        user = prefixes[key] + row["question"]
        yield call(f"bbh-{key[0]}-{key[1]}", number, "", user, row["output"], row["target"])


STEP_BY_STEP = "A: Let's think step by step."
NUMERALS = "A: The answer (arabic numerals) is"
YES_OR_NO = "A: The answer (Yes or No) is"
TRIGGERS = {
    "addsub": NUMERALS,
    "aqua": "A: Among A through E, the answer is",
    "coin_flip": YES_OR_NO,
    "commonsensqa": "A: Among A through E, the answer is",
    "date_understanding": "A: Among A through F, the answer is",
    "gsm8k": NUMERALS,
    "last_letters": "A: The answer is",
    "multiarith": NUMERALS,
    "shuffled_objects": "A: Among A through C, the answer is",
    "singleeq": NUMERALS,
    "strategyqa": YES_OR_NO,
    "svamp": NUMERALS,
}
"""The beginning of the answer that was sent with the questions of a data set."""


def zero_shot_cot() -> Iterator[Labelled]:
    """Questions that end in the beginning of the answer, as it was sent to the model."""
    for number, row in enumerate(rows(DATA / "recurring_calls/zero_shot_cot/outputs.jsonl.gz")):
        reasons = row["strategy"] == "zero_shot_cot"
        trigger = STEP_BY_STEP if reasons else TRIGGERS[row["dataset"]]
        user = f"Q: {row['question']}\n{trigger}"
        answer = row["output"].removeprefix(trigger)
        name = f"cot-{row['dataset']}-{row['strategy']}"
        yield call(name, number, "", user, answer, row["target"])


def product_matching() -> Iterator[Labelled]:
    """Pairs of products in four wordings of the question."""
    for number, row in enumerate(rows(DATA / "product_matching/responses.jsonl.gz")):
        answer = next(raw for raw, _ in row["out"].values())
        target = "Yes" if row["label"] else "No"
        yield call(f"match-{row['task']}", number, "", row["prompt"], answer, target)


_QUOTED_WORD = re.compile(r'"\w+"')


def router_arena() -> Iterator[Labelled]:
    """Prompts of many data sets, few calls each; the template is the first line, the word in
    question left out."""
    for number, row in enumerate(rows(DATA / "routing/routerarena/cached.jsonl.gz")):
        name = _QUOTED_WORD.sub('""', row["prompt"].split("\n", 1)[0])
        answer = next(iter(row["models"].values()))["answer"]
        target = row["ground_truth"] if row["metric"] == "mcq_accuracy" else ""
        yield call(f"arena-{name}", number, "", row["prompt"], answer, target)


def agent_steps() -> Iterator[Labelled]:
    """The steps of an airline's agent, each with all that went before; the template is what the
    step comes after: a message of the user, or the result of a tool."""
    policy = json.loads((DATA / "agent_traces/system.json").read_text())["airline"]
    for episode, row in enumerate(rows(DATA / "agent_traces/airline_trajectories.jsonl.gz")):
        messages = [Message("system", policy)]
        made: tuple[ToolCall, ...] = ()
        for step, said in enumerate(row["traj"]):
            text = said["content"] or ""
            if said["role"] == "tool":
                origin = f"the result of {made[0].name}"
                messages.append(Message("tool", text, tool_call_id=made[0].id))
                made = made[1:]
            elif said["role"] == "user":
                origin = "the user"
                messages.append(Message("user", text))
            else:
                made = tuple(
                    ToolCall(f"{step}-{i}", call["name"], call["arguments"])
                    for i, call in enumerate(said.get("tool_calls") or ())
                )
                request = Request("gpt-4o", tuple(messages), tools=TOOLS)
                observed = ObservedCall(f"agent/{episode}/{step}", request, Answer(text, made))
                yield Labelled(f"agent after {origin}", observed)
                messages.append(Message("assistant", text, tool_calls=made))


TOOLS = '["the tools of the airline"]'


CHATTER = "chatter"


def chatter(number: int = 500) -> Iterator[Labelled]:
    """Messages without any instruction, answered by the shop's replies."""
    rng = random.Random(11)
    replies = [r["llm"]["reply"] for r in rows(DATA / "demo/calls.jsonl.gz") if "reply" in r["llm"]]
    texts = [row["text"] for row in rows(DATA / "intents/clinc150.jsonl.gz")]
    for at, text in enumerate(rng.sample(texts, number)):
        yield call(CHATTER, at, "", text, f"{rng.choice(replies)} {at}")


def missing_data() -> Path | None:
    """The folder that should hold the data, if it is not there."""
    return None if (DATA / "demo/calls.jsonl.gz").exists() else DATA
