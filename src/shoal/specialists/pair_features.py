"""A pair of records -> one row of numbers, by what the records of a task have in common.

Attributes that most pairs have on both sides are compared one by one, texts as texts and numbers
as numbers, and the whole records as one text. Rarity and rivals are counted over the records of the
training pairs, without their labels. What is left out together (a pair, or all pairs of a record,
see ``pair_groups``) is a group; a record that occurs in one group alone is not counted for its
pairs, so a training row is what a new pair's row would have been.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.specialists.pairs import Pair, Record
from shoal.specialists.profile import Profile, Rarity, profile_of
from shoal.specialists.rivals import Rivals
from shoal.specialists.text_comparison import Rarities, Sides, compare, weigh

WHOLE = "record"
"""Name of the view of all a record's text."""

_MOST_TEXTS, _MOST_NUMBERS = 3, 3  # attributes compared on their own
_COMMON = 0.5  # share of the pairs that must have an attribute on both sides, maybe empty
_NUMERIC = 0.9  # share of an attribute's values that must be numbers
_KINDS = ("words", "grams", "joined")
_SIDES = ("left", "right")
_LEAD, _BETTER = "lead over {}'s best other candidate", "better candidates for {}"
OF_RIVALS = tuple(
    f": {what.format(side)}" for what in (_LEAD, _BETTER) for side in ("left", "right")
)
"""How the names of the columns end that tell of a record's rivals."""


class Schema(Struct, frozen=True):
    """Names of the attributes that are compared: texts, and numbers."""

    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Schema":
        """What most of the pairs have on both sides."""
        counts: dict[str, int] = defaultdict(int)
        values: dict[str, list[str]] = defaultdict(list)
        for left, right in pairs:
            other = {name for name, _ in right.fields}
            for name, value in left.fields:
                if name and name in other:
                    counts[name] += 1
                    values[name] += [v for v in (value, right.value(name)) if v.strip()]
        common = [name for name, n in counts.items() if n >= _COMMON * len(pairs) and values[name]]
        numbers = [name for name in common if _are_numbers(values[name])]
        texts = [name for name in common if name not in numbers]
        if len(texts) == 1 and all(_named(pair, (*texts, *numbers)) for pair in pairs):
            texts = []  # the whole record says the same
        return cls(tuple(texts[:_MOST_TEXTS]), tuple(numbers[:_MOST_NUMBERS]))

    @property
    def views(self) -> tuple[str, ...]:
        """The texts of a record that are compared, the whole of it first."""
        return (WHOLE, *self.texts)

    def text(self, record: Record, view: str) -> str:
        """What of a record a view shows."""
        if view != WHOLE:
            return record.value(view)
        return " ".join(value for name, value in record.fields if name not in self.numbers)

    def share_in(self, pair: Pair) -> float:
        """The share of the attributes that both records have, maybe empty; 1 if there are none."""
        left, right = ({name for name, _ in record.fields} for record in pair)
        wanted = {*self.texts, *self.numbers}
        return len(wanted & left & right) / len(wanted) if wanted else 1.0


class View(Struct, frozen=True):
    """What was counted over the training records in one view; ``rivals`` by the side they are on,
    for two views at the most."""

    rarities: Rarities
    rivals: Mapping[str, Rivals]


