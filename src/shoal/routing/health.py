"""How Shoal is."""

from msgspec import Struct


class Health(Struct, frozen=True):
    """``ok`` is false when something is degraded; ``detail`` says what, in JSON-able values.
    ``ready`` is false when calls cannot be answered. A store that fails is no reason for that:
    answers do not depend on it, and all gateways that share it would be taken out at once.
    """

    ok: bool
    detail: dict[str, object]
    ready: bool = True
