"""A sample of short texts with what they hold, written by hand for these tests.

It is no estimate of how well detection works on anybody's traffic: who wrote it knew the detectors.
It keeps what is found found, and what is left alone left alone. All numbers are published test
numbers or documentation ranges; "¦" parts the secrets so that scanners of repositories do not take
them for real ones.
"""

import json
from pathlib import Path

from msgspec import Struct

from shoal.routing.privacy import KINDS, Kind, find

PATH = Path(__file__).with_name("sample.jsonl")
KINDS_BY_RULE: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "name")


class Sample(Struct, frozen=True):
    """A text and the (kind, value) pairs in it."""

    text: str
    found: frozenset[tuple[str, str]]


def samples() -> list[Sample]:
    """All of it; texts that hold nothing come last."""
    rows = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    return [
        Sample(
            row["text"].replace("¦", ""),
            frozenset((kind, value.replace("¦", "")) for kind, value in row["found"]),
        )
        for row in rows
    ]


def detected(text: str) -> frozenset[tuple[str, str]]:
    """What the detectors find in a text."""
    return frozenset((f.kind, text[f.start : f.end]) for f in find(text, KINDS_BY_RULE))
