"""Context chaining: an input over the model's window is read in parts.

``Mapped`` takes notes of every part by itself, and answers from the notes; ``Folded`` carries its
notes from part to part. (As "map-reduce" and "refine" chains do; Wu et al. 2021 for summaries.) The
material is the longest message; what stands at both ends of it, where the question usually is, is
told with every part.
"""

import asyncio
import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Answerer, Deliberation, Request, Usage
from shoal.errors import MalformedRequest, ShoalError
from shoal.reasoning.asking import freely, limit_of
from shoal.reasoning.sampling import Candidate, concluded, in_vain, samples_of, together

_BYTES_A_TOKEN = 3  # few, so that a part surely fits
_ENDS = 600  # characters of the material's beginning and end that go with every part
_NOTES = 512  # tokens of notes on one part
_NOTHING = "NOTHING"
MOST_PARTS = 200
_OVERHEAD = 2 * _ENDS + 2 * _NOTES + 200  # tokens of ends, notes and words around a part
_LEAST_ROOM = 64
_BREAKS = tuple(re.compile(one) for one in (r"\n\s*\n", r"\n", r"(?<=[.!?])\s+", r"\s+"))


class Material(Struct, frozen=True):
    """A request whose message ``at`` is read in ``parts`` of ``room`` tokens at most."""

    request: Request
    at: int
    parts: tuple[str, ...]
    room: int

    @classmethod
    def of(cls, request: Request, tokens: int, most: int = MOST_PARTS) -> "Material":
        """What is read in parts, ``most`` of them, so that each fits into ``tokens`` with all the
        rest.

        Raises:
            MalformedRequest: the rest leaves no room, or there would be too many parts.
        """
        sizes = [_tokens(message.text) for message in request.messages]
        at = max(range(len(sizes)), key=lambda place: sizes[place])
        rest = sum(sizes) - sizes[at] + _tokens(request.tools + request.response_format)
        room = tokens - rest - (limit_of(request) or _NOTES)
        if sizes[at] <= room:
            return cls(request, at, (request.messages[at].text,), room)
        room -= _OVERHEAD
        if room < _LEAST_ROOM:
            raise MalformedRequest(
                f"messages: all but the longest leave {max(room, 0)} of {tokens:,} tokens to read "
                f"that in parts, at least {_LEAST_ROOM} are needed",
                "messages",
            )
        whole = request.messages[at].text
        parts = parts_of(whole, room) if sizes[at] <= most * room else ()
        if not 1 <= len(parts) <= most:
            raise MalformedRequest(
                f"messages[{at}]: would be read in more than {most} parts",
                "messages",
            )
        return cls(request, at, parts, room)

    def asked(self, at: int, notes: str = "") -> Request:
        """What is asked of a part; ``notes`` are of those before."""
        known = f"Notes on the parts before:\n<notes>\n{notes}\n</notes>\n\n" if notes else ""
        words = (
            f"{self._ends()}This is part {at + 1} of {len(self.parts)} of that text:\n<part>\n"
            f"{self.parts[at]}\n</part>\n\n{known}Do not answer yet. Note in a few sentences all "
            f"that is needed from it{' and from the notes' if notes else ''} to do what is asked; "
            f"if there is nothing, write {_NOTHING}."
        )
        return freely(self._with(words), _NOTES)

    def told(self, notes: str) -> Request:
        """What is asked at the end, in the form that the caller wants."""
        words = (
            f"{self._ends()}These notes were taken of all of it:\n<notes>\n{notes}\n</notes>\n\n"
            "Do now what is asked, from the notes."
        )
        return self._with(words)

    def _ends(self) -> str:
        text = self.request.messages[self.at].text
        return (
            "A text that is too long to be shown whole begins and ends like this:\n<text>\n"
            f"{text[:_ENDS]}\n[…]\n{text[-_ENDS:]}\n</text>\n\n"
        )

    def _with(self, words: str) -> Request:
        messages = list(self.request.messages)
        messages[self.at] = replace(messages[self.at], text=words, parts="")
        return replace(self.request, messages=tuple(messages), body=b"")


