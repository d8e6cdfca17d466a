"""Which plans an agent's runs needed, as its records tell."""

from typing import Any

import msgspec
import pytest

from shoal.chat import Answer
from shoal.flywheel.planned_runs import Seen, known_of, learnable, planned_runs
from shoal.flywheel.trial import calibrates
from shoal.guarantees import Watch
from shoal.planning.plan import Plan, read_plan
from shoal.planning.recurring import OTHER, PlanExample
from shoal.routing.privacy import PrivacyOptions
from shoal.storage import Audit, Run, Store, eprocesses
from shoal.storage.run_records import Entry, RunState

TASK = "plans:desk"


def planned(name: str, by: str = "planner/gpt", **more: Any) -> tuple[str, object]:
    sampled = {"sampled": more.pop("sampled")} if "sampled" in more else {}
    plan = {"name": name, "steps": [{"do": "answer", "id": "end", "value": 1}]}
    return "planned", {"by": by, "course": {"plan": plan, **more}, **sampled}


def run_of(
    store: Store, goal: str, *told: tuple[str, object], state: RunState = "done", at: float = 1.0
) -> None:
    run = Run(id=goal, goal=goal, agent="desk", started_at=at, owner="x", lease_until=2.0)
    entries = [Entry(kind=kind, at=at, body=msgspec.json.encode(body)) for kind, body in told]
    entries.append(Entry(kind="ended", at=at + 1, state=state))
    with store.database.transaction() as conn:
        store.runs.start(conn, run)
        store.runs.extend(conn, run.id, "x", entries)


def audited(store: Store, goal: str, name: str, kind: Any = "audit") -> None:
    plan = {"version": 1, "name": name, "steps": [{"do": "answer", "id": "end", "value": 2}]}
    audit = Audit(
        call_id=goal,
        at=2.0,
        task=TASK,
        certificate="c-1",
        kind=kind,
        agrees=False,
        reference=Answer(text=msgspec.json.encode(plan).decode()),
    )
    with store.database.transaction() as conn:
        store.audits.record(conn, audit, 0.05)


def found(store: Store, **how: Any) -> list[tuple[str, str, bool]]:
    seen = planned_runs(store, "desk", **how)
    return [(one.goal, one.plan.name if one.plan else "", one.sampled) for one in seen]


def test_the_last_plan_of_a_run_counts_however_long_the_run_was(store: Store) -> None:
    run_of(store, "long", planned("failed"), *[("finished", {})] * 1_200, planned("worked"))
    run_of(store, "short", planned("worked too"))
    run_of(store, "stored", planned("refund", "planner/stored"))
    run_of(store, "unplanned")
    run_of(store, "vain", planned("worked not"), state="failed")
    assert found(store) == [("long", "worked", True), ("short", "worked too", True)]


def test_a_plan_that_goes_on_from_another_ones_results_is_none_to_keep(store: Store) -> None:
    run_of(store, "mended", planned("first"), planned("second", done={"a": 1}))
    assert found(store) == []


def test_the_latest_since_a_moment_and_of_one_model_count(store: Store) -> None:
    for at in range(1, 6):
        run_of(
            store, f"g{at}", planned(f"p{at}", "planner/gpt" if at % 2 else "planner/big"), at=at
        )
    assert [goal for goal, *_ in found(store, model="gpt")] == ["g1", "g3", "g5"]
    assert [goal for goal, *_ in found(store, since=2.0)] == ["g3", "g4", "g5"]
    assert [goal for goal, *_ in found(store, most=2)] == ["g4", "g5"]


def test_of_stored_plans_that_serve_only_audited_goals_are_examples(store: Store) -> None:
    """However their run ended: a stored plan that is wrong makes runs fail, and those goals would
    be missing among the errors."""
    with store.database.transaction() as conn:
        eprocesses.start(conn, "c-1", Watch.start(0.02))
    run_of(store, "audited", planned("refund", "planner/stored"))
    run_of(store, "failed", planned("refund", "planner/stored"), state="failed")
    run_of(store, "passed", planned("written", sampled=False))
    run_of(store, "shadowed", planned("wrote"))
    run_of(store, "unseen", planned("refund", "planner/stored"))
    for goal in ("audited", "failed"):
        audited(store, goal, f"model's for {goal}")
    audited(store, "shadowed", "wrote", "shadow")
    assert sorted(found(store, model="gpt")) == [
        ("audited", "model's for audited", True),
        ("failed", "model's for failed", True),
        ("passed", "written", False),
        ("shadowed", "wrote", True),
    ]


