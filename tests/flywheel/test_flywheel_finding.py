"""Finding: calls of no task become tasks, and a person's word on a task stays."""

import time
from collections.abc import Callable, Iterable, Sequence

import pytest
from msgspec.structs import replace
from parcel_office import (
    CONTENTS,
    CONTRACT,
    DESKS,
    SYSTEM,
    TASK,
    add_calls,
    add_certificate,
    add_task,
    desk_of,
    fill,
    kinds,
    make_call,
    make_certificate,
    make_task,
    request_of,
    stored_task,
)

from shoal.chat import Answer, Message, Request
from shoal.errors import StoreDamaged
from shoal.flywheel import finding
from shoal.flywheel.finding import Finder, Found, known_tasks, revise
from shoal.flywheel.promotion import promote
from shoal.storage import CallFilter, Store, TaskRow
from shoal.tasks import Discovery, DiscoveryOptions, LabelContract, ObservedCall, Task, TextContract
from shoal.tasks.discovery import Samples
from shoal.tasks.template import Pattern, Template, skeleton_of


def unassigned(store: Store, numbers: Iterable[int], **fields: object) -> None:
    add_calls(store, (make_call(number, **fields) for number in numbers))


def tasks_of(store: Store) -> set[str]:
    return {call.task for call in store.calls.list(CallFilter(limit=1_000))}


def numbered_system(store: Store, numbers: Iterable[int]) -> None:
    """The same prompt with a date in it that changes from call to call."""
    for number in numbers:
        system = f"{SYSTEM} Today is the {number % 28 + 1}. of May."
        unassigned(store, [number], request=request_of(number, system))


def test_a_store_without_calls_has_nothing_to_find(store: Store) -> None:
    assert Finder(store, 20).look() == Found((), (), 0)


def test_what_recurs_becomes_a_task(store: Store) -> None:
    unassigned(store, range(60))
    found = Finder(store, 20).look()
    (task,) = found.new
    assert (found.changed, found.assigned) == ((), 60)
    assert isinstance(task.contract, LabelContract)
    assert sorted(task.contract.labels) == sorted(DESKS)
    assert known_tasks(store) == [task]
    assert tasks_of(store) == {task.id}
    assert kinds(store, task) == ["discovered"]


def test_few_calls_wait_until_there_are_enough(store: Store) -> None:
    finder = Finder(store, 20)
    unassigned(store, range(19))
    assert finder.look() == Found((), (), 0)
    unassigned(store, range(19, 40))
    assert len(finder.look().new) == 1
    assert tasks_of(store) == {known_tasks(store)[0].id}


def test_what_failed_or_broke_off_is_not_looked_at(store: Store) -> None:
    unassigned(store, range(15))
    unassigned(store, range(15, 30), answer=Answer("gar", complete=False))
    unassigned(store, range(30, 45), answer=None, error="the upstream timed out")
    assert Finder(store, 20).look() == Found((), (), 0)
    assert tasks_of(store) == {""}


def test_nothing_is_found_in_calls_of_shoals_own_models(store: Store) -> None:
    unassigned(store, range(60), llm="shoal/ask:handbook")
    assert Finder(store, 20).look() == Found((), (), 0)


def test_what_a_known_task_recognises_is_assigned_at_once(store: Store) -> None:
    add_task(store)
    unassigned(store, range(3))
    assert Finder(store, 20).look() == Found((), (), 3)
    assert tasks_of(store) == {TASK.id}
    assert kinds(store) == []


def test_calls_are_read_once(store: Store) -> None:
    add_task(store)
    unassigned(store, range(3))
    finder = Finder(store, 20)
    finder.look()
    assert finder.look() == Found((), (), 0)
    unassigned(store, range(3, 5))
    assert finder.look().assigned == 2


def test_more_calls_than_a_page_are_all_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_PAGE", 16)
    unassigned(store, range(64))
    assert Finder(store, 20).look().assigned == 64


