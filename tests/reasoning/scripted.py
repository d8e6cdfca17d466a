"""Answerers whose words a test writes beforehand."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.errors import EngineError

Word = str | Answer | EngineError


def asked(text: str = "How many?", params: str = "{}", **more: Any) -> Request:
    return replace(Request("small", (Message("user", text),), params=params), **more)


def calls(name: str, arguments: str, text: str = "") -> Answer:
    return Answer(text, (ToolCall("c-1", name, arguments),), finish_reason="tool_calls")


class Scripted:
    """Says one word after the other, the last again and again; keeps what it was asked."""

    def __init__(self, *words: Word, name: str = "small", usage: Usage | None = None) -> None:
        self.name, self._words = name, list(words)
        self.asked: list[Request] = []
        self._usage = usage or Usage(10, 2)
        self.at_once = self.most_at_once = 0
        self.cancelled = 0
        self.hold: asyncio.Event | None = None
        self.several = asyncio.Event()  # four are being asked

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        word = self._words[min(len(self.asked), len(self._words)) - 1]
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once == 4:
            self.several.set()
        try:
            await (self.hold.wait() if self.hold else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        if isinstance(word, EngineError):
            raise word
        if isinstance(word, Answer):
            return word
        return Answer(word, model=self.name, usage=self._usage)


class Finds:
    """A checker by a function of the text."""

    name = "it fits"

    def __init__(self, complaint: Callable[[str], str]) -> None:
        self._complaint = complaint

    def complaint(self, request: Request, answer: Answer) -> str:
        return self._complaint(answer.text)


class Longest:
    """A scorer that likes long answers."""

    name = "length"

    def scores(self, request: Request, answers: Sequence[Answer]) -> Sequence[float]:
        return [float(len(answer.text)) for answer in answers]


def is_(wanted: str) -> Finds:
    return Finds(lambda text: "" if text == wanted else f"it is not {wanted}")
