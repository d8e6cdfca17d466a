"""What ``shoal.toml`` says of a collection."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shoal.retrieval.qdrant_place import QdrantPlace


class CollectionOptions(BaseModel):
    """``[collections.NAME]``: which ``model`` of ``shoal.toml`` answers questions from it (None: no
    model does, answers are taken from the passages word for word), from how many ``passages``, and
    how many tokens such a model is told at once: of passages, of the question, and of what the
    conversation was before, these two at most half of them.

    ``qdrant_url``: where the vectors are, instead of in the collection's folder, so that several
    gateways share one index; its key is in the environment variable ``qdrant_key_env``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    passages: int = Field(default=8, ge=1, le=50)
    window_tokens: int = Field(default=3_000, ge=500)
    qdrant_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    qdrant_key_env: str | None = None

    @model_validator(mode="after")
    def _whose_key(self) -> Self:
        if self.qdrant_key_env and not self.qdrant_url:
            raise ValueError("qdrant_key_env: there is no qdrant_url that it is the key of")
        return self

    @property
    def qdrant(self) -> QdrantPlace | None:
        """Where the vectors are; None: in the collection's folder."""
        return QdrantPlace(self.qdrant_url, self.qdrant_key_env) if self.qdrant_url else None
