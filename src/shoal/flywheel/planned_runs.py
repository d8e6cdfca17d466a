"""What an agent's runs say of its goals: which plan the reference wrote for each.

A goal and the plan that the agent's model wrote for it, in a run that came to its end, are an
example. Runs that a stored plan itself answered are none, for they would agree with themselves; but
where such a run was audited, the model wrote a plan beside it, and that is one, however the run
ended. Once stored plans serve, only goals drawn by chance may judge them, whoever planned: what
they pass on is no fair sample of what they are asked.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.flywheel.trial import calibrates
from shoal.planning.options import plans_id
from shoal.planning.plan import Plan, written
from shoal.planning.plan_book import PlanBook
from shoal.planning.recurring import PlanExample, Recurring
from shoal.planning.stored_planner import STORED
from shoal.routing.privacy import Kind, PrivacyOptions
from shoal.routing.privacy.journals import is_personal
from shoal.storage import Audit, Run, Store

_PAGE = 200
_PLANNED = "planned"


class Seen(Struct, frozen=True):
    """A goal, and the plan that the reference wrote for it, None if what is kept of that is not
    what it said; ``sampled``: it may judge."""

    goal: str
    plan: Plan | None
    sampled: bool = True


class Known(Struct, frozen=True):
    """Stored plans and examples of them, in the order in which they came; of each of these (n,)
    whether it may judge."""

    plans: tuple[Plan, ...]
    examples: tuple[PlanExample, ...]
    sampled: tuple[bool, ...]


def planned_runs(
    store: Store,
    agent: str,
    model: str = "",
    since: float = 0.0,
    most: int | None = None,
    privacy: PrivacyOptions | None = None,
) -> list[Seen]:
    """The goals of an agent's latest runs begun since that moment (unix seconds), oldest first,
    with the plan of each; ``model`` is whose plans count, "" for anybody's. Where ``privacy`` has
    less learned than was said, goals that hold something personal are left out, as they are not
    served (``may_learn``); a plan that does for another goal is none of those that are stored.

    Raises:
        StoreError: the store cannot be read.
    """
    less = privacy is not None and privacy.learns_less
    kinds = privacy.scrubbed if privacy is not None and less else ()
    found = (_less(one, kinds) for one in _latest(store, agent, model, since))
    return [*islice((one for one in found if one is not None), most)][::-1]


def learnable(said: Sequence[PlanExample], privacy: PrivacyOptions) -> list[PlanExample]:
    """Of what people said the goals that stored plans may be asked for."""
    kinds = privacy.scrubbed if privacy.learns_less else ()
    return [one for one in said if not is_personal(_json(one.goal), kinds)]


def _less(seen: Seen, kinds: Collection[Kind]) -> Seen | None:
    """What may be learned of it, None if nothing."""
    if is_personal(_json(seen.goal), kinds):
        return None
    if seen.plan is not None and is_personal(written(seen.plan).decode(), kinds):
        return replace(seen, plan=None)
    return seen


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _latest(store: Store, agent: str, model: str, since: float) -> Iterator[Seen]:
    before: str | None = None
    while runs := store.runs.list(agent=agent, before=before, limit=_PAGE):
        ids = [run.id for run in runs]
        planned, audits = store.runs.last_of(_PLANNED, ids), store.audits.of_calls(ids)
        for run in runs:
            if run.started_at <= since:
                return
            body = msgspec.json.decode(planned[run.id].body) if run.id in planned else {}
            seen = _seen(run, body, audits, plans_id(agent), model)
            if seen is not None and run.goal:
                yield seen
        before = ids[-1]


def _seen(
    run: Run, body: Mapping[str, Any], audits: Mapping[str, Audit], task: str, model: str
) -> Seen | None:
    audit = audits.get(run.id)
    if audit is not None and audit.task == task and audit.kind == "audit":
        return Seen(run.goal, msgspec.json.decode(audit.reference.text, type=Plan))
    if run.state != "done" or not body or body.get("by") == STORED:
        return None
    if model and body.get("by") != f"planner/{model}":
        return None
    if body["course"].get("done"):
        return None  # a plan that goes on from the results of another is none to keep
    plan = msgspec.convert(body["course"]["plan"], Plan)
    return Seen(run.goal, plan, body.get("sampled", True))


def known_of(
    seen: Sequence[Seen], plans: Sequence[Plan], said: Sequence[PlanExample], least: int
) -> Known:
    """The stored ``plans`` and those that at least so many goals needed, with all examples; what
    people ``said`` is among them, and last.

    Plans are made only of goals that train: those that calibrate find their book as it is.
    """
    recurring, trains = Recurring(plans), [not calibrates(one.goal) for one in seen]
    for one, does in zip(seen, trains, strict=True):
        if does and one.plan is not None:
            recurring.add(one.goal, one.plan)
    found, learned = recurring.found(least)
    book, rest = PlanBook(found), iter(learned)
    examples = [
        PlanExample(one.goal)
        if one.plan is None
        else next(rest)
        if does
        else book.example(one.goal, one.plan)
        for one, does in zip(seen, trains, strict=True)
    ]
    sampled = [one.sampled for one in seen] + [True] * len(said)
    return Known(tuple(book.plans.values()), (*examples, *said), tuple(sampled))
