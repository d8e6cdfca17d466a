"""One model that callers may ask for."""

from collections.abc import Iterator

from msgspec import Struct

from shoal.assembly.mixture import Mixture
from shoal.chat import Answer
from shoal.engines import Engine
from shoal.reasoning import Strategy
from shoal.routing.prices import Tariff
from shoal.routing.tokenizer import Tokenizer

LOCAL = "local"  # the residency of every local model


class Model(Struct, frozen=True):
    """A model; ``fallback`` names those to ask when it cannot answer. What a ``local`` one is told
    does not leave this machine. ``context`` is in tokens, ``residency`` where its endpoints are, ""
    if unknown. ``tokenizer`` counts what they did not. With a ``strategy`` it asks its ``members``,
    the first of which is the one that is named. Of a ``mixture`` one member answers; ``chosen``
    says which, and why, once that is known."""

    name: str
    engine: Engine
    tariff: Tariff
    fallback: tuple[str, ...] = ()
    local: bool = True
    context: int | None = None
    residency: str = ""
    tokenizer: Tokenizer | None = None
    strategy: Strategy | None = None
    members: "tuple[Model, ...]" = ()
    mixture: Mixture | None = None
    chosen: str = ""

    @property
    def labels(self) -> frozenset[str]:
        """Where what it is told is kept; empty where nobody said."""
        stated = {self.residency} if self.residency else set()
        return frozenset(stated | {LOCAL} if self.local else stated)

    @property
    def asked(self) -> "Iterator[Model]":
        """Those that are told what it is asked."""
        yield from self.members or (self,)

    def cost(self, answer: Answer) -> float | None:
        """USD of an answer that it gave; None if that is unknown."""
        if answer.deliberation is not None:
            return answer.deliberation.cost
        return self.tariff.cost(answer.usage)
