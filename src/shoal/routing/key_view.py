"""A key as people are shown it: never the key, nor its digest."""

from msgspec import Struct

from shoal.routing.caller import KeySpec
from shoal.routing.key_ring import spec_of
from shoal.storage import KeyRow


class KeyView(Struct, frozen=True):
    """``state`` is "in force", "expired" or "revoked"; times are unix seconds, costs USD."""

    id: str
    name: str
    hint: str
    state: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    spec: KeySpec


def view_key(row: KeyRow, now: float) -> KeyView:
    """The key as it stands at ``now``, in unix seconds."""
    if row.revoked_at is not None:
        state = "revoked"
    elif row.expires_at is not None and row.expires_at <= now:
        state = "expired"
    else:
        state = "in force"
    return KeyView(
        row.id,
        row.name,
        row.hint,
        state,
        row.created_at,
        row.expires_at,
        row.revoked_at,
        spec_of(row),
    )
