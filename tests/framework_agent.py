"""Agents as ordinary frameworks run them, and the model that answers them: made up, with a rule
behind every answer.

A run goes from node to node, as in LangGraph: an ``agent`` with tools, after each result a
``router`` that reads the conversation and says CONTINUE or FINISH, and at the end a ``summary`` of
the results. Each node has a system prompt of its own. As in OpenAI's Agents SDK, there is but the
agent, which ends a run by saying something: a sentence, or fixed words for a program to read.
"""

import json
import random
import re
import zlib
from collections.abc import Generator, Iterator
from typing import NamedTuple

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.engines import WrittenStream

AGENT = (
    "You are the parcel agent of an online shop. Find out with your tools what became of the "
    "customer's order. Call one tool at a time. Once you know, say what you found."
)
ROUTER = (
    "You supervise a parcel agent. Read the conversation between a customer, the agent and its "
    "tools, and decide whether the agent has to go on working. Answer with CONTINUE or FINISH, and "
    "nothing else."
)
ASKED = "Given the conversation above, is there more to do? Answer CONTINUE or FINISH."
SUMMARY = (
    "You condense what a parcel agent found out, for the customer. Write one short sentence, and "
    "leave out internal ids."
)
NOTES = "Condense these results for the customer.\n\nResults:\n"
CLOSING = "HANDED OVER"
_HELLOS = ("", "Hello, ", "hi there - ", "Good morning! ", "ok so ", "Quick question: ", "Hey. ")
_TROUBLES = (
    "where is my order {order}?",
    "order {order} has still not arrived",
    "I have been waiting for {order} since {day}",
    "my parcel (number {order}) seems to be lost",
    "can you check {order} for me",
    "it says {order} was due on {day}, but nothing came to {town}",
    "nobody rang the bell on {day}, so what about {order}?",
    "{order}, any news",
    "the shop in {town} told me to ask you about {order}",
)
_ENDS = (
    "",
    ".",
    "!!",
    " Thanks",
    ". It is a present for my son",
    ", please",
    ". I need it in {town}",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_TOWNS = ("Graz", "Linz", "Wels", "Steyr", "Villach", "Bregenz", "Krems", "Enns", "Hallein")
_OPEN = ("handed to the carrier", "on its way", "in transit", "left the warehouse")
_FINAL = ("delivered to the door", "lost by the carrier", "returned to the sender", "refunded")


_WORDS = (
    ("Your order was {status}.", "That was on {since}, in {place}."),
    ("Since {since} it has been {status};", "the last word is from {place}."),
    ("I looked it up for you:", "{status}, {place}, {since}."),
    ("The carrier tells us from {place}", "that it was {status} on {since}."),
    ("Thank you for waiting.", "In {place} it was {status}, says the file of {since}."),
    ("Good that you ask, for on {since}", "your parcel was {status} ({place})."),
)


def _tool(name: str, about: str) -> dict[str, object]:
    order = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
    function = {"name": name, "description": about, "parameters": order}
    return {"type": "function", "function": function}


TOOLS = json.dumps(
    [
        _tool("look_up_order", "The order as the shop knows it."),
        _tool("track_parcel", "Where the carrier has the parcel of an order."),
    ]
)


class Case(NamedTuple):
    """What a customer asks, and what the tools will find."""

    opening: str
    order: str
    results: tuple[str, ...]


class Step(NamedTuple):
    """A call of a run, and of which node."""

    node: str
    request: Request
    answer: Answer


def cases(count: int, seed: int = 0) -> list[Case]:
    """So many different customers."""
    chance = random.Random(seed)
    return [_case(chance, number) for number in range(count)]


def _case(chance: random.Random, number: int) -> Case:
    order = f"{chance.choice('ABCDEFGH')}{number:05d}"
    day, town = chance.choice(_DAYS), chance.choice(_TOWNS)
    said = "".join(map(chance.choice, (_HELLOS, _TROUBLES, _ENDS)))
    opening = said.format(order=order, day=day, town=town)

    def found(status: str) -> str:
        told = {"order": order, "status": status, "place": town, "since": day}
        return json.dumps(told)

    if chance.random() < 0.4:  # the shop knows it all
        return Case(opening, order, (found(chance.choice(_FINAL)),))
    return Case(opening, order, (found(chance.choice(_OPEN)), found(chance.choice(_FINAL))))


Played = Generator[tuple[str, Request], Answer, None]
"""A run: gives out a node and its request, and is sent the answer."""


def graph(case: Case, model: str = "gpt") -> Played:
    """As LangGraph runs it: agent, tool, router, agent ..., and a summary at the end."""
    history, results = [Message("user", case.opening)], iter(case.results)
    while True:
        answer = yield "agent", Request(model, (Message("system", AGENT), *history), tools=TOOLS)
        history.append(Message("assistant", answer.text, tool_calls=answer.tool_calls))
        if not answer.tool_calls:
            return
        call = answer.tool_calls[0]
        history.append(Message("tool", next(results, "{}"), tool_call_id=call.id))
        asked = (Message("system", ROUTER), *history, Message("system", ASKED))
        word = yield "router", Request(model, asked)
        if word.text != "CONTINUE":
            break
    found = "\n".join(message.text for message in history if message.role == "tool")
    noted = Message("user", NOTES + found)
    yield "summary", Request(model, (Message("system", SUMMARY), noted))


def loop(case: Case, model: str = "gpt") -> Played:
    """As OpenAI's Agents SDK runs it: the agent and its tools, until it says something."""
    history, results = [Message("user", case.opening)], iter(case.results)
    while True:
        answer = yield "agent", Request(model, (Message("system", AGENT), *history), tools=TOOLS)
        history.append(Message("assistant", answer.text, tool_calls=answer.tool_calls))
        if not answer.tool_calls:
            return
        call = answer.tool_calls[0]
        history.append(Message("tool", next(results, "{}"), tool_call_id=call.id))


def steps(played: Played, llm: "ParcelModel") -> Iterator[Step]:
    """The calls of a run that the model answers all by itself."""
    node, request = next(played)
    while True:
        answer = llm.said(request)
        yield Step(node, request, answer)
        try:
            node, request = played.send(answer)
        except StopIteration:
            return


class ParcelModel:
    """The LLM of these agents. ``closing`` is what the agent ends with, "" for a sentence of its
    own."""

    def __init__(self, closing: str = "", name: str = "gpt") -> None:
        self.name, self.closing = name, closing
        self.asked: list[Request] = []
        self._made = 0

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.said(request)

    async def stream(self, request: Request) -> WrittenStream:
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None: ...

    def said(self, request: Request) -> Answer:
        """The answer to a request of any node."""
        system, last = request.messages[0].text, _last_result(request)
        status = str(last.get("status", ""))
        if system == ROUTER:
            return self._talk("FINISH" if status in _FINAL else "CONTINUE")
        if system == SUMMARY or status in _FINAL:
            told = self.closing if system == AGENT else ""
            return self._talk(told or _told(last))
        self._made += 1
        name = "track_parcel" if status else "look_up_order"
        order = re.search(r"[A-H]\d{5}", " ".join(m.text for m in request.messages[1:]))
        assert order is not None
        call = ToolCall(f"call_{self._made}", name, json.dumps({"order": order[0]}))
        return Answer("", (call,), "tool_calls", model=self.name, usage=Usage(300, 20))

    def _talk(self, text: str) -> Answer:
        return Answer(text, finish_reason="stop", model=self.name, usage=Usage(300, 5))


def _told(result: dict[str, object]) -> str:
    """A result in words, as an LLM finds them."""
    begin, end = _WORDS[zlib.crc32(json.dumps(result).encode()) % len(_WORDS)]
    return f"{begin.format(**result)} {end.format(**result)}"


def _last_result(request: Request) -> dict[str, object]:
    """What the last result says, {} before there is one."""
    texts = [m.text.rpartition("\n")[2] for m in request.messages if m.role in ("tool", "user")]
    found = next((text for text in reversed(texts) if text.startswith("{")), "{}")
    read: dict[str, object] = json.loads(found)
    return read
