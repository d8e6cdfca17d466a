"""Which call goes on from which: episodes, linked without a word from the caller.

A call goes on from another of the same key if its messages begin with all of that call's and its
answer, or if it names the response that was that answer. What is compared is a digest of the
messages, as far as a framework hands them back as they came: of an answer its text and its calls,
whatever their blanks; of any other message everything that a model reads. Of very long texts, both
ends and samples between them are looked at. Of a long conversation the first messages and the last
are read so; of those between, what is short, the ids of calls, and how long the rest is.

What this module does not know: other processes, and calls before it was started. Two conversations
of one key that are equal to the last character cannot be told apart: they are continued in the
order in which they were answered.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.routing.tool_loops import in_tool_loop

_WHOLE = 8_192  # characters of a text that are all looked at
_FIRST, _LAST = 4, 8  # messages of a conversation that are read; those between are passed over
_SHORT = 256  # characters of a text that is read in passing: to read all takes as long as the rest
_SAMPLES, _SAMPLE = 15, 256
_ALIKE = 8  # conversations equal to the last character that are kept apart
_EARLIER = 4  # answers further back that are looked for, if the last is nobody's


class Strand(Struct, frozen=True):
    """An answer that a call may go on from: of which ``episode``, by whom (a model's name, "" if
    none was asked), after how many calls of a tool loop, its own included, and its tokens."""

    episode: str
    answered_by: str = ""
    steps: int = 0
    usage: Usage | None = None


class Found(NamedTuple):
    """Which episode a call is of, "" if it begins one; what it goes on from, None if nothing; the
    digest of its messages, and that of those up to the last answer, 0 if there is none."""

    episode: str
    strand: Strand | None
    digest: int
    answered: int


class _Known:
    """What may be gone on from under one digest: the first that nobody has yet, else the last."""

    __slots__ = ("at", "strands", "taken")

    def __init__(self) -> None:
        self.strands: list[Strand] = []
        self.taken = 0
        self.at = 0.0

    def add(self, strand: Strand) -> None:
        self.strands.append(strand)
        if len(self.strands) > _ALIKE:
            self.strands.pop(0)
            self.taken = max(0, self.taken - 1)

    def last(self) -> Strand:
        return self.strands[max(0, self.taken - 1)]

    def next(self) -> Strand:
        at = min(self.taken, len(self.strands) - 1)
        self.taken = min(self.taken + 1, len(self.strands))
        return self.strands[at]


class Episodes:
    """The episodes under way in one process; for one event loop. Forgets what nobody has gone on
    from for ``seconds``, and the oldest where there are more than ``most``."""

    def __init__(
        self,
        most: int = 20_000,
        seconds: float = 3_600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(
        self, request: Request, key: str, named: str = "", previous: str = "", again: bool = False
    ) -> Found:
        """Which episode a call of the caller's ``key`` is of: that which it has ``named``, else
        that of the answer it goes on from, the response ``previous`` or one among its messages.
        ``again``: it is a call that was looked for before."""
        reading = _Reading(request.messages)
        answers = list(islice(reading.answers(), 1))
        earlier = islice(reading.answers(), 1, _EARLIER)  # not read unless the last is nobody's
        names: Iterable[Hashable] = chain([previous] if previous else [], answers, earlier)
        found = (self._look_up((key, name), again) for name in names)
        strand = next((one for one in found if one is not None), None)
        episode = named or (strand.episode if strand else "")
        return Found(episode, strand, reading.digest(), answers[0] if answers else 0)

    def answered(
        self, found: Found, request: Request, answer: Answer, key: str, by: str, ids: Iterable[str]
    ) -> None:
        """An answer to a call of ``found.episode`` was given by the model ``by`` ("" for none);
        ``ids`` are what callers may name it by."""
        before = found.strand if in_tool_loop(request.messages) else None
        steps = (before.steps if before else 0) + 1
        if by or before is None:
            strand = Strand(found.episode, by, steps, answer.usage)
        else:  # what holds the loop holds it still
            strand = replace(before, episode=found.episode, steps=steps)
        for name in (_with_answer(found.digest, answer.text, answer.tool_calls), *ids):
            self._put((key, name), strand)

    def _look_up(self, name: Hashable, again: bool) -> Strand | None:
        known = self._known.get(name)
        if known is None:
            return None
        if self._clock() - known.at >= self._seconds:
            del self._known[name]
            return None
        return known.last() if again else known.next()

    def _put(self, name: Hashable, strand: Strand) -> None:
        known = self._known.setdefault(name, _Known())
        known.add(strand)
        known.at = self._clock()
        self._known.move_to_end(name)
        while len(self._known) > self._most or self._is_old(next(iter(self._known.values()))):
            self._known.popitem(last=False)

    def _is_old(self, known: _Known) -> bool:
        return self._clock() - known.at >= self._seconds


class _Reading:
    """The messages of one call; digests of them all, and of those up to each answer."""

    __slots__ = ("_first", "_last", "_messages", "_passed")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._passed = _in_passing(messages[_FIRST:-_LAST])
        self._first = [_said(message) for message in messages[:_FIRST]]
        self._last: dict[int, int] = {}

    def digest(self) -> int:
        """Of all messages."""
        return self._up_to(len(self._messages))

    def answers(self) -> Iterator[int]:
        """Of the messages up to each answer among them, that included, the last first."""
        for at in range(len(self._messages) - 1, -1, -1):
            message = self._messages[at]
            if message.role == "assistant":
                yield _with_answer(self._up_to(at), message.text, message.tool_calls)

    def _up_to(self, end: int) -> int:
        """Of the first ``end`` messages: the same, whatever follows them."""
        last = max(_FIRST, end - _LAST)
        known, messages = self._last, self._messages
        read = [
            known[at] if at in known else known.setdefault(at, _said(messages[at]))
            for at in range(last, end)
        ]
        return hash((*self._first[:end], *self._passed[: last - _FIRST], *read))


def _said(message: Message) -> int:
    """The digest of a message that is read."""
    if message.role == "assistant":
        return _with_answer(0, message.text, message.tool_calls)
    return hash((message.role, message.tool_call_id, _looked_at(message.parts or message.text)))


def _in_passing(messages: Sequence[Message]) -> list[Hashable]:
    """What counts of messages far from both ends of a conversation, one item for each. One loop
    that makes as little as it can: there may be hundreds."""
    counts: list[Hashable] = []
    for message in messages:
        if message.tool_calls:
            counts.append(tuple([call.id for call in message.tool_calls]))
            continue
        text = (
            message.text.strip() if message.role == "assistant" else message.parts or message.text
        )
        said = text if len(text) <= _SHORT else len(text)
        counts.append((message.tool_call_id, said) if message.tool_call_id else said)
    return counts


def _with_answer(digest: int, text: str, calls: Sequence[ToolCall]) -> int:
    """Frameworks write an answer's blanks, and the arguments of its calls, in their own way."""
    made = tuple([(call.id, call.name, _bare(call.arguments)) for call in calls]) if calls else ()
    return hash((digest, _looked_at(text.strip()), made))


def _bare(text: str) -> str:
    return _looked_at(text).replace(" ", "").replace("\n", "")


def _looked_at(text: str) -> str:
    if len(text) <= _WHOLE:
        return text
    step = (len(text) - _SAMPLE) // _SAMPLES
    samples = [text[at : at + _SAMPLE] for at in range(0, len(text) - _SAMPLE, step)]
    return f"{len(text)} {' '.join(samples)} {text[-_SAMPLE:]}"
