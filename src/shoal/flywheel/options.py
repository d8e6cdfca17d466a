"""What ``shoal.toml`` says about learning."""

import re
from typing import Literal

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shoal.tasks import Contract, NumberContract

_TOLERANCE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")


class LearnOptions(BaseModel):
    """How the learner works.

    ``promote`` is how far a certified specialist goes by itself; by hand it can always go further.
    ``min_examples`` are wanted before the first attempt at a certificate, and ``growth`` times the
    examples of the last attempt before the next, since each look spends from the error budget.
    ``shadow_calls`` must agree with the LLM as promised before a shadow serves. ``calibration``
    "cross-fitted" uses every example both ways, "held-out" keeps a third away from training, which
    makes the bound exact for any number of examples. ``fine_tune``: where lighter recipes serve
    too little, an encoder is tuned for the task, which takes minutes and the extra ``train``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    promote: Literal["observe", "shadow", "serve"] = "observe"
    every_s: float = Field(default=5, gt=0)
    min_calls: int = Field(default=20, ge=8)
    min_examples: int = Field(default=200, ge=50)
    growth: float = Field(default=2, ge=1.2)
    max_examples: int = Field(default=10_000, ge=100)
    shadow_calls: int = Field(default=50, ge=1)
    lapse_days: float = Field(default=90, gt=0, le=36_500)
    calibration: Literal["cross-fitted", "held-out"] = "cross-fitted"
    fine_tune: bool = False


class LessonOptions(BaseModel):
    """How one task is to be learned.

    ``tolerance``: two numbers that differ by no more are the same answer; "5 %" of the lesser of
    them, or a number like "0.5". ``monotone``: for columns of a table, "increasing" or "decreasing"
    for a number; of two labels, the one that greater values speak for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: str | None = None
    monotone: dict[str, str] = Field(default_factory=dict)

    @field_validator("tolerance")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None and not _TOLERANCE.fullmatch(value):
            raise ValueError('a tolerance should be like "5 %" or "0.5"')
        return value

    def applied(self, contract: Contract) -> Contract:
        """The contract with the tolerance, if it is one of numbers."""
        found = _TOLERANCE.fullmatch(self.tolerance or "")
        if found is None or not isinstance(contract, NumberContract):
            return contract
        amount = float(found[1])
        return (
            replace(contract, relative=amount / 100)
            if found[2]
            else replace(contract, absolute=amount)
        )
