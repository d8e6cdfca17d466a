"""What one run may use at most, whatever its plan says."""

from msgspec import Struct
from msgspec.structs import replace

from shoal.planning.plan import Budget


class Limits(Struct, frozen=True, kw_only=True):
    """``steps``, ``tokens``, ``usd`` (0: no limit) and ``seconds`` of a whole run; of one step the
    seconds ``step_timeout_s`` where it says none. ``at_once`` calls run at a time,
    ``prompt_characters`` is the longest text that a model is sent. A plan has at most
    ``plan_steps``, those within steps counted, ``depth`` levels deep."""

    steps: int = 10_000
    tokens: int = 2_000_000
    usd: float = 0.0
    seconds: float = 3_600.0
    step_timeout_s: float = 60.0
    at_once: int = 16
    prompt_characters: int = 60_000
    plan_steps: int = 500
    depth: int = 8

    def within(self, budget: Budget) -> "Limits":
        """These limits, and those of a plan's budget where they are tighter."""
        return replace(
            self,
            steps=int(_least(self.steps, budget.steps)),
            tokens=int(_least(self.tokens, budget.tokens)),
            usd=_least(self.usd, budget.usd),
            seconds=_least(self.seconds, budget.seconds),
        )


def _least(limit: float, asked: float) -> float:
    """The tighter of two limits, of which 0 is none."""
    return min(limit, asked) if limit and asked else limit or asked
