"""What ``shoal.toml`` says about the rungs between specialists and the LLM."""

from pydantic import BaseModel, ConfigDict, Field, field_validator


class CascadeOptions(BaseModel):
    """``models`` are cheaper than the LLM, the cheapest first. Beside a share ``try_rate`` of a
    task's calls they are asked as well, until each has been on ``tries`` of them; where their
    agreement is certified, they answer before the LLM is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(default=(), max_length=3)
    tries: int = Field(default=500, ge=50, le=100_000)
    try_rate: float = Field(default=0.2, gt=0, le=1)

    @field_validator("models")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each model should be named once: with itself it always agrees")
        return value