def looking(number: int, tool: str = "look") -> Plan:
    told = {
        "name": tool,
        "steps": [
            {"do": "tool", "id": "t", "tool": tool, "arguments": {"n": number}},
            {"do": "answer", "id": "end", "value": "${t}"},
        ],
    }
    return read_plan(msgspec.json.encode(told))


def test_only_goals_that_train_make_plans(store: Store) -> None:
    """What calibrates must not decide what there is to choose from."""
    goals = [f"look at {number}" for number in range(100, 160)]
    seen = [Seen(goal, looking(int(goal[8:]))) for goal in goals]
    known = known_of(seen, (), (), 20)
    assert [plan.name for plan in known.plans] == ["look"]
    assert [one.goal for one in known.examples] == goals, "in their order"
    assert {one.plan for one in known.examples} == {"look"}
    held_out = [Seen(one.goal, looking(1, "odd")) for one in seen if calibrates(one.goal)]
    assert len(held_out) > 10
    known = known_of([*held_out, *seen], (), (), 5)
    assert [plan.name for plan in known.plans] == ["look"]
    assert known.examples[0] == PlanExample(held_out[0].goal, OTHER)


@pytest.mark.parametrize("count", [0, 30])
def test_what_there_was_stays_and_what_people_say_is_added(count: int) -> None:
    first = known_of([Seen(f"look at {n}", looking(n)) for n in range(30)], (), (), 10)
    seen = [Seen(f"fetch {n}", looking(n, "fetch"), sampled=False) for n in range(100, 100 + count)]
    said = [PlanExample("look at 7", "look", {"n": 7})]
    known = known_of(seen, first.plans, said, 10)
    assert {plan.name for plan in known.plans} == {"look"} | ({"fetch"} if count else set())
    assert known.examples[-1] == said[0]
    assert known.sampled == (False,) * count + (True,)


def test_goals_of_a_plan_that_there_was_count_however_few_they_are() -> None:
    seen = [Seen(f"look at {n}", looking(n)) for n in range(20)]
    plans = known_of(seen, (), (), 5).plans
    few = known_of(seen[:6], plans, (), 20)
    assert {one.plan for one in few.examples} == {"look"}
    assert {one.plan for one in known_of(seen[:6], (), (), 20).examples} == {OTHER}


@pytest.mark.parametrize("how", [{"store": "redacted"}, {"learn": "redacted"}])
def test_what_is_personal_is_not_learned(store: Store, how: dict[str, str]) -> None:
    """Two addresses that are both kept as [EMAIL] make no two plans alike."""
    privacy = PrivacyOptions.model_validate(how)
    run_of(store, "write to jo@example.com", planned("mail"))
    run_of(store, "write to [EMAIL]", planned("mail"))
    run_of(store, "write to support", planned("mail jo@example.com"))
    run_of(store, "write to sales", planned("mail [EMAIL]"))
    run_of(store, "count", planned("count"))
    plain = [("count", "count", True), ("write to sales", "", True), ("write to support", "", True)]
    assert sorted(found(store, privacy=privacy)) == plain
    assert len(found(store, privacy=PrivacyOptions())) == 5
    known = known_of(planned_runs(store, "desk", privacy=privacy), [], [], least=1)
    assert {one.goal for one in known.examples if one.plan == OTHER} >= {
        "write to sales",
        "write to support",
    }
    assert "example.com" not in repr(known)
    said = [PlanExample("mail jo@example.com", "mail"), PlanExample("count", "count")]
    assert learnable(said, privacy) == said[1:]
    assert learnable(said, PrivacyOptions()) == said
