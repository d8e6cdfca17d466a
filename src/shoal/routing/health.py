"""How Shoal is."""

from msgspec import Struct


class Health(Struct, frozen=True):
    """``ok`` is false when something is degraded; ``detail`` says what, in JSON-able values.
    ``ready`` is false when calls cannot be recorded, so that a balancer may prefer another gateway.
    """

    ok: bool
    detail: dict[str, object]
    ready: bool = True
