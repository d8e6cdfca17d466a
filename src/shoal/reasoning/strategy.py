"""Strategies by name: ``vote:10``, ``cot+vote:5``, ``panel:phi,mistral``; and models with one.

A strategy is steps joined by ``+``, each around what stands before it: ``cot+vote:5`` is a vote
over five chains of thought. Behind the name of a model, and one more ``+``, it makes a name by
which that model is asked in that way: ``granite+vote:5``.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from msgspec import Struct

Kind = Literal["cot", "vote", "best", "refine", "think", "wait", "panel", "fuse", "map", "fold"]

_COUNTS = {"vote": 5, "best": 5, "refine": 2, "think": 1_024, "wait": 1}
"""Steps that take a number, and the one that is meant where none is named."""
_TOKENS = ("map", "fold")  # that may take a number
_MODELS = ("panel", "fuse")
_LARGEST = {"think": 1_000_000, "map": 10_000_000, "fold": 10_000_000}
_MOST = 10_000
_MOST_STEPS = 4


class Step(Struct, frozen=True):
    """One step: its ``count`` (0 for none), and the other ``models`` that it asks."""

    kind: Kind
    count: int = 0
    models: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = ",".join(self.models) or (str(self.count) if self.count else "")
        return f"{self.kind}:{told}" if told else self.kind


class Strategy(Struct, frozen=True):
    """Steps, the innermost first."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.steps))

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are asked beside the one whose strategy this is."""
        return tuple(name for step in self.steps for name in step.models)

    @property
    def samples(self) -> int:
        """How many candidates may be asked for, one for each that a step looks at."""
        found = 1
        for step in self.steps:
            found *= step.count if step.kind in ("vote", "best") else 1
            found *= 1 + step.count if step.kind in ("refine", "wait") else 1
            found *= 1 + len(step.models)
        return found

    @property
    def chains(self) -> bool:
        """Whether it takes inputs that are over the model's window."""
        return any(step.kind in _TOKENS for step in self.steps)


def parse_strategy(text: str, n: int | None = None, models: Sequence[str] = ()) -> Strategy:
    """The strategy of a name. ``n`` is the last step's count, ``models`` what it asks, where the
    name does not say.

    >>> str(parse_strategy("cot+vote", n=7))
    'cot+vote:7'
    >>> parse_strategy("panel", models=["phi"]).models
    ('phi',)

    Raises:
        ValueError: there is no such strategy; says what there is, or what is wrong.
    """
    parts = text.split("+")
    if len(parts) > _MOST_STEPS:
        raise ValueError(f"{text[:50]!r}: at most {_MOST_STEPS} steps are taken")
    steps = [_step(part, None, ()) for part in parts[:-1]]
    return Strategy((*steps, _step(parts[-1], n, tuple(models))))


def split_name(name: str) -> tuple[str, Strategy] | None:
    """The model and the strategy of a name like ``granite+vote:5``; None if it is not like that.

    >>> split_name("command-r+") is None
    True
    """
    pieces = name.rsplit("+", _MOST_STEPS)  # a strategy has no more, however many the name has
    for at in range(1, len(pieces)):
        model = "+".join(pieces[:at])
        try:
            return (model, parse_strategy("+".join(pieces[at:]))) if model else None
        except ValueError:
            continue
    return None


def _step(text: str, n: int | None, models: tuple[str, ...]) -> Step:
    kind, _, told = text.partition(":")
    if kind not in get_args(Kind):
        raise ValueError(
            f"there is no strategy {kind[:50]!r}; there are: {', '.join(get_args(Kind))}"
        )
    if kind in _MODELS:
        named = tuple(told.split(",")) if told else models
        if not named or not all(named) or n is not None:
            raise ValueError(f"{kind}: expected the names of other models, as {kind}:NAME,NAME")
        return Step(kind, models=named)  # type: ignore[arg-type]
    if models:
        raise ValueError(f"{kind}: asks no other models")
    if kind == "cot":
        if told or n is not None:
            raise ValueError("cot: takes no number")
        return Step("cot")
    count = _count(kind, told, n)
    return Step(kind, count)  # type: ignore[arg-type]


def _count(kind: str, told: str, n: int | None) -> int:
    if told and n is not None:
        raise ValueError(f"{kind}: the number is told twice, {told} and {n}")
    if not told and n is None:
        return _COUNTS.get(kind, 0)
    most = _LARGEST.get(kind, _MOST)
    count = n if n is not None else int(told) if told.isascii() and told.isdecimal() else 0
    if not 1 <= count <= most:
        found = told or n
        raise ValueError(f"{kind}: expected a number from 1 to {most:,}, found {str(found)[:20]}")
    return count
