"""Which call goes on from which: episodes, linked without a word from the caller.

A call goes on from another of the same key if its messages begin with all of that call's and its
answer, or if it names the response that was that answer. What is compared is a digest of the
messages, as far as a framework hands them back as they came: of an answer its text and its calls,
whatever their blanks; of any other message everything that a model reads. Of very long texts, both
ends and samples between them are looked at.

What this module does not know: other processes, and calls before it was started. Two conversations
of one key that are equal to the last character cannot be told apart: they are continued in the
order in which they were answered.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.routing.tool_loops import in_tool_loop

_WHOLE = 8_192  # characters of a text that are all looked at
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
        digest, answered = _read(request.messages)
        names: list[Hashable] = [*([previous] if previous else []), *answered[:_EARLIER]]
        found = (self._look_up((key, name), again) for name in names)
        strand = next((one for one in found if one is not None), None)
        episode = named or (strand.episode if strand else "")
        return Found(episode, strand, digest, answered[0] if answered else 0)

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


def _read(messages: Sequence[Message]) -> tuple[int, list[int]]:
    """The digest of all messages, and of those up to each answer among them, the last first."""
    digest, answered = 0, []
    for message in messages:
        if message.role == "assistant":
            digest = _with_answer(digest, message.text, message.tool_calls)
            answered.append(digest)
        else:
            said = _looked_at(message.parts or message.text)
            digest = hash((digest, message.role, message.tool_call_id, said))
    answered.reverse()
    return digest, answered


def _with_answer(digest: int, text: str, calls: Sequence[ToolCall]) -> int:
    """Frameworks write an answer's blanks, and the arguments of its calls, in their own way."""
    made = tuple((call.id, call.name, _bare(call.arguments)) for call in calls)
    return hash((digest, _looked_at(text.strip()), made))


def _bare(text: str) -> str:
    return _looked_at(text).replace(" ", "").replace("\n", "")


def _looked_at(text: str) -> str:
    if len(text) <= _WHOLE:
        return text
    step = (len(text) - _SAMPLE) // _SAMPLES
    samples = [text[at : at + _SAMPLE] for at in range(0, len(text) - _SAMPLE, step)]
    return f"{len(text)} {' '.join(samples)} {text[-_SAMPLE:]}"
