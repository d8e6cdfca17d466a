"""What every tagger of spans is: a text and its tokens in, the values that it states out.

A value is a run of words with one key. A key has one value, or several if it is among ``several``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from shoal.specialists.senses import Tokens

Run = tuple[str, int, int]
"""A key and the (start, end) characters of one of its values."""

Places = Mapping[str, tuple[tuple[int, int], ...]]
"""For each key with a value the (start, end) characters of its values, in order."""


class Span(Struct, frozen=True):
    """The values found for a key, none if the text states none, and how clearly.

    Margins order the findings of one key by one tagger; their unit is the tagger's own.
    """

    values: tuple[str, ...]
    margin: float

    @property
    def value(self) -> str | None:
        """The only value; None if there is none."""
        return self.values[0] if self.values else None


class Evidence(NamedTuple):
    """What speaks for a word's part in a key's value: its score there over that of no value."""

    key: str
    word: str
    weight: float


class Tagger(Protocol):
    """Finds the values of ``keys`` in a text. Threads may share it."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What it finds values for."""

    def find(self, text: str, tokens: Tokens) -> dict[str, Span]:
        """The span of each key in one text."""

    def runs(self, text: str, tokens: Tokens) -> list[Run]:
        """All runs on the best path, in order, several of a key too."""

    def evidence(self, text: str, tokens: Tokens) -> list[Evidence]:
        """Each word of each run, in order."""

    def arrays(self) -> dict[str, Any]:
        """All numbers, by name, for a safetensors file."""


class TaggerFit(NamedTuple):
    """A tagger, and for each example its spans by a tagger that had not seen it."""

    tagger: Tagger
    left_out: list[dict[str, Span]]