class PairFeatures:
    """Rows of numbers for pairs; ``names`` (d,) say what the columns are. Threads may share it."""

    def __init__(self, schema: Schema, views: Mapping[str, View]) -> None:
        self.schema, self._views = schema, views
        empty = Record(())
        self.names = tuple(self._features((empty, empty), {}, {}))

    @classmethod
    def fit(cls, pairs: Sequence[Pair]) -> "PairFeatures":
        """Count over the distinct records of ``pairs``."""
        schema = Schema.of(pairs)
        sides = [{record.key: record for record in side} for side in zip(*pairs, strict=True)]
        views = {}
        for at, view in enumerate(schema.views):
            profiles = [
                {key: profile_of(schema.text(record, view)) for key, record in side.items()}
                for side in sides
            ]
            distinct = list((profiles[0] | profiles[1]).values())
            rarities = Rarities(
                Rarity.fit(profile.distinct for profile in distinct),
                Rarity.fit(profile.grams for profile in distinct),
                Rarity.fit(profile.joined for profile in distinct),
            )
            grams = [{key: p.grams for key, p in side.items()} for side in profiles]
            rivals = {
                name: Rivals.fit(side, rarities.grams)
                for name, side in zip(_SIDES, grams, strict=True)
                if at < 2
            }
            views[view] = View(rarities, rivals)
        return cls(schema, views)

    def rows(
        self, pairs: Sequence[Pair], first: int = 0, groups: Sequence[Hashable] = ()
    ) -> NDArray[np.float64]:
        """Rows (n, d) of pairs, each as if its group had not been among those that this was fitted
        to, which are those from number ``first`` on; without ``groups`` (n,) equal pairs are one.
        """
        profiles: dict[tuple[str, str], Profile] = {}
        rows = np.empty((len(pairs), len(self.names)))
        for at, own in enumerate(_own_records(pairs, first, groups)):
            rows[at] = list(self._features(pairs[at], profiles, own).values())
        return rows

    def row(self, pair: Pair) -> NDArray[np.float64]:
        """The row (d,) of a new pair; one to two ms."""
        return np.array(list(self._features(pair, {}, {}).values()))

    def familiarities(
        self, pairs: Sequence[Pair], first: int = 0, groups: Sequence[Hashable] = ()
    ) -> NDArray[np.float64]:
        """(n,) ``familiarity`` of pairs, each pair taken as ``rows`` takes it."""
        owns = _own_records(pairs, first, groups)
        return np.array([self._familiarity(p, own) for p, own in zip(pairs, owns, strict=True)])

    def familiarity(self, pair: Pair) -> float:
        """Of two strangers, 0 to 1: the share of words that stand in two or more training records,
        of the record that has fewer such, times the share of the attributes there are. NaN if one
        of a new pair's records was counted."""
        return self._familiarity(pair, {})

    def _familiarity(self, pair: Pair, own: Mapping[str, Record]) -> float:
        if any(self._counted(key) and key not in own for key in keys_of(pair)):
            return math.nan
        counts = self._views[WHOLE].rarities.words.counts
        counted = [self._words(record) for record in own.values()]
        shares = []
        for words in map(self._words, pair):
            found = [counts.get(word, 0) - sum(word in some for some in counted) for word in words]
            shares.append(sum(n >= 2 for n in found) / len(found) if found else 1.0)
        return min(shares) * self.schema.share_in(pair)

    def _words(self, record: Record) -> frozenset[str]:
        return profile_of(self.schema.text(record, WHOLE)).distinct

    def _counted(self, key: str) -> bool:
        return any(key in side for side in self._views[WHOLE].rivals.values())

    def text_pair(self, pair: Pair) -> tuple[str, str]:
        """All the text of either record."""
        return self.schema.text(pair[0], WHOLE), self.schema.text(pair[1], WHOLE)

    def _features(
        self,
        pair: Pair,
        profiles: dict[tuple[str, str], Profile],
        own: Mapping[str, Record],
    ) -> dict[str, float]:
        """``profiles``: known ones by record and view, to which new ones are added; ``own``: by
        their keys, the records that were counted for the pair's group alone."""
        keys = {*keys_of(pair), *own}
        found: dict[str, float] = {}
        for name, view in self._views.items():
            left, right = (self._profile(record, name, profiles) for record in pair)
            alone = tuple(self._profile(record, name, profiles) for record in own.values())
            for what, value in self._compared(keys, Sides(left, right, alone), view).items():
                found[f"{name}: {what}"] = value
        for name in self.schema.numbers:
            compared = _compare_numbers(*(_number(record.value(name)) for record in pair))
            found |= {f"{name}: {what}": value for what, value in compared.items()}
        return found

    def _compared(self, keys: Collection[str], sides: Sides, view: View) -> dict[str, float]:
        empty = not sides.left.words, not sides.right.words
        weights = weigh(sides, view.rarities)
        found = compare(sides.left, sides.right, weights)
        if any(empty):
            found = dict.fromkeys(found, math.nan)
        found["missing"] = empty[0] + 2 * empty[1]
        if not view.rivals:
            return found
        similar, grams = found["cosine of letters"], weights.grams
        counted = view.rarities.grams.weights(grams) if sides.alone else grams
        for side, profile, others in (
            ("left", sides.left, view.rivals["right"]),
            ("right", sides.right, view.rivals["left"]),
        ):
            lead, better = math.nan, math.nan
            if not any(empty):
                lead, better = others.beside(profile.grams, similar, keys, grams, counted)
            found[_LEAD.format(side)] = lead
            found[_BETTER.format(side)] = better
        return found

    def _profile(
        self, record: Record, view: str, profiles: dict[tuple[str, str], Profile]
    ) -> Profile:
        key = record.key, view
        if key not in profiles:
            profiles[key] = profile_of(self.schema.text(record, view))
        return profiles[key]

    def model(self) -> dict[str, Any]:
        """All that is no array, for a JSON file."""
        return {
            "texts": self.schema.texts,
            "numbers": self.schema.numbers,
            "views": [
                {
                    "rarities": [
                        [getattr(view.rarities, kind).texts, getattr(view.rarities, kind).counts]
                        for kind in _KINDS
                    ],
                    "rivals": [
                        {"records": side.keys, "grams": side.grams} for side in view.rivals.values()
                    ],
                }
                for view in self._views.values()
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays, by name, for a safetensors file."""
        return {
            f"rivals.{at}.{name}.{what}": array
            for at, view in enumerate(self._views.values())
            for name, side in view.rivals.items()
            for what, array in (
                ("norms", side.norms),
                ("starts", side.starts),
                ("places", side.places),
            )
        }

    @classmethod
    def restore(cls, model: dict[str, Any], arrays: Mapping[str, Any]) -> "PairFeatures":
        """The features of ``model()`` and ``arrays()``.

        Raises:
            ArtifactError, KeyError, TypeError or ValueError: they do not fit.
        """
        schema = Schema(tuple(model["texts"]), tuple(model["numbers"]))
        views = {}
        for at, (name, kept) in enumerate(zip(schema.views, model["views"], strict=True)):
            rarities = Rarities(*(Rarity(texts, counts) for texts, counts in kept["rarities"]))
            rivals = {}
            for side, names in zip(_SIDES, kept["rivals"], strict=False):
                keys, grams = names["records"], names["grams"]
                parts = [arrays[f"rivals.{at}.{side}.{w}"] for w in ("norms", "starts", "places")]
                rivals[side] = Rivals(keys, parts[0], grams, parts[1], parts[2])
                if len(parts[0]) != len(keys) or len(parts[1]) != len(grams) + 1:
                    raise ArtifactError("the specialist's records and index differ: train it again")
            views[name] = View(rarities, rivals)
        return cls(schema, views)


def keys_of(pair: Pair) -> tuple[str, str]:
    """Of its left and its right record."""
    return pair[0].key, pair[1].key


def _own_records(
    pairs: Sequence[Pair], first: int, groups: Sequence[Hashable]
) -> list[Mapping[str, Record]]:
    """(n,) of each pair, by their keys, the records that are in no pair of another group, from
    number ``first`` on."""
    groups = groups or [keys_of(pair) for pair in pairs]
    groups_of: dict[str, set[Hashable]] = defaultdict(set)
    for pair, group in zip(pairs[first:], groups[first:], strict=True):
        for key in keys_of(pair):
            groups_of[key].add(group)
    own: dict[Hashable, dict[str, Record]] = defaultdict(dict)
    for pair, group in zip(pairs[first:], groups[first:], strict=True):
        own[group] |= {record.key: record for record in pair if len(groups_of[record.key]) == 1}
    return [own[group] for group in groups]


def _compare_numbers(left: float, right: float) -> dict[str, float]:
    known = not (math.isnan(left) or math.isnan(right))
    ratio = math.nan
    if known:
        ratio = math.log((abs(left) + 0.01) / (abs(right) + 0.01))
    return {
        "how many times greater": ratio,
        "how many times apart": abs(ratio),
        "equal": float(left == right) if known else math.nan,
    }


def _number(text: str) -> float:
    """The value of "12.50", "$1,299" or "20 kg"; NaN if it is none."""
    digits = text.strip().lstrip("$€£ ").replace(",", "").split(" ")[0]
    try:
        found = float(digits)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def _are_numbers(values: Sequence[str]) -> bool:
    found = sum(not math.isnan(_number(value)) for value in values)
    return found >= _NUMERIC * len(values)


def _named(pair: Pair, names: Sequence[str]) -> bool:
    """Whether the records have no other fields."""
    return all(name in names for record in pair for name, _ in record.fields)
