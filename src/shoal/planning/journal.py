"""What a run writes down as it goes, and what it knows of itself when it goes on after a kill."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol

from msgspec import Struct

from shoal.tools.tool import Json

WRITTEN = "output_tokens"
"""Where in a body stands how many of the tokens that something took were written by models."""

Kind = Literal["started", "finished", "failed", "waiting"]
"""A call that may change something begins; a step has its result, or none (``handled``: something
stands in its place); a person is waited for."""


class Entry(Struct, frozen=True):
    """One thing that happened at ``step``: the place of one execution, as ``each[3].price``. What
    it cost in USD and tokens stands beside it."""

    kind: Kind
    step: str
    body: Mapping[str, Json] = MappingProxyType({})
    cost: float = 0.0
    tokens: int = 0


class Journal(Protocol):
    """Keeps entries in their order."""

    @property
    def presses(self) -> bool:
        """Whether so much waits to be kept that no step should begin before that is."""

    def note(self, entry: Entry) -> None:
        """Keep it soon.

        Raises:
            ShoalError: it cannot be kept, or the run is another process's by now.
        """

    async def kept(self) -> None:
        """Return when all that was noted is safe.

        Raises:
            ShoalError: it cannot be kept, or the run is another process's by now.
        """


class Decision(Struct, frozen=True):
    """What a person said to a question."""

    approved: bool
    by: str = ""
    note: str = ""


class Failure(Struct, frozen=True):
    """Why a step has no result, and what to do about it."""

    message: str
    hint: str = ""


class Past(Struct, frozen=True):
    """What a run did before: results and dealt-with failures by place, places that began what may
    change something and did not end it, the questions asked (``question`` and what to ``show``)
    and the words on them. ``steps`` that came to
    an end, ``seconds`` it has run, ``usd`` and ``tokens`` it has taken,
    ``output_tokens`` of these written."""

    finished: Mapping[str, Json] = MappingProxyType({})
    failed: Mapping[str, Failure] = MappingProxyType({})
    begun: frozenset[str] = frozenset()
    asked: Mapping[str, Mapping[str, Json]] = MappingProxyType({})
    decisions: Mapping[str, Decision] = MappingProxyType({})
    steps: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    tokens: int = 0
    output_tokens: int = 0

    @property
    def open(self) -> frozenset[str]:
        """The questions that nobody has answered."""
        return frozenset(self.asked.keys() - self.decisions.keys())


class MemoryJournal:
    """Keeps entries in a list, for runs that need not survive."""

    presses = False

    def __init__(self) -> None:
        self.entries = list[Entry]()

    def note(self, entry: Entry) -> None:
        """Keep it."""
        self.entries.append(entry)

    async def kept(self) -> None:
        """It is."""


class NoJournal:
    """Keeps nothing."""

    presses = False

    def note(self, entry: Entry) -> None:
        """Forget it."""

    async def kept(self) -> None:
        """Return at once."""


def past_of(entries: list[Entry], decisions: Mapping[str, Decision] | None = None) -> Past:
    """What entries tell. Of a place that began several times the last word holds."""
    finished, failed = dict[str, Json](), dict[str, Failure]()
    begun, asked = set[str](), dict[str, Mapping[str, Json]]()
    for one in entries:
        match one.kind:
            case "started":
                begun.add(one.step)
            case "finished":
                finished[one.step] = one.body.get("value")
            case "failed":
                if one.body.get("handled"):
                    told = (str(one.body.get(key, "")) for key in ("error", "hint"))
                    failed[one.step] = Failure(*told)
            case "waiting":
                asked[one.step] = one.body
        if one.kind in ("finished", "failed"):
            begun.discard(one.step)
    return Past(
        finished,
        failed,
        frozenset(begun),
        asked,
        decisions or {},
        steps=len(finished),
        usd=sum(one.cost for one in entries),
        tokens=sum(one.tokens for one in entries),
        output_tokens=sum(written_in(one.body) for one in entries),
    )


def written_in(body: Mapping[str, Any]) -> int:
    """The tokens that models wrote, as the body of an entry tells; 0 if it tells of none."""
    told = body.get(WRITTEN, 0)
    return told if isinstance(told, int) else 0
