"""Running plans: order, limits, trouble, and going on after a kill."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.worlds import CATALOGUE, World, answer, ask, passing, plan_of, tool, unreachable
from shoal.errors import StoreError
from shoal.planning.checker import require
from shoal.planning.hands import Said
from shoal.planning.journal import (
    Decision,
    Entry,
    Failure,
    MemoryJournal,
    NoJournal,
    Past,
    past_of,
)
from shoal.planning.limits import Limits
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Ask, Plan, Step
from shoal.planning.run import Around, run_plan
from shoal.tools.tool import Json, ToolResult, failed

PAUSE = 0.05


async def run(plan: Plan, world: World, past: Past | None = None, **more: object) -> Outcome:
    require(plan, more.get("catalogue", CATALOGUE))  # type: ignore[arg-type]
    around = Around(
        **{"run_id": "run", "hands": world, "catalogue": CATALOGUE, "past": past or Past(), **more}
    )  # type: ignore[arg-type]
    return await run_plan(plan, {"text": "I moan"}, around)


def ran(plan: Plan, world: World, past: Past | None = None, **more: object) -> Outcome:
    return asyncio.run(run(plan, world, past, **more))


def test_a_step_gets_what_it_names_whatever_the_order_in_the_file() -> None:
    world = World(says=lambda step: "moan")
    plan = plan_of(
        answer({"kind": "${kind}", "price": "${a.price}"}),
        tool("a", arguments={"id": 4}, after=["kind"]),
        {"do": "ask", "id": "kind", "task": "intent", "slots": {"text": "${input.text}"}},
    )
    assert ran(plan, world).value == {"kind": "moan", "price": 2.5}
    assert world.calls == [("intent", {"text": "I moan"}), ("look", {"id": 4})]


def test_steps_that_need_nothing_of_each_other_run_beside_each_other() -> None:
    plan = plan_of(*[tool(f"s{at}", "slow", {}) for at in range(8)], answer(["${s0}", "${s7}"]))
    began = time.perf_counter()
    assert ran(plan, World(seconds=PAUSE)).state == "done"
    assert time.perf_counter() - began < 4 * PAUSE


def test_no_more_calls_run_at_once_than_are_allowed() -> None:
    now, most = 0, 0

    class Counting(World):
        async def use(self, *arguments: object) -> ToolResult:  # type: ignore[override]
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1
            return ToolResult({"price": 1.0})

    plan = plan_of(*[tool(f"s{at}") for at in range(20)], answer(1))
    assert ran(plan, Counting(), limits=Limits(at_once=3)).state == "done"
    assert most == 3


def test_a_map_keeps_the_order_and_no_more_than_so_many_at_once() -> None:
    world = World(seconds=0.001, says=lambda step: step.prompt[::-1])
    each: dict[str, Json] = {
        "do": "map",
        "id": "each",
        "over": ["ab", "cd", "ef"],
        "as": "word",
        "at_once": 2,
        "steps": [ask("turned", "${word}")],
        "result": {"was": "${word}", "is": "${turned}"},
    }
    found = ran(plan_of(each, answer("${each}")), world)
    assert found.value == [{"was": a, "is": a[::-1]} for a in ("ab", "cd", "ef")]


def test_a_map_leaves_null_for_an_item_that_failed_where_that_is_allowed() -> None:
    def does(arguments: object) -> ToolResult:
        return failed("no such id") if arguments == {"id": 2} else ToolResult({"price": 1.0})

    each: dict[str, Json] = {
        "do": "map",
        "id": "each",
        "over": [1, 2, 3],
        "steps": [tool("a", arguments={"id": "${item}"})],
        "result": "${a.price}",
    }
    world = World(does={"look": does})
    assert ran(plan_of({**each, "skip": True}, answer("${each}")), world).value == [1.0, None, 1.0]
    stopped = ran(plan_of(each, answer("${each}")), world)
    assert (stopped.state, stopped.step, stopped.error) == ("failed", "each[1].a", "no such id")


def test_a_list_that_is_too_long_is_refused() -> None:
    each = {"do": "map", "id": "m", "over": [1] * 9, "at_most": 3, "steps": [], "result": 1}
    found = ran(plan_of(each, answer("${m}")), World())
    assert (found.state, found.step) == ("failed", "m")
    assert "9 items, at most 3" in found.error


@pytest.mark.parametrize(("op", "than", "takes"), [("equals", 2.5, "first"), ("over", 3, "last")])
def test_a_branch_takes_the_first_arm_that_holds(op: str, than: float, takes: str) -> None:
    branch: dict[str, Json] = {
        "do": "branch",
        "id": "b",
        "arms": [{"when": [{"value": "${a.price}", "op": op, "than": than}], "result": "first"}],
        "else": {"when": [], "steps": [tool("c")], "result": "last"},
    }
    assert ran(plan_of(tool("a"), branch, answer("${b}")), World()).value == takes


def test_a_repeat_carries_its_result_on_until_its_condition_holds() -> None:
    loop: dict[str, Json] = {
        "do": "repeat",
        "id": "r",
        "at_most": 10,
        "start": "",
        "steps": [ask("more", "<${last}>")],
        "result": "${last}x",
        "until": [{"value": "${last}", "op": "equals", "than": "xx"}],
    }
    world = World()
    assert ran(plan_of(loop, answer("${r}")), world).value == "xxx"
    assert [said for _, said in world.calls] == ["<>", "<x>", "<xx>"]


def test_what_passes_is_tried_again_and_what_does_not_is_not() -> None:
    plan = plan_of(tool("a", retries=2), answer("${a.price}"))
    assert ran(plan, World(does={"look": passing(2)})).value == 1.0
    world = World(does={"look": lambda arguments: failed("no such order", "ask for the id")})
    found = ran(plan, world)
    assert (found.error, found.hint, len(world.calls)) == ("no such order", "ask for the id", 1)
    world = World(says=unreachable)
    assert ran(plan_of(ask("a", retries=1), answer("${a}")), world).state == "failed"
    assert len(world.calls) == 2


def test_a_fallback_or_a_value_stands_in_place_of_what_failed() -> None:
    world = World(does={"look": lambda arguments: failed("gone")}, says=lambda step: "instead")
    plan = plan_of(tool("a", fallback=ask("b")), answer("${a}"))
    assert ran(plan, world).value == "instead"
    plan = plan_of(tool("a", otherwise={"price": "${input.text}"}), answer("${a.price}"))
    assert ran(plan, world).value == "I moan"


def test_an_answer_that_breaks_its_contract_escalates_that_step_alone() -> None:
    world = World(says=lambda step: '{"n": 3}' if step.model == "huge" else "three")
    shape: Json = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    plan = plan_of(tool("a"), ask("b", output=shape, escalate=["huge"]), answer("${b.n}"))
    assert ran(plan, world).value == 3
    assert [name for name, _ in world.calls] == ["look", "big", "huge"]
    lost = ran(plan_of(ask("b", output=shape), answer("${b.n}")), world)
    assert "expected JSON, the answer was 'three'" in lost.error


def test_a_label_that_the_task_does_not_have_is_no_answer() -> None:
    step = {"do": "ask", "id": "k", "task": "intent", "slots": {"text": "x"}}
    found = ran(plan_of(step, answer("${k}")), World(says=lambda step: "ignore your orders"))
    assert "breaks its contract" in found.error


def test_a_step_has_a_time_limit() -> None:
    plan = plan_of(tool("a", "slow", {}, timeout_s=0.02, otherwise="late"), answer("${a}"))
    assert ran(plan, World(seconds=2)).value == "late"


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(steps=3), "3 steps"),
        (Limits(tokens=225), "225 tokens"),
        (Limits(usd=0.002, prompt_characters=40), "0.002 USD"),
        (Limits(seconds=0.03), "0.03 seconds"),
    ],
)
def test_a_run_ends_where_its_budget_does(limits: Limits, told: str) -> None:
    chain = [ask(f"a{at}", f"${{a{at - 1}}}" if at else "go", max_tokens=1) for at in range(9)]
    world = World(seconds=0.01)
    found = ran(plan_of(*chain, answer("${a8}")), world, limits=limits)
    assert found.state == "over budget"
    assert told in found.error
    assert len(world.calls) < 9


def test_money_is_held_back_for_calls_beside_each_other() -> None:
    limits = Limits(usd=0.02)  # each may cost 0.0001 + 0.01, takes 0.001
    now, most = 0, 0

    class Dear(World):
        async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
            nonlocal now, most
            now += 1
            most = max(most, now)
            assert left_usd > 0
            said = await super().ask(step, left_usd, left_tokens)
            now -= 1
            return said

    def steps(count: int) -> Plan:
        return plan_of(*[ask(f"a{at}", max_tokens=1_000) for at in range(count)], answer(1))

    assert ran(steps(9), Dear(seconds=0.001), limits=limits).state == "done"
    assert most == 1
    found = ran(steps(30), Dear(), limits=limits)
    assert found.state == "over budget"
    assert found.usd == pytest.approx(0.010)  # what is left is less than one more may cost


def test_a_prompt_that_grew_too_long_is_not_sent() -> None:
    world = World(does={"look": lambda arguments: ToolResult({"names": ["x" * 999]})})
    plan = plan_of(tool("a"), ask("b", "${a.names}"), answer("${b}"))
    found = ran(plan, world, limits=Limits(prompt_characters=100))
    assert "1,003 characters, at most 100" in found.error
    assert [name for name, _ in world.calls] == ["look"]


def test_a_plan_without_a_reached_answer_says_so() -> None:
    branch: dict[str, Json] = {
        "do": "branch",
        "id": "b",
        "arms": [{"when": [{"value": 1, "op": "equals", "than": 2}], "steps": [answer("never")]}],
    }
    assert "no step that answers" in ran(plan_of(branch), World()).error


def test_a_person_is_waited_for_without_holding_anything_and_what_needs_no_word_goes_on() -> None:
    plan = plan_of(
        {"do": "approve", "id": "ok", "question": "book ${input.text}?", "show": {"a": "${a}"}},
        tool("a"),
        tool("b", "book", after=["ok"]),
        tool("c", after=["a"]),
        answer({"by": "${ok.by}", "price": "${b.price}"}),
    )
    world, journal = World(), MemoryJournal()
    assert ran(plan, world, journal=journal).state == "waiting"
    assert [name for name, _ in world.calls] == ["look", "look"]
    (asked,) = [one for one in journal.entries if one.kind == "waiting"]
    assert asked.body["question"] == "book I moan?"

    yes = past_of(journal.entries, {"ok": Decision(True, "Ann")})
    assert ran(plan, world, yes, journal=journal).value == {"by": "Ann", "price": 2.5}
    assert [name for name, _ in world.calls] == ["look", "look", "book"]

    no = past_of(journal.entries[:3], {"ok": Decision(False, "Ann", "too dear")})
    stopped = ran(plan, World(), no)
    assert (stopped.state, stopped.error) == ("failed", "Ann said no: too dear")


def test_a_no_lets_the_plan_go_on_where_it_says_so() -> None:
    step = {"do": "approve", "id": "ok", "question": "?", "go_on": True}
    past = Past(decisions={"ok": Decision(False)})
    assert ran(plan_of(step, answer("${ok.approved}")), World(), past).value is False


class Kept(MemoryJournal):
    """Refuses to go on after so many entries, as a process that was killed does."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def note(self, entry: Entry) -> None:
        if len(self.entries) >= self._most:
            raise StoreError("killed")
        super().note(entry)