def test_it_does_not_look_again_until_enough_is_new(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def nothing(
        calls: Sequence[ObservedCall],
        known: Sequence[Task],
        options: DiscoveryOptions,
        samples: Samples,
    ) -> Discovery:
        looked.append(len(calls))
        return Discovery((), {})

    monkeypatch.setattr(finding, "discover", nothing)
    finder = Finder(store, 20)
    for last in (30, 45, 49, 50, 69, 70):
        unassigned(store, range(len_of(store), last))
        finder.look()
    assert looked == [30, 50, 70]


def len_of(store: Store) -> int:
    return len(store.calls.list(CallFilter(limit=1_000)))


def test_a_widened_task_goes_back_to_observing(store: Store) -> None:
    """The prompt gets a date, and is still the same task; its certificate knew no such calls."""
    dated = f"{SYSTEM} Today is the 1. of May."
    pattern = replace(TASK.templates[0].patterns[0], literals=(dated,))
    template = replace(TASK.templates[0], patterns=(pattern, TASK.templates[0].patterns[1]))
    task = make_task(templates=(template,))
    add_task(store, task)
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "person", "")
    numbered_system(store, range(1, 28))
    numbered_system(store, range(29, 56))
    found = Finder(store, 20).look()
    assert [changed.id for changed in found.changed] == [TASK.id]
    assert found.new == ()
    assert kinds(store) == ["promoted", "widened"]
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "observe"
    assert tasks_of(store) == {TASK.id}


def test_a_contract_is_revised_in_the_light_of_more_answers(store: Store) -> None:
    early = make_task(contract=LabelContract(("garden", "kitchen")))
    fill(store, range(90), early)
    revised = revise(store, early)
    assert isinstance(revised.contract, LabelContract)
    assert set(revised.contract.labels) == set(DESKS)
    assert stored_task(store) == revised
    assert kinds(store) == ["revised"]
    assert revise(store, revised) == revised
    assert kinds(store) == ["revised"]


def test_what_was_taken_for_text_becomes_labels(store: Store) -> None:
    early = make_task(contract=TextContract())
    fill(store, range(120), early)
    contract = revise(store, early).contract
    assert isinstance(contract, LabelContract)
    assert set(contract.labels) == set(DESKS)


def test_a_revised_contract_does_not_take_the_task_back(store: Store) -> None:
    """The calls are the same as before: what was promised of them holds."""
    early = make_task(contract=LabelContract(("garden", "kitchen")))
    fill(store, range(90), early)
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "person", "")
    revise(store, early)
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "serve"


@pytest.mark.parametrize("mark", [{"pinned": True}, {"ignored": True}])
def test_pinned_and_ignored_tasks_stay_as_they_are(store: Store, mark: dict[str, bool]) -> None:
    early = make_task(contract=LabelContract(("garden", "kitchen")), **mark)
    fill(store, range(90), early)
    assert revise(store, early) == early
    assert kinds(store) == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda task: replace(task, name="parcels", named=True),
        lambda task: replace(task, pinned=True),
        lambda task: replace(task, contract=LabelContract(DESKS, prefix="Desk: ")),
    ],
)
def test_a_persons_edit_meanwhile_wins(store: Store, edit: Callable[[Task], Task]) -> None:
    early = make_task(contract=LabelContract(("garden", "kitchen")))
    fill(store, range(90), early)
    edited = edit(early)
    add_task(store, edited)
    assert revise(store, early) == early  # what the learner held goes on for this turn
    assert stored_task(store) == edited
    assert kinds(store) == []


