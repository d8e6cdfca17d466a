"""The demonstration's traffic: customers' messages, and the desk's calls about each.

Messages and answers were written by an LLM for this project (CC0) and are played back: recorded.
The data holds no times and no prices, so what the LLM took and cost is assumed, and called so.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec import Struct

from shoal.routing.prices import Tariff

MODEL = "desk-llm"
ASSUMED_LATENCY_MS = 900.0
ASSUMED_INPUT_PRICE = 3.0  # USD per million tokens
ASSUMED_OUTPUT_PRICE = 15.0
CHARACTERS_PER_TOKEN = 4  # assumed for the recorded usage
TARIFF = Tariff(MODEL, input=ASSUMED_INPUT_PRICE, output=ASSUMED_OUTPUT_PRICE)

SHOP = "You work at the support desk of an online shop for the home."
DRIFTING = "about_money"
"""The kind of call whose answers are turned round in the demonstration's last part."""

_ASKS = {
    "department": "Which department handles the customer's message? Answer with one word: returns, "
    "delivery, payments, advice, care, order or account.",
    "about_money": "Is the customer's message about money: a charge, a refund, a price, an "
    "invoice? Answer yes or no.",
    "before_purchase": "Does the customer write before a purchase, without having bought yet? "
    "Answer yes or no.",
    "order": "Extract the order_id and the amount of money that the customer states, copied "
    "verbatim, as a JSON object. Leave out what is not stated.",
    "topic": "Name the topic of the customer's message. Answer with exactly one of: {topics}.",
    "reply": "Write a short, friendly reply to the customer.",
}


class Message(Struct, frozen=True):
    """One customer's message and the desk's recorded answer to each kind of call about it."""

    text: str
    answers: dict[str, str]


class Call(Struct, frozen=True):
    """One call of the desk, and the LLM's recorded answer."""

    kind: str
    messages: list[dict[str, str]]
    answer: str

    def recorded(self) -> dict[str, Any]:
        """The line of a recording, for the ``recorded`` engine."""
        asked = sum(len(message["content"]) for message in self.messages)
        usage = {
            "prompt_tokens": asked // CHARACTERS_PER_TOKEN,
            "completion_tokens": max(1, len(self.answer) // CHARACTERS_PER_TOKEN),
        }
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        message = {"role": "assistant", "content": self.answer}
        return {
            "request": {"model": MODEL, "messages": self.messages},
            "response": {
                "id": "recorded",
                "object": "chat.completion",
                "created": 0,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            },
            "latency_ms": ASSUMED_LATENCY_MS,
        }


def read_messages() -> list[Message]:
    """All messages, in their order."""
    packed = resources.files(__package__).joinpath("calls.jsonl.gz").read_bytes()
    return [_message(json.loads(line)) for line in gzip.decompress(packed).splitlines()]


def calls_about(messages: Sequence[Message], drift_from: int) -> list[list[Call]]:
    """The desk's calls about each message; from ``drift_from`` on one kind's answers are turned
    round, yes for no."""
    topics = ", ".join(sorted({message.answers["topic"] for message in messages}))
    return [
        list(_calls(message, topics, number >= drift_from))
        for number, message in enumerate(messages)
    ]


def write_recording(calls: Sequence[Sequence[Call]], path: Path) -> None:
    """Write the recording that the ``recorded`` engine plays."""
    with path.open("w", encoding="utf-8") as file:
        for about_one in calls:
            file.writelines(json.dumps(call.recorded()) + "\n" for call in about_one)


def _message(row: dict[str, Any]) -> Message:
    answers: dict[str, str] = {
        kind: row["llm"][kind] for kind in ("department", "about_money", "before_purchase", "topic")
    }
    stated = row["llm"]["fields"]
    order = {key: stated[key] for key in ("order_id", "amount") if key in stated}
    answers["order"] = json.dumps(order, ensure_ascii=False)
    if "reply" in row["llm"]:
        answers["reply"] = row["llm"]["reply"]
    return Message(row["message"], answers)


def _calls(message: Message, topics: str, drifted: bool) -> Iterator[Call]:
    for kind, ask in _ASKS.items():
        if kind not in message.answers:
            continue
        answer = message.answers[kind]
        if drifted and kind == DRIFTING:
            answer = "no" if answer == "yes" else "yes"
        system = f"{SHOP} {ask.format(topics=topics)}"
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": message.text},
        ]
        yield Call(kind, messages, answer)