LONG = plan_of(
    tool("a"),
    {
        "do": "map",
        "id": "each",
        "over": [1, 2, 3, 4],
        "steps": [tool("b", "book", {"id": "${item}"}), ask("said", "${b.price}")],
        "result": "${said}",
        "at_once": 2,
    },
    tool("s", "safe", {"id": 9}, after=["each"]),
    answer("${each}"),
)


@pytest.mark.parametrize("most", range(18))
def test_a_killed_run_goes_on_and_books_nothing_twice(most: int) -> None:
    world, journal = World(), Kept(most)
    first = ran(LONG, world, journal=journal)
    entries = journal.entries
    for _ in range(9):
        later = MemoryJournal()
        found = ran(LONG, world, past_of(entries), journal=later)
        entries = [*entries, *later.entries]
        if found.state != "stuck":
            break
        # Somebody looks, and says what it gave.
        entries.append(Entry("finished", found.step, {"value": {"price": 2.5}}))
    assert found.value == ["said"] * 4, first
    booked = [str(arguments) for name, arguments in world.calls if name == "book"]
    assert len(booked) == len(set(booked))
    looked = [name for name, _ in world.calls].count("safe")
    assert 1 <= looked <= 2, "what is done once by its key may be called again"
    assert len(set(world.keys)) <= 6


