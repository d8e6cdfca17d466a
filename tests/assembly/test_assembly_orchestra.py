"""Runs: begun, decided, settled, gone on with, cancelled; by one process or several."""

import asyncio
import time
from collections.abc import Sequence

import msgspec
import pytest

from run_stage import (
    PAYING,
    QUICK,
    SLOW,
    Ledger,
    Stage,
    agent_of,
    answer,
    approve,
    ask,
    order_of,
    plan_of,
    stage,
    until,
    use,
)
from shoal.assembly.runs.leases import Watch
from shoal.chat import Answer, Request, Usage
from shoal.errors import Conflict, MalformedRequest, NotAllowed, NotFound, StoreError, UnknownModel
from shoal.planning.checker import RefusedPlan
from shoal.planning.journal import Decision, Entry
from shoal.planning.plan import Budget
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import new_key
from shoal.storage import Store

YES, NO = Decision(True, "ann"), Decision(False, "ann", "too dear")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def key_in(store: Store, name: str = "app", **spec: object) -> Caller:
    order = KeyOrder.model_validate({"name": name, **spec})
    made = new_key(order.name, order.spec(), time.time())
    with store.database.transaction() as conn:
        store.keys.insert(conn, made.row)
    return Caller(key=made.row.id, name=name, spec=order.spec())


def kinds(store: Store, run_id: str) -> Sequence[str]:
    return [one.kind for one in store.runs.records(run_id)]


async def free(here: Stage, run_id: str) -> None:
    """Until nobody has the run."""
    await until(lambda: here.store.runs.get(run_id).owner == "")


async def test_a_run_is_written_down_from_its_order_to_its_end(
    store: Store, ledger: Ledger
) -> None:
    heard = list[Entry]()
    plan = plan_of(use("seen"), ask("said", "${seen}"), answer({"it": "${said}"}))
    async with stage(store, ledger.tools(), lambda r: r.messages[-1].text.upper()) as here:
        run_id = await here.orchestra.begin(order_of(plan), ANYBODY, heard.append)
        outcome = await here.orchestra.outcome(run_id)
        await free(here, run_id)
        calls = store.calls.list()
    assert (outcome.state, outcome.value) == ("done", {"it": "SEEN IT"})
    assert outcome.tokens == 15
    assert outcome.usd == pytest.approx(20e-6)
    run = store.runs.get(run_id)
    assert (run.state, run.tokens, run.owner) == ("done", 15, "")
    assert run.cost == pytest.approx(20e-6)
    assert kinds(store, run_id) == ["run", "finished", "finished", "finished", "ended"]
    assert [call.episode for call in calls] == [run_id]  # a step is a call like any other
    assert [one.step for one in heard if one.kind == "finished"] == ["seen", "said", "end"]
    assert store.runs.verify().found == 0


async def test_a_plan_that_cannot_be_run_is_not_begun(store: Store, ledger: Ledger) -> None:
    plan = plan_of(use("seen", "fly"), answer("${nothing}"))
    async with stage(store, ledger.tools()) as here:
        with pytest.raises(RefusedPlan, match=r"seen: tool: there is no 'fly'.*end: value"):
            await here.orchestra.begin(order_of(plan), ANYBODY)
        with pytest.raises(UnknownModel, match="no agent named 'x'"):
            await here.orchestra.begin(order_of(agent="x", goal="?"), ANYBODY)
        for wrong in (order_of(), order_of(PAYING, agent="x")):  # an agent's grants are its own
            with pytest.raises(MalformedRequest, match="either a plan or an agent"):
                await here.orchestra.begin(wrong, ANYBODY)
        await here.shoal.settle()
    assert store.runs.list() == []


async def test_who_listens_and_raises_does_not_end_the_run(store: Store, ledger: Ledger) -> None:
    def broken(entry: Entry) -> None:
        raise BrokenPipeError

    async with stage(store, ledger.tools()) as here:
        order = order_of(plan_of(use("seen"), answer("${seen}")))
        assert (await here.orchestra.run(order, ANYBODY, broken)).state == "done"


