"""Answers that the calibration examples did not know: new labels, another version of the LLM.

A certificate speaks of the LLM as it answered when the examples were drawn. When its answers begin
to be of a kind that no example had, the specialist cannot give them, and each that it accepts is an
error. Audits notice that only once the average breaks; the share of strangers tells it earlier, and
from every call that the LLM answered or audited, not only from those that were served small.

**The rule.** The certificate lapses when it is shown, with confidence ``1 - delta`` at whatever
moment one looks, that strangers are more than half of alpha of the task's calls, on top of what
may have been there when it was issued. Half, because accepted like any other call they would then
spend half of the risk that was promised on what the specialist can never get right; earlier, and
rare misspellings of an LLM would end certificates that hold. The test is the e-process of
``sequential`` with that share in the place of alpha, so looking often costs nothing (Ville 1939).
"""

from typing import Self

from msgspec import Struct

from shoal.guarantees.bounds import upper_bound
from shoal.guarantees.sequential import EProcess, anytime_lower_bound

_SHARE = 0.5  # of alpha
_MOST = 0.99  # the rule needs a share below 1


class Strangers(Struct, frozen=True):
    """The calls of a task since its certificate was issued, in order: ``process.errors`` of
    ``process.n`` were strangers, the ``first`` at that moment (unix seconds, 0.0 for none)."""

    process: EProcess
    first: float = 0.0

    @classmethod
    def start(cls, alpha: float, delta: float, known: int = 0, n: int = 0) -> Self:
        """No call yet. ``known`` of ``n`` examples were strangers when the certificate was issued,
        such as answers that broke the contract.

        Raises:
            ValueError: ``alpha`` or ``delta`` outside (0, 1), or ``known`` above ``n``.
        """
        before = upper_bound(known, n, delta) if known else 0.0
        return cls(EProcess.start(min(_MOST, _SHARE * alpha + before)))

    def seen(self, stranger: bool, at: float) -> Self:
        """After one more call of the unbiased sample, recorded at that moment (unix seconds)."""
        first = at if stranger and not self.first else self.first
        return type(self)(self.process.update(stranger), first)

    @property
    def allowed(self) -> float:
        """The share that is not yet a reason to lapse."""
        return self.process.alpha

    def share_low(self, delta: float) -> float:
        """Their share is at least this, at all moments together, with confidence ``1 - delta``."""
        return anytime_lower_bound(self.process.errors, self.process.n, delta)

    def too_many(self, delta: float) -> bool:
        """Whether the certificate must lapse."""
        return self.process.crossed(delta)
