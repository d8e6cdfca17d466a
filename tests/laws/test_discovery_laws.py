"""Laws of discovery: order and path do not matter, memory is bounded, people's word stays."""

from collections import defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.chat import Answer, Message, Request
from shoal.tasks import Condition, Discovery, DiscoveryOptions, ObservedCall, Task, discover, edits
from shoal.tasks.discovery import sample_sizes
from shoal.tasks.edits import Edit

INSTRUCTIONS = (
    "Name the colour in the text. One word.\nText: ",
    "Is the text below polite? Answer yes or no.\nText: ",
    "Count the animals in the text and give the number.\nText: ",
)
NOUNS = ("river", "bicycle", "lamp", "window", "garden", "ticket", "teapot", "ladder", "coat")
OPTIONS = DiscoveryOptions(min_calls=10)


def calls_of(kinds: int, number: int, seed: int) -> list[ObservedCall]:
    """``number`` calls of each of some kinds, with distinct inputs."""
    rng = Random(seed)
    made = []
    for kind in range(kinds):
        for i in range(number):
            said = f"{' '.join(rng.sample(NOUNS, 4))} {i}"
            answer = (
                rng.choice(("red", "blue")),
                rng.choice(("yes", "no")),
                str(rng.randint(0, 40)),
            )
            request = Request("gpt", (Message("user", INSTRUCTIONS[kind] + said),))
            made.append(ObservedCall(f"{kind}/{i}", request, Answer(answer[kind])))
    return made


def samples_of(calls: list[ObservedCall], found: Discovery) -> dict[str, list[ObservedCall]]:
    samples: dict[str, list[ObservedCall]] = defaultdict(list)
    for call in calls:
        if call.id in found.assignments:
            samples[found.assignments[call.id]].append(call)
    return samples


def templates_of(tasks: tuple[Task, ...]) -> set[object]:
    return {template for task in tasks for template in task.templates}


@given(st.integers(1, 3), st.integers(10, 25), st.integers(0, 50), st.randoms())
@settings(deadline=None, max_examples=20)
def test_the_order_of_calls_does_not_matter(
    kinds: int, number: int, seed: int, random: Random
) -> None:
    calls = calls_of(kinds, number, seed)
    found = discover(calls, options=OPTIONS)
    random.shuffle(calls)
    assert discover(calls, options=OPTIONS) == found
    assert len(found.tasks) == kinds


@given(st.integers(1, 3), st.integers(20, 40), st.integers(0, 50), st.randoms())
@settings(deadline=None, max_examples=20)
def test_tasks_drawn_anew_are_those_of_all_calls_at_once(
    kinds: int, number: int, seed: int, random: Random
) -> None:
    """Whatever came first, and whatever was made of it."""
    calls = calls_of(kinds, number, seed)
    at_once = discover(calls, options=OPTIONS)
    random.shuffle(calls)
    half = len(calls) // 2
    early = discover(calls[:half], options=OPTIONS)
    waiting = [c for c in calls if c.id not in early.assignments]
    samples = samples_of(calls, early)
    later = discover(waiting, early.tasks, OPTIONS, samples)
    tasks = {task.id: task for task in (*early.tasks, *later.tasks)}
    for gone in later.removed:
        del tasks[gone]
    assert templates_of(tuple(tasks.values())) == templates_of(at_once.tasks)


@given(st.integers(0, 30), st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_no_more_calls_are_held_than_allowed(most: int, seed: int) -> None:
    calls = calls_of(3, 15, seed)
    found = discover(iter(calls), options=DiscoveryOptions(min_calls=10, max_calls=most))
    assert found == discover(calls[:most], options=OPTIONS)


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 10**6)), st.integers(0, 10**5))
def test_samples_are_bounded_in_all(volumes: dict[str, int], most: int) -> None:
    sizes = sample_sizes(volumes, most)
    assert sizes.keys() == volumes.keys()
    assert all(0 <= size <= volumes[task] for task, size in sizes.items())
    assert sum(sizes.values()) == min(most, sum(volumes.values()))


def edit_of(kind: str, tasks: list[Task]) -> Edit:
    first, second = tasks[:2]
    match kind:
        case "rename":
            return edits.rename(tasks, first.name, "my own name")
        case "pin":
            return edits.pin(tasks, first.name)
        case "ignore":
            return edits.ignore(tasks, first.name)
        case "split":
            return edits.split(tasks, first.name, "part", Condition(contains="river"))
        case _:
            return edits.merge(tasks, (first.name, second.name))


@given(
    st.sampled_from(["rename", "pin", "ignore", "split", "merge"]),
    st.integers(0, 50),
    st.randoms(),
)
@settings(deadline=None, max_examples=30)
def test_what_people_said_of_a_task_stays(kind: str, seed: int, random: Random) -> None:
    yes_or_no = (Answer("yes"), Answer("no"))  # of one form, so that they can be merged
    alike = [
        ObservedCall(c.id, c.request, yes_or_no[i % 2]) for i, c in enumerate(calls_of(2, 40, seed))
    ]
    early = discover(alike[:20] + alike[40:60], options=OPTIONS)
    tasks = {task.id: task for task in early.tasks}
    edit = edit_of(kind, sorted(early.tasks, key=lambda task: task.id))
    tasks |= {task.id: task for task in edit.changed}
    for gone in edit.removed:
        del tasks[gone]
    untouched = {task for task in tasks if task not in {t.id for t in edit.changed}}
    random.shuffle(alike)
    samples = {t: s for t, s in samples_of(alike, early).items() if t in untouched}
    sampled = {call.id for sample in samples.values() for call in sample}
    later = discover(
        [c for c in alike if c.id not in sampled], list(tasks.values()), OPTIONS, samples
    )
    after = tasks | {task.id: task for task in later.tasks}
    for task in edit.changed:
        assert task.id not in later.removed
        if task.pinned or task.ignored:
            assert after[task.id] == task
        assert after[task.id].name == task.name
        assert after[task.id].templates == task.templates
