"""A conversation before a call, and the slots of a call that want a value."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from shoal.chat import Message
from shoal.specialists.calls.candidates import Candidate, Reader
from shoal.specialists.calls.schema import Argument, Tool
from shoal.specialists.calls.values import WORD

FAR = 60
"""Messages back that stand for "never"."""


class Slot(NamedTuple):
    """An argument of a tool that wants a value."""

    tool: Tool
    argument: Argument

    @property
    def key(self) -> str:
        """The slot's name."""
        return f"{self.tool.name}.{self.argument.name}"


class Situation(NamedTuple):
    """A conversation before a call: its messages, what they state, and what was said: role and
    ``spaced`` text, the last first ("" of who is neither a person nor the LLM). In training also
    which conversation it is, and in which fold (None: a new one)."""

    messages: Sequence[Message]
    stated: Mapping[str, Candidate]
    said: Sequence[tuple[str, str]]
    group: Hashable = None
    fold: int | None = None


class Chosen(NamedTuple):
    """An argument of the same call that has its value already."""

    name: str
    candidate: Candidate


def situation_of(messages: Sequence[Message], reader: Reader) -> Situation:
    """A new conversation."""
    said = [
        (message.role, spaced(message.text) if message.role in ("user", "assistant") else "")
        for message in reversed(messages)
    ]
    return Situation(messages, reader.candidates(messages), said)


def spaced(text: str) -> str:
    """The words of a text in lower case, each between spaces: to look for one text in another."""
    return f" {' '.join(WORD.findall(text.lower()))} "
