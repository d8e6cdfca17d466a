"""What ``shoal.toml`` says about learning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shoal.routing.judging import JudgingOptions


class LearnOptions(BaseModel):
    """How the learner works.

    ``promote`` is how far a certified specialist goes by itself; by hand it can always go further.
    ``min_examples`` are wanted before the first attempt at a certificate, and ``growth`` times the
    examples of the last attempt before the next, since each look spends from the error budget.
    ``shadow_calls`` must agree with the LLM as promised before a shadow serves. ``calibration``
    "cross-fitted" uses every example both ways, "held-out" keeps a third away from training, which
    makes the bound exact for any number of examples. ``fine_tune``: where lighter recipes serve
    too little, an encoder is tuned for the task, which takes minutes and the extra ``train``;
    ``augment`` examples of rare labels, at most, the task's LLM is asked to make up for that.
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
    augment: int = Field(default=0, ge=0)


class LessonOptions(JudgingOptions):
    """How one task is to be learned.

    ``monotone``: for columns of a table, "increasing" or "decreasing" for a number; of two labels,
    the one that greater values speak for.
    """

    monotone: dict[str, str] = Field(default_factory=dict)