def test_a_task_removed_meanwhile_stays_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was merged into another while discovery ran: calls are not given to what is gone."""
    add_task(store, make_task(contract=LabelContract(("garden", "kitchen"))))
    unassigned(store, range(60), request=stray())

    def meanwhile(
        calls: Sequence[ObservedCall],
        known: Sequence[Task],
        options: DiscoveryOptions,
        samples: Samples,
    ) -> Discovery:
        (task,) = known
        with store.database.transaction() as conn:
            store.tasks.delete(conn, task.id)
        changed = replace(task, contract=CONTRACT)
        return Discovery((changed,), {call.id: task.id for call in calls})

    monkeypatch.setattr(finding, "discover", meanwhile)
    Finder(store, 20).look()
    assert known_tasks(store) == []
    assert tasks_of(store) == {""}


def stray() -> Request:
    return Request("gpt", (Message("system", "Another prompt."), Message("user", "Hello")))


def test_two_kinds_of_call_are_two_tasks(store: Store) -> None:
    other = "Is this message polite? Answer yes or no."
    unassigned(store, range(60))
    for number in range(100, 160):
        answer = Answer("yes" if desk_of(number) == "music" else "no")
        unassigned(store, [number], request=request_of(number, other), answer=answer)
    found = Finder(store, 20).look()
    assert len(found.new) == 2
    assert found.assigned == 120
    labels = {frozenset(task.contract.labels) for task in found.new}  # type: ignore[union-attr]
    assert labels == {frozenset(CONTENTS), frozenset(("yes", "no"))}


def test_a_task_that_cannot_be_read_is_said_to_be_damaged(store: Store) -> None:
    now = time.time()
    row = TaskRow(id="t-1", name="odd", spec=b'{"id": 3}', created_at=now, updated_at=now)
    with store.database.transaction() as conn:
        store.tasks.put(conn, row)
    with pytest.raises(StoreDamaged, match=r"left as it is|left as it was"):
        known_tasks(store)


OTHERS = {
    "garden": "Name the plant in the message. One word.",
    "kitchen": "Name the dish in the message. One word.",
}


def step_by_step(number: int, what: str) -> Request:
    message = f"{number * 7919 % 1009} {what} things came by post."
    text = f"{OTHERS[what]}\n{message}\nLet's think step by step."
    return Request("gpt", (Message("user", text),))


def coarse_task(**marks: bool) -> Task:
    """What was taken for one task when little had been seen."""
    pattern = Pattern("user", ("", "\nLet's think step by step."))
    request = step_by_step(0, "garden")
    template = Template(skeleton_of(request), (pattern,), ("message",))
    return make_task(templates=(template,), contract=TextContract(), **marks)


def record_coarse(store: Store) -> None:
    for number in range(140):
        what = "garden" if number % 2 else "kitchen"
        answer = Answer(f"It is about {what} number {number}.")
        unassigned(store, [number], request=step_by_step(number, what), answer=answer)


def test_a_task_that_holds_two_is_drawn_anew(store: Store) -> None:
    add_task(store, coarse_task())
    record_coarse(store)
    Finder(store, 20).look()
    literals = {
        task.templates[0].patterns[0].literals[0].partition("\n")[0] for task in known_tasks(store)
    }
    assert literals == set(OTHERS.values())
    calls = store.calls.list(CallFilter(limit=1_000))
    by_task = {task.id: task for task in known_tasks(store)}
    assert {call.task for call in calls} == by_task.keys()
    for call in calls:
        assert by_task[call.task].templates[0].match(call.request) is not None


@pytest.mark.parametrize("mark", ["pinned", "ignored", "named"])
def test_what_a_person_touched_is_never_drawn_anew(store: Store, mark: str) -> None:
    task = coarse_task(**{mark: True})
    add_task(store, task)
    record_coarse(store)
    Finder(store, 20).look()
    assert known_tasks(store) == [task]
    assert tasks_of(store) == {task.id}


def test_what_stands_is_never_drawn_anew(store: Store) -> None:
    task = coarse_task()
    add_task(store, task)
    add_certificate(store, make_certificate())
    record_coarse(store)
    Finder(store, 20).look()
    assert tasks_of(store) == {task.id}


def test_what_waits_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_POOL", 50)
    finder = Finder(store, 20)
    for number in range(200):
        request = Request("gpt", (Message("user", f"{number * 7919 % 1009}"),))
        unassigned(store, [number], request=request)
    finder.look()
    assert len(finder._pool) == 50