async def test_a_person_says_yes_or_no(store: Store, ledger: Ledger) -> None:
    async with stage(store, ledger.tools()) as here:
        for word, state, paid in ((YES, "done", 1), (NO, "failed", 1)):
            run_id = await here.orchestra.begin(order_of(PAYING), ANYBODY)
            assert (await here.orchestra.outcome(run_id)).state == "waiting"
            assert store.runs.get(run_id).state == "waiting"
            with pytest.raises(NotFound, match="no question at 'paid'; open questions: word"):
                await here.orchestra.decide(run_id, "paid", word, ANYBODY)
            await here.orchestra.decide(run_id, "word", word, ANYBODY)
            outcome = await here.orchestra.outcome(run_id)
            assert (outcome.state, len(ledger.done)) == (state, paid)
            with pytest.raises(Conflict, match="was answered already"):
                await here.orchestra.decide(run_id, "word", YES, ANYBODY)
    assert outcome.error == "ann said no: too dear"


async def test_of_two_words_at_once_the_first_holds(store: Store, ledger: Ledger) -> None:
    async with stage(store, ledger.tools()) as here:
        run_id = await here.orchestra.begin(order_of(PAYING), ANYBODY)
        await here.orchestra.outcome(run_id)
        found = await asyncio.gather(
            *(here.orchestra.decide(run_id, "word", one, ANYBODY) for one in (YES, NO, NO)),
            return_exceptions=True,
        )
        assert [type(one) for one in found] == [type(None), Conflict, Conflict]
        await until(lambda: store.runs.get(run_id).state == "done")
    assert [one.kind for one in store.runs.records(run_id)].count("decided") == 1


async def test_a_word_that_comes_while_other_steps_run_is_gone_on_with(
    store: Store, ledger: Ledger
) -> None:
    plan = plan_of(
        use("seen"), approve(), use("paid", "pay", after=["word"]), answer(["${seen}", "${paid}"])
    )
    ledger.go.clear()
    async with stage(store, ledger.tools()) as here:
        run_id = await here.orchestra.begin(order_of(plan), ANYBODY)
        await ledger.begun.wait()
        await until(lambda: "waiting" in kinds(store, run_id))
        await here.orchestra.decide(run_id, "word", YES, ANYBODY)
        assert store.runs.get(run_id).state == "running"  # so that others go on after a kill
        ledger.go.set()
        outcome = await here.orchestra.outcome(run_id)
    assert (outcome.state, outcome.value) == ("done", ["seen it", "paid 1"])
    assert "paused" not in kinds(store, run_id)


async def test_two_questions_are_answered_one_after_the_other(store: Store) -> None:
    plan = plan_of(approve("one"), approve("two"), answer(["${one.by}", "${two.approved}"]))
    async with stage(store) as here:
        run_id = await here.orchestra.begin(order_of(plan), ANYBODY)
        await here.orchestra.outcome(run_id)
        await here.orchestra.decide(run_id, "one", YES, ANYBODY)
        assert (await here.orchestra.outcome(run_id)).state == "waiting"
        await here.orchestra.decide(run_id, "two", YES, ANYBODY)
        outcome = await here.orchestra.outcome(run_id)
    assert outcome.value == ["ann", True]


async def test_what_was_stopped_goes_on_elsewhere_without_doing_anything_twice(
    store: Store, ledger: Ledger
) -> None:
    plan = plan_of(use("paid", "pay"), use("seen", after=["paid"]), answer(["${paid}", "${seen}"]))
    async with stage(store, ledger.tools(), watch=SLOW) as here:
        run_id = await here.orchestra.begin(order_of(plan), ANYBODY)
        await until(lambda: "paid" in [one.step for one in store.runs.records(run_id)])
        ledger.go.clear()
        await until(lambda: bool(ledger.done))
    assert store.runs.get(run_id).state in ("running", "done")
    ledger.go.set()
    async with stage(store, ledger.tools(), resumes=True):
        await until(lambda: store.runs.get(run_id).state == "done")
    assert len(ledger.done) == 1
    assert store.runs.verify().found == 0


async def test_runs_of_commands_are_not_picked_up(store: Store, ledger: Ledger) -> None:
    ledger.go.clear()
    order = msgspec.structs.replace(order_of(plan_of(use("seen"), answer("${seen}"))), by="here")
    async with stage(store, ledger.tools()) as here:
        run_id = await here.orchestra.begin(order, ANYBODY)
        await ledger.begun.wait()
    ledger.go.set()
    async with stage(store, ledger.tools(), resumes=True, watch=QUICK) as here:
        await asyncio.sleep(0.3)
        assert store.runs.get(run_id).state == "running"
        await here.orchestra.resume(run_id, ANYBODY)
        assert (await here.orchestra.outcome(run_id)).state == "done"


