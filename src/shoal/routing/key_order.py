"""What is said of a key that is to be made, by command or over HTTP."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shoal.routing.caller import KeySpec, Scope
from shoal.routing.key_ring import is_key_id

_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._@-]+$")]
_Named = Annotated[str, Field(min_length=1, max_length=200)]
_Collection = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")]
_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_A_DAY = 86_400.0


class KeyOrder(BaseModel):
    """A key to make; ``expires_days`` None means that it does not expire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    scopes: tuple[Scope, ...] = Field(default=("call",), min_length=1)
    models: tuple[_Named, ...] = ()
    tasks: tuple[_Named, ...] = ()
    collections: tuple[_Collection, ...] = ()
    tools: tuple[_Named, ...] = ()
    rpm: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    budget_day: _Usd | None = None
    budget_month: _Usd | None = None
    expires_days: float | None = Field(default=None, gt=0, le=36_500)

    @field_validator("name")
    @classmethod
    def _no_id(cls, value: str) -> str:
        if is_key_id(value):  # commands take a name or an id, and could mean either
            raise ValueError("looks like the id of a key; choose another name")
        return value

    def spec(self) -> KeySpec:
        """What the key may do."""
        return KeySpec(
            scopes=tuple(dict.fromkeys(self.scopes)),
            models=self.models,
            tasks=self.tasks,
            collections=self.collections,
            tools=self.tools,
            rpm=self.rpm,
            tpm=self.tpm,
            budget_day=self.budget_day,
            budget_month=self.budget_month,
        )

    def expires_at(self, now: float) -> float | None:
        """When it expires, in unix seconds."""
        return None if self.expires_days is None else now + self.expires_days * _A_DAY
