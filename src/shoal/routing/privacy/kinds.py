"""The kinds of personal data and secrets that are looked for, and one place where one was found."""

from typing import Literal, get_args

from msgspec import Struct

Kind = Literal["email", "phone", "card", "iban", "national_id", "ip", "secret", "name"]

KINDS: tuple[Kind, ...] = get_args(Kind)
STRONGEST_FIRST: tuple[Kind, ...] = (
    "secret",
    "iban",
    "card",
    "national_id",
    "email",
    "phone",
    "ip",
    "name",
)
"""Of two findings of one length the one further left here is kept: a checksum says more than a
layout."""


class Finding(Struct, frozen=True):
    """A value of some kind in a text, from ``start`` up to ``end`` (characters); never the value
    itself, so that a finding may be logged."""

    kind: Kind
    start: int
    end: int


def label(kind: Kind) -> str:
    """How placeholders name a kind: ``national_id`` is NATIONAL_ID."""
    return kind.upper()
