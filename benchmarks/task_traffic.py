"""Calls whose template is known, for measuring discovery, which is not told it."""

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.chat import Answer, Message, Request
from shoal.tasks.discovery import ObservedCall

Labelled = tuple[str, ObservedCall]
"""The name of the template a call was made from, and the call."""

DATA = Path(os.environ.get("SHOAL_DATA", "../shared/data"))


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a gzipped file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def call(name: str, number: int, system: str, user: str, answer: str) -> Labelled:
    """One call: system prompt ("" for none), user message, answer."""
    messages = (Message("system", system),) if system else ()
    request = Request("gpt-4o-mini", (*messages, Message("user", user)))
    return name, ObservedCall(f"{name}/{number}", request, Answer(answer))


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
        yield call("bank-intent", number, system, text, llm["intent"])
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
    """Few-shot prompts: examples, then a question. Equal examples make one template."""
    folder = DATA / "recurring_calls/bbh"
    prefixes = {(r["task"], r["strategy"]): r["prefix"] for r in rows(folder / "prefixes.jsonl.gz")}
    for number, row in enumerate(rows(folder / "outputs.jsonl.gz")):
        key = row["task"], row["strategy"]
        user = prefixes[key] + row["question"]
        name = next(k for k, prefix in prefixes.items() if prefix == prefixes[key])
        yield call(f"bbh-{name[0]}-{name[1]}", number, "", user, row["output"])


_TRIGGER = re.compile(r"A: (Let's think step by step\.|[^\n]{0,80}? is\b)")


def zero_shot_cot() -> Iterator[Labelled]:
    """Questions that end in the beginning of the answer, as it was sent to the model."""
    for number, row in enumerate(rows(DATA / "recurring_calls/zero_shot_cot/outputs.jsonl.gz")):
        trigger = _TRIGGER.match(row["output"])
        if trigger:
            user = f"Q: {row['question']}\n{trigger[0]}"
            answer = row["output"][trigger.end() :]
            yield call(f"cot-{trigger[1]}", number, "", user, answer)


def product_matching() -> Iterator[Labelled]:
    """Pairs of products in four wordings of the question."""
    for number, row in enumerate(rows(DATA / "product_matching/responses.jsonl.gz")):
        answer = next(raw for raw, _ in row["out"].values())
        yield call(f"match-{row['task']}", number, "", row["prompt"], answer)


def router_arena() -> Iterator[Labelled]:
    """Prompts of many data sets, few calls each; the template is taken to be the first sentence."""
    for number, row in enumerate(rows(DATA / "routing/routerarena/cached.jsonl.gz")):
        name = row["prompt"].split("\n", 1)[0].split(". ", 1)[0][:60]
        answer = next(iter(row["models"].values()))["answer"]
        yield call(f"arena-{name}", number, "", row["prompt"], answer)


def chatter(number: int = 500) -> Iterator[Labelled]:
    """Messages without any instruction, answered by the shop's replies."""
    rng = random.Random(11)
    replies = [r["llm"]["reply"] for r in rows(DATA / "demo/calls.jsonl.gz") if "reply" in r["llm"]]
    texts = [row["text"] for row in rows(DATA / "intents/clinc150.jsonl.gz")]
    for at, text in enumerate(rng.sample(texts, number)):
        yield call("chatter", at, "", text, f"{rng.choice(replies)} {at}")


def missing_data() -> Path | None:
    """The folder that should hold the data, if it is not there."""
    return None if (DATA / "demo/calls.jsonl.gz").exists() else DATA
