"""Steps of a shop's agent and the calls it makes, drawn with a seed: it looks an order up once it
has its number, refunds the order's price once the customer says yes, and talks otherwise."""

import json
from typing import NamedTuple

import numpy as np

from shoal.chat import Message, ToolCall
from shoal.tasks import CallContract, Input
from shoal.tasks.contract import Output
from shoal.tasks.template import transcript_of

CONTRACT = CallContract(("look_up", "refund"), talks=True)
TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "look_up",
                "description": "Looks up an order.",
                "parameters": {
                    "type": "object",
                    "properties": {"order_id": {"type": "string", "description": "Its number."}},
                    "required": ["order_id"],
                },
            },
        },
        {
            "type": "function",
            "function": {
                "name": "refund",
                "description": "Pays an order's price back.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "order_id": {"type": "string"},
                        "amount": {"type": "number"},
                        "way": {"type": "string", "enum": ["card", "voucher"]},
                    },
                    "required": ["order_id", "amount", "way"],
                    "additionalProperties": False,
                },
            },
        },
    ]
)
_OPENINGS = ("Hello, I want my money back.", "Hi! I need a refund.", "Good morning, it is broken.")
_NUMBERS = ("My order is {}.", "It's {}, I bought it last week.", "Sure: {}", "Order number {}")
_NAMES = ("Ann Lee", "Bo Ek", "Cy Roy", "Di Fox")


class Steps(NamedTuple):
    """Requests, and the call that followed each (None: the agent talked)."""

    inputs: list[Input]
    outputs: list[Output | None]


def agent_steps(conversations: int, seed: int = 0, tools: str = TOOLS) -> Steps:
    """The steps of so many conversations, five each."""
    rng = np.random.default_rng(seed)
    steps = Steps([], [])
    for number in range(conversations):
        order = f"AB-{rng.integers(10_000, 99_999)}"
        price = float(rng.integers(500, 90_000)) / 100
        way = str(rng.choice(("card", "voucher")))
        look_up = _call("look_up", order_id=order)
        refund = _call("refund", order_id=order, amount=price, way=way)
        result = {"order": {"order_id": order, "price": price, "weight": 3.5}, "status": "sent"}
        turns: list[tuple[Message, Output | None]] = [
            (_user(f"{rng.choice(_OPENINGS)} I am {rng.choice(_NAMES)} ({number})."), None),
            (_user(str(rng.choice(_NUMBERS)).format(order)), (look_up,)),
            (Message("tool", json.dumps(result), name="look_up"), None),
            (_user(f"Yes, please, to my {way}."), (refund,)),
            (Message("tool", '{"done": true}', name="refund"), None),
        ]
        messages = [Message("system", "You are a shop's agent.")]
        for message, output in turns:
            messages.append(message)
            steps.inputs.append(Input(transcript_of(messages[1:]), (), tuple(messages), tools))
            steps.outputs.append(output)
            said = "" if output else "Which order is it? Shall I pay it back?"
            messages.append(Message("assistant", said, tool_calls=output or ()))  # type: ignore[arg-type]
    return steps


def _user(text: str) -> Message:
    return Message("user", text)


def _call(name: str, **arguments: object) -> ToolCall:
    return ToolCall("", name, json.dumps(arguments))
