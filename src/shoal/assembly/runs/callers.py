"""On whose behalf a run acts, and whose it is."""

import time

import msgspec

from shoal.assembly.runs.order import AGENT, Order
from shoal.errors import NotAllowed, NotFound
from shoal.planning.options import OPERATOR, ApproveBy
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.storage import Run, Store


def caller_of(store: Store, run: Run) -> Caller:
    """Who began a run, as their key is now.

    Raises:
        NotAllowed: the key is in force no longer.
    """
    if not run.key:
        return ANYBODY
    key = store.keys.get(run.key)
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= time.time()):
        raise NotAllowed(
            f"run {run.id} was begun with the key {key.name!r}, which is in force no longer",
            "key_not_in_force",
        )
    spec = msgspec.json.decode(key.spec, type=KeySpec)
    return Caller(key=key.id, name=key.name, spec=spec)


def own_run(run: Run, caller: Caller) -> Run:
    """The run, if a caller may know of it: a key knows its own, who has the scope admin all.

    Raises:
        NotFound: it is another's.
    """
    if caller.key and caller.key != run.key and "admin" not in caller.spec.scopes:
        raise NotFound(
            f"no run of id {run.id!r}: it was never started here, or has expired; "
            "`shoal runs list` shows those there are"
        )
    return run


def require_agent(order: Order, caller: Caller) -> None:
    """Refuse an agent that a caller may not ask as a model, however it is asked.

    Raises:
        NotAllowed: the caller's key is not for it.
    """
    if order.agent:
        caller.require_model(AGENT + order.agent)
        caller.require_task("")  # what an agent is asked is of no known task


def require_word(run: Run, caller: Caller, approve_by: ApproveBy) -> None:
    """Refuse a word on a question of a run from who may not give it.

    Raises:
        NotAllowed: says who may.
    """
    match approve_by:
        case "anyone":
            return
        case "another_key":
            allowed, who = caller.key != run.key, "another key than the one that began it"
        case _:
            named = caller.name != OPERATOR  # a key that is called so is not the operator
            allowed = (
                (named and caller.name in approve_by) if caller.key else OPERATOR in approve_by
            )
            who = f"only {', '.join(approve_by)}"
    if not allowed:
        raise NotAllowed(
            f"run {run.id}: its agent {run.agent!r} has its questions answered by {who} "
            f"(agents.{run.agent}.approve_by)",
            "approval_not_allowed",
        )
