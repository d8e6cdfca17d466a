"""What ``shoal.toml`` says about strategies."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shoal.reasoning.strategy import parse_strategy, split_name


def checked_strategy(value: str) -> str:
    """A strategy as it is written out, counts and all.

    Raises:
        ValueError: it is none.
    """
    return str(parse_strategy(value))


StrategyName = Annotated[str, AfterValidator(checked_strategy)]


class ReasoningOptions(BaseModel):
    """``max_samples`` is how many candidates a strategy may ask for, ``at_once`` how many calls of
    models it makes at the same time. A vote that stops early differs from the whole one with a
    chance of at most ``risk``; 0: it stops only where it cannot turn. The best of several, where
    none has passed its checks yet, gives up when another would pass with a chance of at most
    ``worth``; 0: never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_samples: int = Field(default=32, ge=1, le=1_000)
    at_once: int = Field(default=4, ge=1, le=100)
    risk: float = Field(default=0.05, ge=0, lt=0.5, allow_inf_nan=False)
    worth: float = Field(default=0, ge=0, lt=0.5, allow_inf_nan=False)

    def sampling(self, models: Iterable[str]) -> str:
        """How those of these models are asked that have a strategy, as certificates tell it; "" if
        none has one: how often samples agree depends on it."""
        if not any(split_name(name) for name in models):
            return ""
        return f"risk {self.risk:g}, worth {self.worth:g}, {self.at_once} at once"
