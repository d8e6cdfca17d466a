"""People's corrections, and that they win over discovery."""

from collections.abc import Callable

import pytest
import recurring

from shoal.errors import NotFound, RequestError
from shoal.tasks import Condition, LabelContract, Matcher, Task, TextContract, discover
from shoal.tasks.edits import Edit, find_task, ignore, merge, pin, rename, split
from shoal.tasks.template import Pattern, Template


def task(name: str, *labels: str, slots: tuple[str, ...] = ("message",)) -> Task:
    template = Template("s", (Pattern("user", (name, *[""] * len(slots))),), slots)
    return Task(
        f"id-{name}", name, (template,), LabelContract(labels) if labels else TextContract()
    )


TASKS = (task("mood", "good", "bad"), task("tone", "good", "ugly"), task("reply"))


def test_tasks_are_found_by_name_or_id() -> None:
    assert find_task(TASKS, "mood") is find_task(TASKS, "id-mood")
    with pytest.raises(NotFound, match="no task named 'mud'; tasks: mood, reply, tone"):
        find_task(TASKS, "mud")


def test_rename_pin_and_ignore() -> None:
    (renamed,) = rename(TASKS, "mood", "feeling").changed
    assert (renamed.id, renamed.name, renamed.named) == ("id-mood", "feeling", True)
    assert pin(TASKS, "mood").changed[0].pinned
    assert not pin([renamed], "feeling", pinned=False).changed[0].pinned
    assert ignore(TASKS, "mood").changed[0].ignored
    assert rename(TASKS, "mood", "mood").changed[0].name == "mood"


def test_split_makes_a_pinned_part_with_one_more_condition() -> None:
    condition = Condition("message", equals="hello")
    whole, part = split(TASKS, "mood", "greetings", condition).changed
    assert (whole.id, whole.conditions) == ("id-mood", ())
    assert (part.name, part.conditions) == ("greetings", (condition,))
    assert whole.pinned
    assert part.pinned
    again = split([whole, part], "greetings", "deeper", Condition(contains="x")).changed[1]
    assert again.conditions == (condition, Condition(contains="x"))


def test_merge_unites_templates_and_labels() -> None:
    edit = merge(TASKS, ["mood", "tone"])
    (merged,) = edit.changed
    assert edit.removed == ("id-tone",)
    assert (merged.id, merged.name, merged.pinned) == ("id-mood", "mood", True)
    assert merged.contract == LabelContract(("good", "bad", "ugly"))
    assert len(merged.templates) == 2


def test_merging_a_split_part_back_restores_the_task() -> None:
    whole, part = split(TASKS, "mood", "part", Condition(contains="x")).changed
    for names in (["mood", "part"], ["part", "mood"]):
        (merged,) = merge([whole, part], names).changed
        assert merged.conditions == ()
        assert merged.templates == whole.templates


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda: rename(TASKS, "mood", "tone"), RequestError, "'tone' is taken"),
        (lambda: rename(TASKS, "mood", "id-tone"), RequestError, "taken"),
        (lambda: rename(TASKS, "mood", ""), RequestError, "'' is no task name"),
        (lambda: rename(TASKS, "mood", "a/b"), RequestError, "'a/b' is no task name"),
        (lambda: rename(TASKS, "mud", "x"), NotFound, "no task named"),
        (lambda: merge(TASKS, ["mood"]), RequestError, "at least two"),
        (lambda: merge(TASKS, ["mood", "id-mood"]), RequestError, "at least two"),
        (lambda: merge(TASKS, ["mood", "reply"]), RequestError, "different form .label and text."),
        (lambda: split(TASKS, "mood", "x", Condition()), RequestError, "either"),
        (lambda: split(TASKS, "mood", "x", Condition("no", "y")), RequestError, "no slot 'no'"),
        (lambda: split(TASKS, "mood", "tone", Condition("", "y")), RequestError, "taken"),
    ],
)
def test_corrections_that_make_no_sense_are_refused(
    edit: Callable[[], Edit], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        edit()


def test_the_same_split_twice_and_unlike_conditions_are_refused() -> None:
    condition = Condition(contains="x")
    tasks = split(TASKS, "mood", "part", condition).changed
    with pytest.raises(RequestError, match="split by this condition before"):
        split(tasks, "mood", "other", condition)
    more = split(tasks, "mood", "else", Condition(contains="y")).changed
    with pytest.raises(RequestError, match="different conditions"):
        merge([*tasks, more[1]], ["part", "else"])


def test_corrections_win_over_discovery() -> None:
    calls = recurring.observed(list(recurring.variants(40)))
    found = list(discover(calls).tasks)
    by_name = {t.name: t for t in found}
    edited = pin(found, "money").changed
    edited += split(found, "department", "with order", Condition(contains="order")).changed
    edited += merge(found, ["sentiment", "sentiment-2"]).changed
    edited += ignore(found, "translation").changed
    changed = {t.id: t for t in edited}
    gone = by_name["sentiment-2"].id
    tasks = [changed.pop(t.id, t) for t in found if t.id != gone] + list(changed.values())
    again = discover(calls, tasks)
    assert {task.id for task in again.tasks} <= {task.id for task in found} - {t.id for t in edited}
    assert gone not in again.assignments.values()
    names = {Matcher(tasks).find(c.request).task.name for c in calls}  # type: ignore[union-attr]
    assert {"money", "with order", "sentiment", "translation"} <= names
