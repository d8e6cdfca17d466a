"""``shoal promote`` and ``shoal demote``: by hand, and written down."""

from enum import StrEnum
from typing import Annotated, Literal

import typer

from shoal.cli.certificates import TaskName
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, find_rung, store_at
from shoal.cli.printing import say
from shoal.errors import LearningError
from shoal.flywheel import promotion
from shoal.routing.filing import agreement_id

Reason = Annotated[str, typer.Option(help="Why; it is written down.")]
Agreement = Annotated[
    bool, typer.Option("--agreement", help="The cheaper models, not the specialist.")
]
_BY = "person"


class Goal(StrEnum):
    """How far a task is promoted."""

    SHADOW = "shadow"
    SERVE = "serve"


def promote(
    task: TaskName,
    to: Annotated[Goal, typer.Option(help="Only compare it with the LLM, or serve.")] = Goal.SHADOW,
    agreement: Agreement = False,
    reason: Reason = "by hand",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Let a task's certified specialist shadow the LLM, or serve; gateways see it at once.

    Cheaper models (--agreement) need no shadow: trying them was one. They serve.
    """
    goal: Literal["shadow", "serve"] = "shadow" if to is Goal.SHADOW else "serve"
    with store_at(config) as store:
        found = find_rung(store, task)
        if found.ignored:
            raise LearningError(
                f"{found.name} is ignored: `shoal tasks unignore {found.name}` first"
            )
        try:
            if agreement:
                rung = agreement_id(found.id)
                standing = promotion.promote(store, rung, "serve", _BY, reason)
            else:
                standing = promotion.promote(store, found.id, goal, _BY, reason)
        except LearningError as error:
            raise LearningError(f"{found.name} cannot be promoted: {error}") from None
        models = store.standings.get(agreement_id(found.id))
    say(f"{found.name}: {standing.stage}, on certificate {standing.certificate}.")
    if not agreement and goal == "serve" and models is not None and models.stage == "serve":
        say("Its cheaper models are taken back: they are certified anew on what it passes on.")


def demote(
    task: TaskName,
    agreement: Agreement = False,
    reason: Reason = "by hand",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Take a task's specialist back: its next call goes to the LLM, until a person promotes it."""
    with store_at(config) as store:
        found = find_rung(store, task)
        promotion.demote(store, agreement_id(found.id) if agreement else found.id, _BY, reason)
    what = f"The agreement of models on {found.name}" if agreement else found.name
    say(f"{what} observes: its calls go to the LLM until it is promoted by hand.")