async def test_a_run_is_stuck_where_nobody_knows_and_a_person_settles_it(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.planning.leaves._GRACE_S", 0.05)  # for calls that do not end
    plan = plan_of(use("paid", "pay"), answer("${paid}"))
    for again, value in ((False, "by hand"), (True, "paid 1")):
        ledger.begun.clear()
        ledger.go.clear()
        async with stage(store, ledger.tools()) as here:
            run_id = await here.orchestra.begin(order_of(plan), ANYBODY)
            await ledger.begun.wait()
            active = here.orchestra.ending(run_id)
            active.cancel()
            await asyncio.wait([active], timeout=0.1)
            active.cancel()  # as if it were killed: the call does not end in time
        ledger.go.set()
        ledger.done.clear()
        async with stage(store, ledger.tools(), resumes=True) as here:
            await until(lambda run_id=run_id: store.runs.get(run_id).state == "stuck")
            assert ledger.done == []
            with pytest.raises(NotFound, match="not stuck at 'end'; steps that are: paid"):
                await here.orchestra.settle(run_id, "end", ANYBODY)
            await here.orchestra.settle(run_id, "paid", ANYBODY, "by hand", again)
            outcome = await here.orchestra.outcome(run_id)
        assert (outcome.state, outcome.value) == ("done", value)
        assert len(ledger.done) == again


async def test_a_budget_is_raised(store: Store) -> None:
    plan = plan_of(ask("one"), ask("two", after=["one"]), answer("${two}"), budget={"tokens": 1240})
    async with stage(store) as here:
        run_id = await here.orchestra.begin(order_of(plan), ANYBODY)
        outcome = await here.orchestra.outcome(run_id)
        assert (outcome.state, outcome.step) == ("over budget", "two")
        assert store.runs.get(run_id).state == "stuck"
        await here.orchestra.resume(run_id, ANYBODY, Budget(tokens=1300))
        outcome = await here.orchestra.outcome(run_id)
        assert (outcome.state, outcome.tokens) == ("done", 30)
        assert len(here.scribes["gpt"].asked) == 2


async def test_what_is_not_raised_of_a_budget_holds_on(store: Store) -> None:
    plan = plan_of(ask("one"), ask("two", after=["one"]), answer("${two}"), budget={"tokens": 1240})
    async with stage(store) as here:
        run_id = await here.orchestra.begin(order_of(plan, budget=Budget(steps=9)), ANYBODY)
        assert "tokens" in (await here.orchestra.outcome(run_id)).error
        for raised, told in ((Budget(steps=99), "1,240 tokens"), (Budget(tokens=1300), "done")):
            await here.orchestra.resume(run_id, ANYBODY, raised)
            outcome = await here.orchestra.outcome(run_id)
            assert told in (outcome.error or outcome.state)


async def test_what_was_refused_is_paid_for(store: Store) -> None:
    async def refuses(request: Request) -> Answer:
        return Answer(refusal="no", model="gpt", usage=Usage(10, 5))

    async with stage(store) as here:
        here.scribes["gpt"].answer = refuses  # type: ignore[method-assign]
        plan = plan_of(ask("said"), answer("${said}"))
        outcome = await here.orchestra.run(order_of(plan), ANYBODY)
        assert (outcome.state, outcome.error) == ("failed", "gpt refused: no")
        assert (outcome.tokens, outcome.usd) == (15, pytest.approx(20e-6))
        (run,) = store.runs.list()
        assert (run.tokens, run.cost) == (15, pytest.approx(20e-6))


async def test_calls_of_free_tools_do_not_hold_up_those_that_cost(
    store: Store, ledger: Ledger
) -> None:
    """They hold back nothing, and are counted as running no longer than they run."""
    plan = plan_of(
        use("seen"),
        ask("said", after=["seen"], max_tokens=1),
        ask("more", after=["said"], max_tokens=30),
        answer("${more}"),
        budget={"usd": 0.0003},
    )
    async with stage(store, ledger.tools()) as here:
        async with asyncio.timeout(5):
            outcome = await here.orchestra.run(order_of(plan), ANYBODY)
    assert outcome.state == "done"


async def test_a_cancelled_run_ends_for_good(store: Store, ledger: Ledger) -> None:
    ledger.go.clear()
    async with stage(store, ledger.tools()) as here:
        run_id = await here.orchestra.begin(
            order_of(plan_of(use("seen"), answer("${seen}"))), ANYBODY
        )
        await ledger.begun.wait()
        await here.orchestra.cancel(run_id, ANYBODY)
        assert store.runs.get(run_id).state == "cancelled"
        for again in (here.orchestra.cancel, here.orchestra.resume):
            with pytest.raises(Conflict, match="has ended: it is cancelled"):
                await again(run_id, ANYBODY)
        waits = await here.orchestra.begin(order_of(PAYING), ANYBODY)
        await here.orchestra.outcome(waits)
        await here.orchestra.cancel(waits, ANYBODY)
        assert store.runs.get(waits).state == "cancelled"


async def test_who_waits_for_a_run_and_is_cancelled_cancels_it(
    store: Store, ledger: Ledger
) -> None:
    ledger.go.clear()
    async with stage(store, ledger.tools()) as here:
        order = order_of(plan_of(use("seen"), answer("${seen}")))
        waiting = asyncio.create_task(here.orchestra.run(order, ANYBODY))
        await ledger.begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert [run.state for run in store.runs.list()] == ["cancelled"]


async def test_who_hangs_up_before_a_run_has_begun_leaves_none_behind(store: Store) -> None:
    async with stage(store, watch=QUICK, resumes=True) as here:
        beginning = asyncio.create_task(
            here.orchestra.begin(order_of(plan_of(ask("a"), answer("${a}"))), ANYBODY)
        )
        await asyncio.sleep(0)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        await until(lambda: [run.state for run in store.runs.list()] == ["cancelled"])
        assert here.scribes["gpt"].asked == []


@pytest.mark.parametrize("home", ["sqlite", "postgres"], indirect=True)
async def test_two_gateways_perform_each_run_once(store: Store, ledger: Ledger) -> None:
    plan = plan_of(use("paid", "pay"), use("seen", after=["paid"]), answer("${seen}"))
    async with (
        stage(store, ledger.tools(), resumes=True, watch=QUICK) as one,
        stage(store, ledger.tools(), resumes=True, watch=QUICK) as other,
    ):
        names = [await one.orchestra.begin(order_of(plan), ANYBODY) for _ in range(20)]
        names += [await other.orchestra.begin(order_of(plan), ANYBODY) for _ in range(20)]
        await until(lambda: all(store.runs.get(name).state == "done" for name in names), 30)
    assert len(ledger.done) == len(set(ledger.done)) == 40


async def test_another_gateway_cancels_what_this_one_performs(store: Store, ledger: Ledger) -> None:
    plan = plan_of(use("seen"), use("paid", "pay", after=["seen"]), answer("${paid}"))
    ledger.go.clear()
    async with (
        stage(store, ledger.tools()) as one,
        stage(store, ledger.tools(), resumes=True) as other,
    ):
        run_id = await one.orchestra.begin(order_of(plan), ANYBODY)
        await ledger.begun.wait()
        with pytest.raises(Conflict, match="is being performed"):
            await other.orchestra.resume(run_id, ANYBODY)
        await other.orchestra.cancel(run_id, ANYBODY)
        ledger.go.set()
        assert (await one.orchestra.outcome(run_id)).state == "cancelled"
    assert store.runs.get(run_id).state == "cancelled"
    assert ledger.done == []
    assert store.runs.verify().found == 0


async def test_a_lease_that_is_lost_stops_the_run(store: Store, ledger: Ledger) -> None:
    """A process that sleeps for too long must not go on beside the one that took its run."""
    plan = plan_of(use("seen"), use("paid", "pay", after=["seen"]), answer("${paid}"))
    ledger.go.clear()
    asleep = Watch(lease_s=0.2, every_s=60.0)
    async with stage(store, ledger.tools(), watch=asleep) as one:
        run_id = await one.orchestra.begin(order_of(plan), ANYBODY)
        await ledger.begun.wait()
        here = one.orchestra.ending(run_id)
        async with stage(store, ledger.tools(), watch=SLOW, resumes=True):
            await until(lambda: "resumed" in kinds(store, run_id))
            ledger.go.set()
            await until(lambda: store.runs.get(run_id).state == "done")
            with pytest.raises(StoreError):
                await here
    assert len(ledger.done) == 1
    assert store.runs.verify().found == 0


async def test_a_run_of_a_revoked_key_ends(store: Store, ledger: Ledger) -> None:
    """One that is under way, one that was left behind, and one that waits, as soon as it is to
    go on; and others go on."""
    caller = key_in(store)
    ledger.go.clear()
    slow = order_of(plan_of(use("seen"), answer("${seen}")))
    async with stage(store, ledger.tools(), watch=Watch(60.0, 60.0)) as here:
        left = await here.orchestra.begin(slow, caller)
        other = await here.orchestra.begin(slow, ANYBODY)
        waits = await here.orchestra.begin(order_of(PAYING), caller)
        assert (await here.orchestra.outcome(waits)).state == "waiting"
        await ledger.begun.wait()
    async with stage(store, ledger.tools(), watch=QUICK) as here:
        here_now = await here.orchestra.begin(slow, caller)
        with store.database.transaction() as conn:
            store.keys.revoke(conn, caller.key, time.time())
        await until(lambda: store.runs.get(here_now).state == "failed")
    ledger.go.set()
    async with stage(store, ledger.tools(), watch=QUICK, resumes=True) as here:
        await until(lambda: store.runs.get(left).state == "failed")
        await until(lambda: store.runs.get(other).state == "done")
        with pytest.raises(NotAllowed, match="in force no longer"):
            await here.orchestra.decide(waits, "word", YES, ANYBODY)
        assert store.runs.get(waits).state == "waiting"
        await here.orchestra.cancel(waits, ANYBODY)
    ended = store.runs.records(left)[-1]
    assert b"in force no longer" in ended.body
    assert ledger.done == []


async def test_a_plan_that_has_changed_meanwhile_is_run_as_it_was(
    store: Store, ledger: Ledger
) -> None:
    before = plan_of(use("seen"), use("more", after=["seen"]), answer("old ${more}"))
    after = plan_of(ask("said"), answer("new ${said}"))
    ledger.go.clear()
    async with stage(store, ledger.tools(), agents=[agent_of("a", before)]) as here:
        run_id = await here.orchestra.begin(order_of(agent="a", goal="go"), ANYBODY)
        await ledger.begun.wait()
    ledger.go.set()
    changed = [agent_of("a", after)]
    async with stage(store, ledger.tools(), agents=changed, resumes=True) as here:
        await until(lambda: store.runs.get(run_id).state == "done")
        outcome = await here.orchestra.run(order_of(agent="a", goal="go"), ANYBODY)
    assert b"old seen it" in store.runs.records(run_id)[-1].body
    assert outcome.value == "new said"


async def test_a_run_whose_agent_is_gone_is_stuck_until_it_is_back(
    store: Store, ledger: Ledger
) -> None:
    agent = agent_of("a", plan_of(use("seen"), answer("${seen}")))
    ledger.go.clear()
    async with stage(store, ledger.tools(), agents=[agent]) as here:
        run_id = await here.orchestra.begin(order_of(agent="a", goal="go"), ANYBODY)
        await ledger.begun.wait()
    ledger.go.set()
    async with stage(store, ledger.tools(), resumes=True, watch=QUICK):
        await until(lambda: store.runs.get(run_id).state == "stuck")
        await asyncio.sleep(0.2)
    assert kinds(store, run_id)[-2:] == ["resumed", "paused"]  # once, not again and again
    async with stage(store, ledger.tools(), agents=[agent]) as here:
        await here.orchestra.resume(run_id, ANYBODY)
        assert (await here.orchestra.outcome(run_id)).state == "done"


async def test_a_key_sees_its_own_runs_and_admin_all(store: Store) -> None:
    one, other = key_in(store, "one"), key_in(store, "other")
    admin = Caller(key="k", name="ops", spec=KeySpec(scopes=("admin",)))
    async with stage(store) as here:
        run_id = await here.orchestra.begin(order_of(PAYING_NOTHING), one)
        await here.orchestra.outcome(run_id)
        for see in (here.orchestra.get, here.orchestra.records, here.orchestra.story):
            with pytest.raises(NotFound):
                await see(run_id, other)
            await see(run_id, one)
            await see(run_id, admin)
        with pytest.raises(NotFound):
            await here.orchestra.decide(run_id, "word", YES, other)
        with pytest.raises(NotFound):
            await here.orchestra.cancel(run_id, other)
        assert [len(await here.orchestra.list(who)) for who in (one, other, admin)] == [1, 0, 1]


PAYING_NOTHING = plan_of(approve(), answer("${word.by}"))
