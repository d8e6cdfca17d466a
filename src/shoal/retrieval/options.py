"""What ``shoal.toml`` says of a collection."""

from pydantic import BaseModel, ConfigDict, Field


class CollectionOptions(BaseModel):
    """``[collections.NAME]``: which ``model`` of ``shoal.toml`` answers questions from it (None: no
    model does, answers are taken from the passages word for word), from how many ``passages``, and
    how many tokens of passages such a model is told at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    passages: int = Field(default=8, ge=1, le=50)
    window_tokens: int = Field(default=3_000, ge=500)