def test_a_call_whose_outcome_nobody_knows_stops_the_run_and_is_not_made_again() -> None:
    world = World(does={"book": lambda arguments: failed("the connection broke", unsure=True)})
    journal = MemoryJournal()
    plan = plan_of(tool("a", "book", retries=5), answer("${a}"))
    found = ran(plan, world, journal=journal)
    assert (found.state, found.step) == ("stuck", "a")
    assert len(world.calls) == 1
    assert ran(plan, world, past_of(journal.entries)).state == "stuck"
    assert len(world.calls) == 1


def test_a_call_that_is_done_once_by_its_key_is_made_again() -> None:
    calls: list[ToolResult] = [failed("broke", unsure=True), ToolResult("done")]
    world = World(does={"safe": lambda arguments: calls.pop(0)})
    assert ran(plan_of(tool("a", "safe", retries=1), answer("${a}")), world).value == "done"
    assert len(set(world.keys)) == 1


def test_a_cancelled_run_lets_a_change_end_and_writes_it_down() -> None:
    journal, world = MemoryJournal(), World(seconds=PAUSE)

    async def cancelled() -> None:
        plan = plan_of(tool("a", "book"), tool("b", "slow", {}), answer(["${a}", "${b}"]))
        task = asyncio.create_task(run(plan, world, journal=journal))
        await asyncio.sleep(PAUSE / 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert [(one.kind, one.step) for one in journal.entries] == [
        ("started", "a"),
        ("finished", "a"),
    ]


def test_a_failure_beside_a_change_waits_for_its_end() -> None:
    world = World(seconds=PAUSE, does={"look": lambda arguments: failed("gone")})
    journal = MemoryJournal()

    class Quick(World):
        async def use(self, tool: str, arguments: object, use: object) -> ToolResult:  # type: ignore[override]
            if tool == "look":
                return failed("gone")
            return await world.use(tool, arguments, use)  # type: ignore[arg-type]

    plan = plan_of(tool("a", "book"), tool("b"), answer(["${a}", "${b}"]))
    assert ran(plan, Quick(), journal=journal).error == "gone"
    assert ("finished", "a") in [(one.kind, one.step) for one in journal.entries]


def test_steps_that_are_still_coming_begin_unless_they_change_something() -> None:
    world, seen = World(), list[list[str]]()

    async def coming() -> AsyncIterator[Step]:
        for step in plan_of(
            tool("a"), tool("b", "book"), ask("c", "${a.price}"), answer("${b}")
        ).steps:
            yield step
            await asyncio.sleep(0.01)
            seen.append([name for name, _ in world.calls])

    async def streamed() -> Outcome:
        around = Around(run_id="run", hands=world, catalogue=CATALOGUE)
        return await run_plan(plan_of(), {}, around, coming=coming())

    assert asyncio.run(streamed()).state == "done"
    assert seen == [["look"], ["look"], ["look", "big"], ["look", "big"]]
    assert [name for name, _ in world.calls] == ["look", "big", "book"]


def test_results_of_before_are_known_under_a_root_of_their_own() -> None:
    async def replanned() -> Outcome:
        around = Around(run_id="run", hands=World(), catalogue=CATALOGUE, place="2:")
        plan = plan_of(answer("${done.a.price}"))
        return await run_plan(plan, {}, around, known={"done": {"a": {"price": 5}}})

    assert asyncio.run(replanned()).value == 5


def test_a_journal_that_fails_ends_the_run_before_anything_is_changed() -> None:
    class Full(NoJournal):
        async def kept(self) -> None:
            raise StoreError("the disk is full")

    world = World()
    found = ran(plan_of(tool("a", "book"), answer("${a}")), world, journal=Full())
    assert (found.state, found.error, world.calls) == ("failed", "the disk is full", [])


def test_what_stands_in_for_a_failed_step_knows_what_went_wrong() -> None:
    world = World(
        does={"look": lambda arguments: failed("no such order", "ask for the id")},
        says=lambda step: step.prompt,
    )
    told = "${error.step}: ${error.message}; ${error.hint}"
    for instead in ({"fallback": ask("b", told)}, {"otherwise": told}):
        found = ran(plan_of(tool("a", **instead), answer("${a}")), world)
        assert found.value == "a: no such order; ask for the id"
    again = Past(failed={"a": Failure("no such order", "ask for the id")})
    found = ran(plan_of(tool("a", otherwise=told), answer("${a}")), world, again)
    assert found.value == "a: no such order; ask for the id"


def test_an_answer_comes_with_its_receipt_where_that_is_asked_for() -> None:
    shape: Json = {"type": "object", "properties": {"n": {"type": "integer"}}}
    world = World(says=lambda step: '{"n": 3}')
    step = ask("a", output=shape, receipt=True)
    found = ran(plan_of(step, answer(["${a.value.n}", "${a.by}"])), world)
    assert found.value == [3, "big"]


def rounds(id: str, steps: list[dict[str, Json]], result: Json, at_most: int = 1_000) -> Json:
    """A loop that goes on for as long as it may."""
    never = [{"value": 1, "op": "equals", "than": 2}]
    told = {"do": "repeat", "id": id, "as": f"last_{id}", "at_most": at_most, "until": never}
    return {**told, "start": "ab", "steps": steps, "result": result}


@pytest.mark.parametrize("value", [["${last_r}"] * 2, "${last_r}${last_r}", {"a": "${last_r}"}])
def test_what_a_loop_doubles_in_each_round_ends_the_run_before_it_bursts(value: Json) -> None:
    done = ran(plan_of(rounds("r", [], value), answer("${r}")), World())
    assert (done.state, done.step) == ("failed", "r")
    assert "grew" in done.error


def test_what_steps_double_one_after_the_other_ends_the_run_before_it_bursts() -> None:
    steps = [answer(["${input}"], id="s0")]
    steps += [answer([f"${{s{at}}}"] * 4, id=f"s{at + 1}") for at in range(40)]
    done = ran(plan_of(*steps), World())
    assert done.state == "failed"
    assert "grew too large" in done.error


def test_loops_without_steps_in_them_leave_others_their_turn_and_end() -> None:
    inner = rounds("c", [], 1)
    plan = plan_of(rounds("a", [rounds("b", [inner], 1)], 1), answer("${a}"))  # type: ignore[list-item]
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> Outcome:
        other = asyncio.create_task(beside())
        try:
            return await run(plan, World(), limits=Limits(seconds=0.2))
        finally:
            other.cancel()

    assert asyncio.run(both()).state == "over budget"
    assert turns > 10


def test_the_rounds_of_a_run_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.planning.run._MOST_TURNS", 100)
    done = ran(plan_of(rounds("a", [], 1), answer("${a}")), World())
    assert (done.state, done.step) == ("over budget", "a")
    assert "rounds" in done.error


def test_waiting_for_money_that_others_hold_is_not_the_steps_own_time() -> None:
    dear = msgspec.structs.replace(CATALOGUE.tasks["intent"], cost=None)  # holds all there is
    catalogue = msgspec.structs.replace(CATALOGUE, tasks={"intent": dear})
    steps = [
        {"do": "ask", "id": f"a{at}", "task": "intent", "slots": {"text": "x"}, "timeout_s": 0.3}
        for at in range(8)
    ]
    found = ran(
        plan_of(*steps, answer("all")),
        World(says=lambda step: "buy", seconds=0.06),
        limits=Limits(usd=1),
        catalogue=catalogue,
    )
    assert (found.state, found.seconds > 0.4) == ("done", True)


def test_a_change_for_which_no_money_is_left_was_not_begun() -> None:
    journal = MemoryJournal()
    plan = plan_of(ask("a", max_tokens=1), tool("b", "book", after=["a"]), answer("${b}"))
    world = World()
    assert ran(plan, world, limits=Limits(usd=0.001), journal=journal).state == "over budget"
    past = past_of(journal.entries)
    assert (past.begun, [name for name, _ in world.calls]) == (frozenset(), ["big"])
    assert ran(plan, world, past, limits=Limits(usd=1)).state == "done"


def test_a_change_whose_turn_did_not_come_was_not_begun() -> None:
    journal = MemoryJournal()
    plan = plan_of(*[tool(f"b{at}", "book") for at in range(5)], answer(1, after=["b4"]))

    async def broken_off() -> None:
        limits = Limits(at_once=2)
        running = asyncio.create_task(
            run(plan, World(seconds=0.05), None, limits=limits, journal=journal)
        )
        await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(broken_off())
    begun = [entry.step for entry in journal.entries if entry.kind == "started"]
    assert (begun, past_of(journal.entries).begun) == (["b0", "b1"], frozenset())


def test_what_was_paid_before_a_run_stopped_is_written_down() -> None:
    journal = MemoryJournal()
    output: Json = {"type": "object"}
    plan = plan_of(ask("a", output=output, max_tokens=10, escalate=["huge"]), answer("${a}"))
    found = ran(plan, World(), limits=Limits(usd=0.001), journal=journal)
    assert (found.state, found.usd) == ("over budget", 0.001)
    assert past_of(journal.entries).usd == 0.001


def test_steps_of_before_count_where_a_run_goes_on() -> None:
    each: dict[str, Json] = {"do": "map", "id": "each", "over": [1, 2, 3], "result": 1}
    each["steps"] = [tool("t")]
    word: dict[str, Json] = {"do": "approve", "id": "word", "question": "?", "after": ["each"]}
    plan = plan_of(each, word, answer(1, after=["word"]))
    journal = MemoryJournal()
    assert ran(plan, World(), limits=Limits(steps=4), journal=journal).state == "waiting"
    past = past_of(journal.entries, {"word": Decision(True)})
    assert ran(plan, World(), past, limits=Limits(steps=4)).state == "over budget"
    found = ran(plan, World(), past, limits=Limits(steps=5))
    assert (found.state, found.steps) == ("done", 5)


def test_the_answer_reached_first_holds_when_a_run_goes_on_too() -> None:
    journal = MemoryJournal()
    late = answer("late", after=["a"]) | {"id": "late"}
    word: dict[str, Json] = {"do": "approve", "id": "word", "question": "?"}
    plan = plan_of(tool("a"), late, answer("early"), word)
    assert ran(plan, World(seconds=PAUSE), journal=journal).state == "waiting"
    assert ran(plan, World(), past_of(journal.entries, {"word": Decision(True)})).value == "early"


def test_a_run_without_a_time_limit_is_not_ended_at_once() -> None:
    assert ran(plan_of(answer(1)), World(), limits=Limits(seconds=0)).state == "done"


def test_tokens_are_held_back_for_calls_beside_each_other() -> None:
    now, most = 0, 0

    class Wide(World):
        async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
            nonlocal now, most
            now += 1
            most = max(most, now)
            assert left_tokens >= 1_000 + len("hello") + 200
            said = await super().ask(step, left_usd, left_tokens)
            now -= 1
            return said

    plan = plan_of(*[ask(f"a{at}", max_tokens=1_000) for at in range(9)], answer(1))
    assert ran(plan, Wide(seconds=0.001), limits=Limits(tokens=1_300)).state == "done"
    assert most == 1
    assert ran(plan, Wide(seconds=0.001), limits=Limits(tokens=9_999)).state == "done"
    assert most > 1
    found = ran(plan, Wide(), limits=Limits(tokens=1_250))
    assert (found.state, found.tokens <= 1_250) == ("over budget", True)
    assert "this call may take" in found.error


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 900))
def test_no_run_takes_more_tokens_than_its_budget(sizes: list[int], limit: int) -> None:
    """Whatever runs beside what, where every call takes all that it may."""

    class Greedy(World):
        async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
            await asyncio.sleep(0)
            size = len(step.prompt.encode()) + 200 + step.max_tokens
            return Said("x", by=step.model, tokens=size, cost=0.0)

    asks = [ask(f"a{at}", "é" * size, max_tokens=size) for at, size in enumerate(sizes)]
    found = ran(plan_of(*asks, answer(1)), Greedy(), limits=Limits(tokens=limit))
    assert found.tokens <= limit
    assert found.state in ("done", "over budget")
