"""A person's word before what a plan of a model's changes."""

from msgspec.structs import replace

from planning.test_planning_run import ran
from planning.worlds import CATALOGUE, World, answer, ask, plan_of, tool
from shoal.planning.checker import check
from shoal.planning.guarding import guarded, unguarded
from shoal.planning.journal import Decision, MemoryJournal, Past, past_of
from shoal.tools.tool import ToolSpec


def test_every_call_that_writes_waits_for_a_word_and_no_other() -> None:
    each = {
        "do": "map",
        "id": "each",
        "over": [1, 2],
        "steps": [tool("b", "book", {"id": "${item}"})],
        "result": "${b}",
    }
    plan = plan_of(
        tool("a"),
        tool("c", "look", fallback=tool("d", "safe", {"id": 7})),
        each,
        ask("e", "${a}"),
        answer(["${each}", "${c}", "${e}"]),
    )
    safe = guarded(plan, CATALOGUE.tools)
    assert unguarded(safe) == plan
    assert not check(safe, CATALOGUE).problems
    world, journal = World(), MemoryJournal()
    assert ran(safe, world, journal=journal).state == "waiting"
    assert "book" not in [name for name, _ in world.calls]
    asked = past_of(journal.entries).asked
    assert set(asked) == {"approve_d", "each[0].approve_b", "each[1].approve_b"}
    assert asked["each[1].approve_b"]["show"] == {"tool": "book", "arguments": {"id": 2}}

    yes = past_of(journal.entries, {place: Decision(True) for place in asked})
    assert ran(safe, world, yes).state == "done"
    assert [name for name, _ in world.calls].count("book") == 2


def test_a_no_ends_the_run_before_the_call() -> None:
    safe = guarded(plan_of(tool("a", "book"), answer("${a}")), CATALOGUE.tools)
    world = World()
    found = ran(safe, world, Past(decisions={"approve_a": Decision(False)}))
    assert found.state == "failed"
    assert world.calls == []


def test_ids_that_are_taken_are_left_alone() -> None:
    plan = plan_of(tool("a", "book"), tool("approve_a"), answer("${a}"))
    assert not check(guarded(plan, CATALOGUE.tools), CATALOGUE).problems


def test_a_tool_that_nobody_knows_counts_as_writing() -> None:
    plan = plan_of(tool("a", "unheard_of"), answer("${a}"))
    assert [step.id for step in guarded(plan, CATALOGUE.tools).steps] == ["approve_a", "a", "end"]


def test_a_call_in_place_of_another_that_names_what_went_wrong_is_guarded_too() -> None:
    instead = tool("b", "book", {"id": 7, "why": "${error.message} costs $${1}", "in": "${a}"})
    plan = plan_of(tool("a"), tool("c", fallback=instead), answer("${c}"))
    open_to_all = ToolSpec(name="book", description="books")
    catalogue = replace(CATALOGUE, tools={**CATALOGUE.tools, "book": open_to_all})
    safe = guarded(plan, catalogue.tools)
    assert not check(safe, catalogue).problems
    journal = MemoryJournal()
    assert ran(safe, World(), journal=journal, catalogue=catalogue).state == "waiting"
    shown = past_of(journal.entries).asked["approve_b"]["show"]
    found = {
        "id": 7,
        "why": "${error.message} costs $${1}",
        "in": {"price": 2.5, "names": ["a", "b"]},
    }
    assert shown == {"tool": "book", "arguments": found}


def test_a_long_id_leaves_room_for_the_word_before_it() -> None:
    plan = plan_of(tool("a" * 64, "book"), tool("a" * 63 + "b", "book"), answer(1))
    assert not check(guarded(plan, CATALOGUE.tools), CATALOGUE).problems


def test_words_that_are_the_plans_own_stay() -> None:
    own = {"do": "approve", "id": "approve_a", "question": "Is Ann there?"}
    plan = plan_of(own, tool("a", "book", after=["approve_a"]), answer("${a}"))
    assert unguarded(plan) == plan
    assert unguarded(guarded(plan, CATALOGUE.tools)) == plan


def test_in_branches_and_fallbacks_too() -> None:
    arm = {"when": [{"value": 1, "op": "equals", "than": 1}], "steps": [tool("x", "book")]}
    other = {"steps": [tool("y", fallback=tool("z", "book"))], "result": 1}
    branch = {"do": "branch", "id": "b", "arms": [arm | {"result": "${x}"}], "else": other}
    plan = plan_of(branch, answer("${b}"))
    safe = guarded(plan, CATALOGUE.tools)
    assert safe != plan
    assert unguarded(safe) == plan
