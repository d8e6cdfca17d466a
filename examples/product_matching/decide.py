"""Tools of the plan: what the judgements on pairs come to, one product an offer, and a table of it.

A product that was said to be the same is taken; of several the one that has most in common with the
offer. An offer without one is doubtful where nobody could say of a candidate whether it is the
same: a person is asked about the one that has most in common with it.
"""

import csv
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("matches.csv")
_WORD = re.compile(r"[^\W\d_]+|\d+")
By = Literal["judged", "a person", "nobody"]


@dataclass(frozen=True)
class Candidate:
    """A product near an offer; ``product`` is its document, ``text`` its record."""

    product: str
    text: str
    said: str


@dataclass(frozen=True)
class Judged:
    """An offer (id, title, brand, price) and what was said of each product near it."""

    offer: list[str]
    candidates: list[Candidate]


@dataclass(frozen=True)
class Word:
    """What a person said of a doubtful pair."""

    offer: str
    product: str
    same: bool


@dataclass(frozen=True)
class Row:
    """What an offer comes to; ``product`` is "" if it is none of the catalogue."""

    offer: str
    title: str
    product: str
    record: str
    by: By
    reason: str


@dataclass(frozen=True)
class Decided:
    """All rows; ``doubtful`` are those that a person should look at."""

    offers: int
    matched: int
    rows: list[Row]
    doubtful: list[Row]


def decide(pairs: list[Judged], words: list[Word]) -> Decided:
    """One product for each offer, or none."""
    said = {(one.offer, one.product): one.same for one in words}
    rows, doubtful = list[Row](), list[Row]()
    for one in pairs:
        row, is_doubtful = _decided(one, said)
        if is_doubtful:  # until a person has spoken it is no match
            doubtful.append(row)
            row = replace(row, product="")
        rows.append(row)
    return Decided(len(rows), sum(bool(row.product) for row in rows), rows, doubtful)


def save(rows: list[Row]) -> str:
    """Write the table, whole; gives its name."""
    written = TABLE.with_suffix(".part")
    with written.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [one.name for one in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows(map(asdict, rows))
    written.replace(TABLE)
    return TABLE.name


def _decided(one: Judged, said: dict[tuple[str, str], bool]) -> tuple[Row, bool]:
    """The row of an offer, and whether a person should look at it."""
    offer = one.offer
    near = sorted(one.candidates, key=lambda found: -_common(offer, found))
    for found in near:
        if found.said == "yes":
            return _row(offer, found, "judged"), False
    for found in near:
        if found.said == "doubtful":
            word = said.get((offer[0], Path(found.product).stem))
            if word is None:
                return _row(offer, found, "nobody"), True
            if word:
                return _row(offer, found, "a person"), False
            break
    reason = f"none of the {len(near)} nearest products is the same"
    return Row(offer[0], offer[1], "", "", "judged", reason), False


def _row(offer: list[str], found: Candidate, by: By) -> Row:
    record = " | ".join(found.text.split("\n"))
    return Row(offer[0], offer[1], Path(found.product).stem, record, by, _reason(offer, found))


def _reason(offer: list[str], found: Candidate) -> str:
    ours, theirs = _fields(found.text), offer[1]
    shared = sorted(set(_words(theirs)) & set(_words(ours.get("title", ""))))
    lost = sorted(set(_words(ours.get("title", ""))) - set(_words(theirs)))
    told = [f"both say {' '.join(shared) or 'nothing'}"]
    told += [f"the offer does not say {' '.join(lost)}"] if lost else []
    try:
        told.append(f"its price is {float(offer[3]) / float(ours['price']) - 1:+.0%} of ours")
    except (KeyError, ValueError, ZeroDivisionError):
        told.append("one of them has no price")
    return "; ".join(told)


def _common(offer: list[str], found: Candidate) -> float:
    """The share of words that the two titles have in common."""
    one, other = set(_words(offer[1])), set(_words(_fields(found.text).get("title", "")))
    return len(one & other) / max(1, len(one | other))


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
