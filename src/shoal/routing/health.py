"""How Shoal is."""

from msgspec import Struct


class Health(Struct, frozen=True):
    """``ok`` is false when something is degraded; ``detail`` says what, in JSON-able values."""

    ok: bool
    detail: dict[str, object]
