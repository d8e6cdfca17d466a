"""How a run, or a step of it, can end."""

from typing import Literal

from msgspec import Struct

from shoal.tools.tool import Json

State = Literal["done", "failed", "waiting", "stuck", "over budget", "cancelled"]
"""``waiting`` for a person's word; ``stuck`` at a step that may or may not have been done, and must
not be done twice: a person has to look."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended: its answer, or what ended it, at which step, and what to do. What it used
    counts what it did before, if it went on from there; ``output_tokens`` are of its ``tokens``."""

    state: State
    value: Json = None
    error: str = ""
    hint: str = ""
    step: str = ""
    steps: int = 0
    tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0


class StepFailed(Exception):
    """A step has no result. ``passing``: trying again may help."""

    def __init__(self, step: str, message: str, hint: str = "", passing: bool = False) -> None:
        super().__init__(message)
        self.step, self.message, self.hint, self.passing = step, message, hint, passing


class RunStopped(Exception):
    """The whole run ends here, whatever stands in place of the step."""

    def __init__(self, state: State, step: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.state, self.step, self.message, self.hint = state, step, message, hint


class Waiting(Exception):
    """A step waits for a person; what does not need it goes on."""
