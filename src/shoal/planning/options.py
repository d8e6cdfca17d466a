"""``[agents.NAME]``: what runs when ``shoal/agent:NAME`` is asked, and what it may touch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shoal.planning.plan import Budget

OPERATOR = "operator"
"""Callers without a key, in a list of who may approve."""

ApproveBy = Literal["anyone", "another_key"] | Annotated[tuple[str, ...], Field(min_length=1)]


class AgentOptions(BaseModel):
    """Either a ``plan`` that always runs, or a ``planner``, a model that writes one for each goal;
    ``plans`` are ready ones (files, or folders of them) that it may choose from. ``tools``,
    ``tasks``, ``models`` and ``collections`` are what its plans may use: with a planner nothing
    that is not named here; a plan of one's own may use what it names.

    ``steps``, ``tokens``, ``usd`` and ``seconds`` are what a run may use at most, 0 for the limits
    of any run. ``ask_before_writing``: where a planner wrote the plan, a person is asked before a
    tool changes anything; ``begin_early`` lets steps that only read begin while the rest is still
    being written. ``replans`` is how often the planner may write another plan when a step
    failed.

    ``approve_by`` is who may answer the questions of its runs: "anyone" who may see the run;
    "another_key" than the one that began it; or the keys of these names, among which "operator"
    stands for callers without a key: at the command line, and of a gateway without keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Path | None = None
    planner: str | None = None
    plans: tuple[Path, ...] = ()
    description: str = ""
    tools: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    steps: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    usd: float = Field(0.0, ge=0)
    seconds: float = Field(0.0, ge=0)
    ask_before_writing: bool = True
    begin_early: bool = True
    replans: int = Field(1, ge=0, le=10)
    approve_by: ApproveBy = "anyone"

    @model_validator(mode="after")
    def _one_way(self) -> "AgentOptions":
        if (self.plan is None) == (self.planner is None and not self.plans):
            raise ValueError("expected either a plan, or a planner or plans to choose from")
        return self

    @property
    def budget(self) -> Budget:
        """What one run may use."""
        return Budget(steps=self.steps, tokens=self.tokens, usd=self.usd, seconds=self.seconds)


def plans_id(agent: str) -> str:
    """What the stored plans of an agent are called where tasks are: no task has such an id."""
    return f"plans:{agent}"
