"""How much of a tuned encoder is left, told without torch."""

from msgspec import Struct


class Shape(Struct, frozen=True):
    """What is left: ``layers`` (0: all), shares of ``heads`` and ``feed_forward``."""

    layers: int = 0
    heads: float = 1.0
    feed_forward: float = 1.0

    @property
    def name(self) -> str:
        """As cards have it: "3-layers+0.5-heads"; "" of all that there was."""
        parts = [f"{self.layers}-layers"] if self.layers else []
        for share, what in ((self.heads, "heads"), (self.feed_forward, "inner")):
            parts += [f"{share:g}-{what}"] if share < 1 else []
        return "+".join(parts)
