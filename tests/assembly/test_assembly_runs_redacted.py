"""What the journals of runs keep of personal values."""

import json
import time

import pytest
from sqlalchemy import update

from run_stage import (
    Ledger,
    Watch,
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
from shoal.assembly.runs.story import all_records, story_of
from shoal.errors import StoreError
from shoal.planning.journal import Decision
from shoal.routing.caller import ANYBODY
from shoal.routing.privacy import PrivacyOptions
from shoal.storage import Store
from shoal.storage.schema import run_records

MAIL, PHONE = "jane.doe@example.com", "+44 20 7946 0958"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
PLAN = plan_of(
    ask("said", "answer ${input.text}"),
    approve("word", "Write to ${input.text}?", after=["said"]),
    use("paid", "pay", after=["word"]),
    answer({"said": "${said}", "to": "${input.text}"}, after=["paid"]),
    input=SCHEMA,
)
LESS = PrivacyOptions(store="redacted")
AT_ONCE = Watch(every_s=0.05, grace_s=0.0)


def text_of(store: Store, run_id: str) -> str:
    """All that the store holds of a run."""
    return store.runs.get(run_id).goal + "".join(
        record.body.decode() for record in all_records(store, run_id)
    )


async def test_a_run_that_ended_keeps_nothing_personal_and_its_trail_holds(store: Store) -> None:
    ledger, agent = Ledger(), agent_of("desk", PLAN)
    says = lambda request: f"call {PHONE}, as {MAIL} asked"  # noqa: E731
    async with stage(store, ledger.tools(), says, [agent], privacy=LESS) as here:
        order = order_of(agent="desk", goal=f"for {MAIL}", given={"text": MAIL})
        run_id = await here.orchestra.begin(order, ANYBODY)
        await here.orchestra.outcome(run_id)
        assert MAIL in text_of(store, run_id)  # while it waits, it needs that
        head = store.runs.head().hash
        await here.orchestra.decide(run_id, "word", Decision(True), ANYBODY)
        outcome = await here.orchestra.outcome(run_id)
        assert outcome.value == {"said": f"call {PHONE}, as {MAIL} asked", "to": MAIL}
        assert MAIL in here.scribes["gpt"].asked[0].messages[0].text
    kept = text_of(store, run_id)
    assert (MAIL in kept, PHONE in kept) == (False, False)
    assert "call [PHONE], as [EMAIL] asked" in kept
    assert store.runs.get(run_id).goal == "for [EMAIL]"
    story = story_of(store, run_id)  # and can be told
    assert story.order.given == {"text": "[EMAIL]"}
    assert story.past.finished["end"] == {"said": "call [PHONE], as [EMAIL] asked", "to": "[EMAIL]"}
    assert story.plan == PLAN
    verdict = store.runs.verify(head)
    assert verdict.found == 0
    (redacted,) = verdict.redacted
    assert (redacted.run, redacted.records[0]) == (run_id, 0)
    assert [one.seq for one in all_records(store, run_id) if one.redacted] == redacted.records


async def test_what_a_tool_gave_and_was_given_is_redacted_too(store: Store) -> None:
    plan = plan_of(
        {"do": "tool", "id": "seen", "tool": "look", "arguments": {"what": MAIL}},
        answer("${seen}"),
    )
    async with stage(store, Ledger().tools(), privacy=LESS) as here:
        assert (await here.orchestra.run(order_of(plan), ANYBODY)).value == f"seen {MAIL}"
        (run,) = store.runs.list()
    told = json.loads(all_records(store, run.id)[1].body)
    assert (told["value"], told["arguments"]) == ("seen [EMAIL]", {"what": "[EMAIL]"})
    assert MAIL not in text_of(store, run.id)
    assert store.runs.verify().found == 0


async def test_it_is_done_a_while_after_the_end_by_whoever_looks_after_runs(store: Store) -> None:
    plan = plan_of(ask("said", MAIL), answer("${said}"))
    async with stage(store, privacy=LESS) as here:
        asks = order_of(plan_of(approve("w", MAIL), answer(1)))
        waits = await here.orchestra.begin(asks, ANYBODY)
        await here.orchestra.outcome(waits)
        ended = await here.orchestra.begin(order_of(plan), ANYBODY)
        await here.orchestra.outcome(ended)
        async with stage(store, privacy=LESS, watch=AT_ONCE, resumes=True):
            await until(lambda: MAIL not in text_of(store, ended))
        assert MAIL in text_of(store, waits)
    assert store.runs.whole(time.time()) == []


async def test_it_is_kept_as_it_is_where_the_rules_say_nothing(store: Store) -> None:
    async with stage(store, watch=AT_ONCE, resumes=True) as here:
        plan = plan_of(ask("said", MAIL), answer("${said}"))
        await here.orchestra.run(order_of(plan), ANYBODY)
        (run,) = store.runs.list()
    assert MAIL in text_of(store, run.id)
    assert store.runs.verify().redacted_runs == 0


async def test_a_run_that_is_redacted_while_others_end_it_is_redacted_once(store: Store) -> None:
    plan = plan_of(ask("said", MAIL), answer("${said}"))
    async with stage(store, privacy=LESS) as here, stage(store, privacy=LESS, watch=AT_ONCE,
                                                         resumes=True):  # fmt: skip
        for _ in range(5):
            await here.orchestra.run(order_of(plan), ANYBODY)
    assert all(MAIL not in text_of(store, run.id) for run in store.runs.list())
    verdict = store.runs.verify()
    assert (verdict.found, verdict.redacted_runs) == (0, 5)


async def test_a_store_that_cannot_be_read_does_not_keep_a_process_from_ending(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(store, privacy=LESS) as here:
        await here.orchestra.run(order_of(plan_of(ask("said", MAIL), answer("${said}"))), ANYBODY)

        def away(*about: object) -> list[str]:
            raise StoreError("the store is away")

        with monkeypatch.context() as patched:
            patched.setattr(store.runs, "whole", away)
            await here.orchestra._redacting.at_once({"x"})
    assert "not redacted yet: the store is away" in caplog.text
    (run,) = store.runs.list()
    assert MAIL not in text_of(store, run.id)  # the second time it could be


async def test_a_run_whose_records_are_damaged_keeps_others_from_nothing(store: Store) -> None:
    async with stage(store, privacy=LESS) as here:
        for _ in range(2):
            plan = plan_of(ask("said", MAIL), answer("${said}"))
            await here.orchestra.run(order_of(plan), ANYBODY)
        other, damaged = (run.id for run in store.runs.list())
        with store.database.transaction() as conn:
            spoilt = update(run_records).where(run_records.c.run == damaged)
            conn.execute(spoilt.values(body=b"x is no stream"))
    assert MAIL not in text_of(store, other)
    assert store.runs.whole(time.time()) == [damaged]