def most_chained(one: Usage, window: int | None) -> Usage:
    """The most tokens that reading in parts may take, where asked whole it took ``one``."""
    if window is None or one.input_tokens + one.output_tokens <= window:
        return one
    room = max(window - one.output_tokens - _OVERHEAD, _LEAST_ROOM)
    parts = min(MOST_PARTS, -(-2 * one.input_tokens // room))  # each is half full at least
    calls = 2 * parts + 1  # notes may be read in parts again
    read, written = min(window, one.input_tokens + _OVERHEAD), one.output_tokens + calls * _NOTES
    return Usage(calls * read, written, estimated=True)


def parts_of(text: str, tokens: int) -> tuple[str, ...]:
    """A text in parts of so many tokens at most, cut between paragraphs where that goes, else
    between lines, sentences or words.

    >>> parts_of("One two three. Four five six.", 6)
    ('One two three.', 'Four five six.')
    """
    most = max(1, tokens * _BYTES_A_TOKEN)
    parts: list[str] = []
    left = text.strip()
    while len(left) > most or _bytes(left) > most:
        head = left[:most].encode(errors="replace")[:most].decode(errors="ignore") or left[:1]
        cut = next((end for one in _BREAKS if (end := _last(one, head))), len(head))
        parts.append(left[:cut].strip())
        left = left[cut:].strip()
    return tuple(filter(None, (*parts, left))) or ("",)


def _last(pattern: re.Pattern[str], head: str) -> int:
    """Where the last break in the second half of a text ends; 0 if there is none."""
    ends = [found.end() for found in pattern.finditer(head)]
    return ends[-1] if ends and ends[-1] > len(head) // 2 else 0


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _tokens(text: str) -> int:
    return -(-_bytes(text) // _BYTES_A_TOKEN)


class _Chained:
    """What both have in common: ``tokens`` of the window that one call may fill."""

    kind = ""

    def __init__(self, inner: Answerer, tokens: int, most_parts: int = MOST_PARTS) -> None:
        self._inner, self._tokens, self._most_parts = inner, tokens, most_parts

    @property
    def name(self) -> str:
        """The answerer's, with the strategy behind it."""
        return f"{self._inner.name}+{self.kind}:{self._tokens}"

    async def answer(self, request: Request) -> Answer:
        """The answer; a request that fits is asked as it is.

        Raises:
            MalformedRequest: what is asked beside the material does not fit.
            ShoalError: a part could not be read, or the answer not be given.
        """
        # In a thread: some megabytes of text take long to cut.
        material = await asyncio.to_thread(Material.of, request, self._tokens, self._most_parts)
        if len(material.parts) == 1:
            answer = await self._inner.answer(request)
            return self._concluded(answer, [answer], "it fits into one call")
        turns: list[Candidate] = []
        notes = await self._notes(material, turns)
        asked = material.told("\n\n".join(notes) or "(no part says anything about it)")
        answer = await self._turn(asked, turns)
        return self._concluded(answer, turns, f"read in {len(material.parts)} parts")

    async def _notes(self, material: "Material", turns: list[Candidate]) -> list[str]:
        raise NotImplementedError

    async def _turn(self, request: Request, turns: list[Candidate]) -> Answer:
        (found,) = await together([self._inner.answer(request)])
        turns.append(found)
        if isinstance(found, ShoalError):
            found.tried = tuple(one for each in turns for one in samples_of(each, self._inner.name))
            raise found
        return found

    def _concluded(self, answer: Answer, turns: Sequence[Candidate], stopped: str) -> Answer:
        samples = tuple(one for each in turns for one in samples_of(each, self._inner.name))
        told = Deliberation(f"{self.kind}:{self._tokens}", 1, samples, stopped=stopped)
        return concluded(answer, told)


class Mapped(_Chained):
    """Notes of each part, taken at the same time; notes that are too long are read in parts again.
    A part that cannot be read fails the whole: an answer without it might be another."""

    kind = "map"

    async def _notes(self, material: "Material", turns: list[Candidate]) -> list[str]:
        found = await together(
            [self._inner.answer(material.asked(at)) for at in range(len(material.parts))]
        )
        turns += found
        if any(isinstance(one, ShoalError) for one in found):
            raise in_vain(found, self._inner.name)
        notes = [one.text.strip() for one in found if isinstance(one, Answer)]
        kept = [one for one in notes if one and one.strip(" .").upper() != _NOTHING]
        whole = "\n\n".join(kept)
        if _tokens(whole) <= material.room or len(kept) < 2:
            return kept
        again = replace(material, parts=parts_of(whole, material.room))
        if len(again.parts) >= len(material.parts):  # they do not get any shorter
            return [whole[: material.room * _BYTES_A_TOKEN]]
        return await self._notes(again, turns)


class Folded(_Chained):
    """Notes that each part in its turn may change."""

    kind = "fold"

    async def _notes(self, material: "Material", turns: list[Candidate]) -> list[str]:
        notes = ""
        for at in range(len(material.parts)):
            notes = (await self._turn(material.asked(at, notes), turns)).text.strip()
        return [notes]
