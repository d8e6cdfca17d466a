"""What a user wants promised of a task, and how it is watched."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class PromiseOptions(BaseModel):
    """At most a share ``alpha`` of what is served small differs from the reference, with
    ``confidence``; a share ``audit_rate`` of the task's calls is compared with the LLM. With
    ``per_label`` that holds for each label by itself, where answers have one. With ``reference``
    "people" it is people's answers that count, to a share ``audit_rate`` of the calls. That is not
    0: a certificate speaks of the calls it was issued on, and only audits see those change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.05, ge=1e-6, lt=0.5)
    confidence: float = Field(default=0.95, gt=0.5, le=1 - 1e-9)
    audit_rate: float = Field(default=0.05, le=1)
    per_label: bool = False
    reference: Literal["llm", "people"] = "llm"

    @field_validator("audit_rate")
    @classmethod
    def _audited(cls, rate: float) -> float:
        if not rate > 0:
            raise ValueError(
                "it has to be above 0: without audits nobody would notice that the promise broke; "
                "0.001 compares one call in a thousand"
            )
        return rate

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
