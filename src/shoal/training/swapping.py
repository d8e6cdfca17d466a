"""More examples from those there are: values that outputs copy, put in each other's place.

Data recombination (Jia & Liang 2016), its rule of abstracting entities: "rivers in texas" and
"cities in ohio" give "rivers in ohio". Which values may stand for each other is told by what stands
before them in the outputs, so no list of kinds is needed.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from shoal.specialists.writing.pieces import Source
from shoal.specialists.writing.vocabulary import Unit
from shoal.training.writing import Example

_CONTEXT = 12  # signs before a value, digits aside, that tell what it is

Below = Callable[[int], int]
"""A random whole number from 0 to below the given one."""


class _Value(NamedTuple):
    """A value as an input has it, and the units in which an output copies it."""

    said: str
    units: tuple[Unit, ...]

    @property
    def written(self) -> str:
        return "".join(unit.text for unit in self.units)


class _Place(NamedTuple):
    """The units from ``first`` to before ``after`` copy ``value``; ``kind`` is what stands
    before them."""

    first: int
    after: int
    kind: str
    value: _Value


class Swapper:
    """Knows the values of ``examples`` (n,)."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._places = [_places(example) for example in examples]
        found: dict[str, dict[str, _Value]] = defaultdict(dict)
        for places in self._places:
            for place in places:
                found[place.kind].setdefault(place.value.said, place.value)
        self._known = {kind: list(values.values()) for kind, values in found.items()}

    def swapped(self, row: int, example: Example, below: Below) -> Example:
        """Example ``row`` with one of its values replaced; the same if that cannot be done."""
        places = self._places[row]
        if not places:
            return example
        old = places[below(len(places))].value
        same = [place for place in places if place.value.written == old.written]
        fitting = self._known[same[0].kind]
        for place in same[1:]:
            said = {value.said for value in self._known[place.kind]}
            fitting = [value for value in fitting if value.said in said] or fitting
        new = fitting[below(len(fitting))]
        text, count = _pattern(old.said).subn(lambda _: new.said, example.source.text)
        if new.said == old.said or not count:
            return example
        units, at = list[Unit](), 0
        for place in same:
            units += example.units[at : place.first]
            units += new.units
            at = place.after
        source = Source(text)
        units += example.units[at:]
        if all(unit.id >= 0 or unit.text in source.places for unit in units):
            return Example(source, units)
        return example


def _places(example: Example) -> list[_Place]:
    """The longest runs of units that can only be copied, and stand in the input in a row."""
    source, units, found, at = example.source, example.units, list[_Place](), 0
    while at < len(units):
        if units[at].id >= 0:
            at += 1
            continue
        after, span = at, _span(source, units[at : at + 1])
        while span is not None:
            after += 1
            if after == len(units) or units[after].id >= 0:
                break
            longer = _span(source, units[at : after + 1])
            if longer is None:
                break
            span = longer
        if span is None:
            at += 1
            continue
        said = source.text[span[0] : span[1]]
        found.append(_Place(at, after, _kind(units[:at]), _Value(said, tuple(units[at:after]))))
        at = after
    return found


def _span(source: Source, units: Sequence[Unit]) -> tuple[int, int] | None:
    """Where the input has the words of these units in a row; None if nowhere."""
    for word in source.read(units[0].text):
        if word + len(units) > len(source):
            continue
        if all(word + n in source.read(unit.text) for n, unit in enumerate(units)):
            return source.spans[word][0], source.spans[word + len(units) - 1][1]
    return None


def _kind(units: Sequence[Unit]) -> str:
    before = "".join(unit.text if unit.id >= 0 else "\0" for unit in units[-6:])
    return re.sub(r"\d+", "", before)[-_CONTEXT:]


def _pattern(said: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(said)}(?!\w)")
