"""Who may answer the questions of an agent's runs."""

import pytest
from pydantic import ValidationError

from run_stage import PAYING, Ledger, Stage, agent_of, order_of, stage
from shoal.assembly.runs.callers import require_word
from shoal.errors import NotAllowed
from shoal.planning.journal import Decision
from shoal.planning.options import AgentOptions, ApproveBy
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.routing.key_ring import new_key
from shoal.storage import Run, Store

YES = Decision(True)


def caller_in(store: Store, name: str, *scopes: str) -> Caller:
    spec = KeySpec(scopes=scopes or ("call",))  # type: ignore[arg-type]
    made = new_key(name, spec, 1.0)
    with store.database.transaction() as conn:
        store.keys.insert(conn, made.row)
    return Caller(key=made.row.id, name=name, spec=spec)


async def waiting(here: Stage, caller: Caller) -> str:
    run_id = await here.orchestra.begin(order_of(agent="a"), caller)
    assert (await here.orchestra.outcome(run_id)).state == "waiting"
    return run_id


async def approved(here: Stage, run_id: str, caller: Caller) -> bool:
    """Whether a caller's word was taken; the question stays open if not."""
    try:
        await here.orchestra.decide(run_id, "word", YES, caller)
    except NotAllowed:
        assert (await here.orchestra.story(run_id, ANYBODY)).past.open == {"word"}
        return False
    assert (await here.orchestra.outcome(run_id)).state == "done"
    return True


async def test_another_key_than_began_the_run(store: Store) -> None:
    ledger, agent = Ledger(), agent_of("a", PAYING, approve_by="another_key")
    async with stage(store, ledger.tools(), agents=[agent]) as here:
        own, boss = caller_in(store, "app"), caller_in(store, "boss", "call", "admin")
        run_id = await waiting(here, own)
        assert not await approved(here, run_id, own)
        assert not await approved(here, run_id, own)  # nor the second time
        assert ledger.done == []
        assert await approved(here, run_id, boss)
        his = await waiting(here, boss)
        assert not await approved(here, his, boss)  # admin or not
        assert await approved(here, his, ANYBODY)  # who sits at the machine has no key
        nobodys = await waiting(here, ANYBODY)
        assert not await approved(here, nobodys, ANYBODY)
        assert await approved(here, nobodys, boss)
    assert len(ledger.done) == 3


async def test_keys_by_name(store: Store) -> None:
    agent = agent_of("a", PAYING, approve_by=["anna"])
    async with stage(store, Ledger().tools(), agents=[agent]) as here:
        anna, boss = (caller_in(store, name, "call", "admin") for name in ("anna", "boss"))
        run_id = await waiting(here, boss)
        assert not await approved(here, run_id, boss)
        assert not await approved(here, run_id, ANYBODY)
        assert await approved(here, run_id, anna)
        assert await approved(here, await waiting(here, anna), anna)  # the list says who


@pytest.mark.parametrize(
    ("approve_by", "caller", "may"),
    [
        ("anyone", Caller(key="k", name="own"), True),
        (("operator",), ANYBODY, True),
        (("operator",), Caller(key="o", name="other"), False),
        (("operator",), Caller(key="o", name="operator"), False),  # whatever a key is called
        (("own",), Caller(key="k", name="own"), True),
        (("other",), Caller(name="other"), False),  # a name without a key is nobody's
    ],
)
def test_who_may(approve_by: ApproveBy, caller: Caller, may: bool) -> None:
    run = Run(id="r", agent="a", key="k", started_at=1.0, owner="x", lease_until=1.0)
    if may:
        return require_word(run, caller, approve_by)
    with pytest.raises(NotAllowed, match=r"agents\.a\.approve_by") as refused:
        require_word(run, caller, approve_by)
    assert refused.value.code == "approval_not_allowed"


async def test_a_plan_without_an_agent_is_for_who_may_see_the_run(store: Store) -> None:
    async with stage(store, Ledger().tools()) as here:
        own = caller_in(store, "app")
        run_id = await here.orchestra.begin(order_of(PAYING), own)
        await here.orchestra.outcome(run_id)
        assert await approved(here, run_id, own)


@pytest.mark.parametrize("wrong", ["nobody", [], 3])
def test_odd_settings_are_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        AgentOptions.model_validate({"planner": "gpt", "approve_by": wrong})
