"""What is asked and answered in the chaos run, and when what goes wrong; shared by its processes.

Every request bears a number, and all else follows from it: what the upstream says, whether it calls
tools, and the tokens that it counts. So whoever sees an answer knows whether it is the right one.
"""

import json
import random
import re
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from shoal.chat import Answer, Format, ToolCall, Usage

INPUT_PRICE, OUTPUT_PRICE, CACHED_PRICE = "1.25", "10", "0.125"  # USD per million tokens
Phase = Literal["well", "garbage", "hang", "dead", "refuse", "slow", "locked", "full", "kill"]
CYCLE_S = 60.0
_PHASES: tuple[tuple[float, Phase], ...] = (
    (0, "well"),
    (7, "garbage"),
    (14, "well"),
    (18, "hang"),
    (22, "well"),
    (26, "dead"),
    (29, "well"),
    (33, "refuse"),
    (37, "slow"),
    (41, "locked"),
    (47, "full"),
    (51, "well"),
    (56, "kill"),
)
_MARK = re.compile(rb"\[number (\d+)( tools)?\]")
_WORDS = ("the", "card", "was", "sent", "ü", "🐟", "\\n", '"', "{", "}", "data:", "\r\n", "\u2028")


class Asked(Struct, frozen=True):
    """What stands in a request's text: its number, and whether it is answered by calls of tools."""

    number: int
    tools: bool

    @property
    def mark(self) -> str:
        """How it stands there."""
        return f"[number {self.number}{' tools' if self.tools else ''}]"


def phase_at(elapsed_s: float) -> Phase:
    """What goes wrong so many seconds after the beginning."""
    at = elapsed_s % CYCLE_S
    return [name for start, name in _PHASES if start <= at][-1]


def asked_in(body: bytes) -> Asked | None:
    """The mark in a body, whatever its format."""
    found = _MARK.search(body)
    return Asked(int(found[1]), bool(found[2])) if found else None


def usage_of(number: int) -> Usage:
    """The tokens that the upstream counts for a request."""
    draw = random.Random(number)
    inputs = draw.randint(20, 3_000)
    return Usage(inputs, draw.randint(1, 400), draw.choice((0, inputs // 2)))


def cost_of(number: int) -> Decimal:
    """USD for a request, computed apart from Shoal's own arithmetic."""
    usage = usage_of(number)
    fresh = usage.input_tokens - usage.cached_tokens
    return (
        fresh * Decimal(INPUT_PRICE)
        + usage.cached_tokens * Decimal(CACHED_PRICE)
        + usage.output_tokens * Decimal(OUTPUT_PRICE)
    ) / 1_000_000


def answer_to(asked: Asked) -> Answer:
    """The upstream's answer."""
    draw = random.Random(asked.number)
    usage = usage_of(asked.number)
    if not asked.tools:
        words = draw.choices(_WORDS, k=draw.randint(1, 60))
        return Answer(f"{asked.mark} {' '.join(words)}", model="m", usage=usage)
    calls = tuple(
        ToolCall(f"call_{asked.number}_{place}", f"tool_{place}", _arguments(asked, draw))
        for place in range(draw.randint(1, 3))
    )
    return Answer("", calls, "tool_calls", model="m", usage=usage)


def is_right(answer: Answer, asked: Asked) -> bool:
    """Whether an answer says what the upstream said."""
    expected = answer_to(asked)
    calls = [(call.name, json.loads(call.arguments or "null")) for call in answer.tool_calls]
    wanted = [(call.name, json.loads(call.arguments)) for call in expected.tool_calls]
    return answer.text == expected.text and calls == wanted


def body_of(format: Format, model: str, asked: Asked, stream: bool) -> bytes:
    """A request in one of the wire formats."""
    text = f"Where is my card? {asked.mark}"
    made = {"chat": _chat, "messages": _messages, "responses": _responses}[format]
    body = {"model": model, **made(text, asked.tools)}
    if stream:
        body["stream"] = True
    return msgspec.json.encode(body)


def _arguments(asked: Asked, draw: random.Random) -> str:
    return json.dumps({"mark": asked.mark, "words": draw.choices(_WORDS, k=draw.randint(0, 12))})


def _schema() -> dict[str, object]:
    words = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "properties": {"mark": {"type": "string"}, "words": words}}


def _chat(text: str, tools: bool) -> dict[str, object]:
    messages = [
        {"role": "system", "content": "You answer a bank's customers."},
        {"role": "user", "content": text},
    ]
    functions = [{"name": f"tool_{place}", "parameters": _schema()} for place in range(3)]
    listed = [{"type": "function", "function": function} for function in functions]
    return {"messages": messages} | ({"tools": listed} if tools else {})


def _messages(text: str, tools: bool) -> dict[str, object]:
    listed = [{"name": f"tool_{place}", "input_schema": _schema()} for place in range(3)]
    return {
        "max_tokens": 1_000,
        "system": "You answer a bank's customers.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
    } | ({"tools": listed} if tools else {})


def _responses(text: str, tools: bool) -> dict[str, object]:
    listed = [
        {"type": "function", "name": f"tool_{place}", "parameters": _schema(), "strict": False}
        for place in range(3)
    ]
    asked = {"instructions": "You answer a bank's customers.", "input": text}
    return asked | ({"tools": listed} if tools else {})
