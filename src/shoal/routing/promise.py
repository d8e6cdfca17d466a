"""What a user wants promised of a task, and how it is watched."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PromiseOptions(BaseModel):
    """At most a share ``alpha`` of what is served small differs from the reference, with
    ``confidence``; a share ``audit_rate`` of the task's calls is compared with the LLM. With
    ``per_label`` that holds for each label by itself, where answers have one. With ``reference``
    "people" it is people's answers that count, to a share ``audit_rate`` of the calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.05, ge=1e-6, lt=0.5)
    confidence: float = Field(default=0.95, gt=0.5, le=1 - 1e-9)
    audit_rate: float = Field(default=0.05, gt=0, le=1)
    per_label: bool = False
    reference: Literal["llm", "people"] = "llm"

    @property
    def by_people(self) -> bool:
        """Whether people are the reference."""
        return self.reference == "people"

    @property
    def delta(self) -> float:
        """The probability with which the promise may turn out false."""
        return 1 - self.confidence

    @property
    def halved(self) -> "PromiseOptions":
        """The same with half of ``delta``, for one of two rungs."""
        return self.model_copy(update={"confidence": 1 - self.delta / 2})
