"""All kinds of specialists there are."""

from shoal.specialists import (
    call,
    decision,
    fields,
    generated,
    label,
    match,
    memo,
    multi_label,
    text,
)
from shoal.specialists.kind import Kind

KINDS: tuple[Kind, ...] = (
    memo.KIND,
    label.KIND,
    multi_label.KIND,
    fields.KIND,
    match.KIND,
    decision.KIND,
    call.KIND,
    text.KIND,
    generated.KIND,
)


def kind_of(name: str) -> Kind | None:
    """The kind of that name; None if there is none."""
    return next((kind for kind in KINDS if kind.name == name), None)
