"""Discovery on calls whose templates are known to the test only."""

import json
import time
from collections import Counter

import msgspec
import pytest
import recurring
from recurring import chatter, composition, conversations, observed, variants

from shoal.tasks import (
    Discovery,
    DiscoveryOptions,
    FieldsContract,
    LabelContract,
    Matcher,
    ObservedCall,
    Task,
    TextContract,
    discover,
)

WITHOUT_NOISE = 15


@pytest.fixture(scope="module")
def mixed() -> tuple[list[recurring.Labelled], Discovery]:
    calls = [*variants(120), *conversations(50)]
    return calls, discover(observed(calls, seed=1))


def by_template(calls: list[recurring.Labelled], found: Discovery) -> dict[str, Task]:
    tasks = {task.id: task for task in found.tasks}
    first = {name: found.assignments[call.id] for name, call in calls}
    return {name: tasks[identity] for name, identity in first.items()}


def test_each_shape_of_prompt_is_one_task(
    mixed: tuple[list[recurring.Labelled], Discovery],
) -> None:
    calls, found = mixed
    composed = composition(calls, found)
    assert "" not in composed
    assert all(len(names) == 1 for names in composed.values())
    assert len(composed) == len({name for name, _ in calls}) == WITHOUT_NOISE + 1


@pytest.mark.parametrize("number", [4, 12, 22, 45])
def test_few_calls_are_left_alone_rather_than_mixed(number: int) -> None:
    calls = list(variants(number))
    composed = composition(calls, discover(observed(calls, seed=number)))
    assert all(len(names) == 1 for task, names in composed.items() if task)
    tasks = len(composed.keys() - {""})
    assert tasks == 0 if number < 20 else tasks >= WITHOUT_NOISE - 2


@pytest.mark.parametrize(
    ("name", "slots", "literals"),
    [
        ("input in the middle", ("message",), ("Here is a message:\n\n", "\n\nHow urgent is it? ")),
        ("input at the start", ("message",), ("", "\n\nIs the message above about money? ")),
        ("tags", ("ticket",), ("<task>Pick the department.</task>\n<ticket>", "</ticket>")),
        ("two slots", ("first", "second"), ("Compare the messages.\nFirst: ", "\nSecond: ", "\n")),
        ("JSON prompt", ("message",), ('{"instruction": "Extract the fields as JSON", ', '"}')),
        ("quotes", ("message",), ('Translate "', '" into German.')),
        ("date in system", ("date", "message"), ("", "")),
    ],
)
def test_slots_are_where_the_input_is(
    mixed: tuple[list[recurring.Labelled], Discovery],
    name: str,
    slots: tuple[str, ...],
    literals: tuple[str, ...],
) -> None:
    template = by_template(*mixed)[name].templates[0]
    assert template.slots == slots
    found = template.patterns[-1].literals
    assert len(found) == len(literals)
    assert all(text.startswith(start) for text, start in zip(found, literals, strict=True))


def test_contracts_are_inferred(mixed: tuple[list[recurring.Labelled], Discovery]) -> None:
    tasks = by_template(*mixed)
    labels = {name: t.contract.labels for name, t in tasks.items() if hasattr(t.contract, "labels")}
    assert labels["input at the start"] == ("yes", "no")
    assert labels["persona only"] == ("negative", "neutral", "positive")
    assert labels["date in system"] == ("negative", "neutral", "positive")
    assert labels["input in the middle"] == ("low", "normal", "high")
    assert isinstance(tasks["tags"].contract, LabelContract)
    assert isinstance(tasks["JSON prompt"].contract, FieldsContract)
    assert {f.kind for f in tasks["JSON prompt"].contract.fields} == {"span"}
    assert isinstance(tasks["prefilled"].contract, FieldsContract)
    for name in ("quotes", "one word", "conversation"):
        assert tasks[name].contract == TextContract()


def test_names_are_readable_and_unique(
    mixed: tuple[list[recurring.Labelled], Discovery],
) -> None:
    tasks = by_template(*mixed)
    names = {name: task.name for name, task in tasks.items()}
    assert names["input at the start"] == "money"
    assert names["tags"] == "department"
    assert names["quotes"] == "translation"
    assert names["one word"] == "summary"
    assert names["prefilled"] == "urgency-sentiment"
    assert len(set(names.values())) == len(names)


def test_a_growing_conversation_is_one_task_of_any_length(
    mixed: tuple[list[recurring.Labelled], Discovery],
) -> None:
    template = by_template(*mixed)["conversation"].templates[0]
    assert template.continues
    assert template.slots == ("message", "conversation")


def test_an_agents_steps_are_tasks_by_what_they_come_after() -> None:
    calls = [*recurring.agent_calls(), *variants(30)]
    composed = composition(calls, discover(observed(calls)))
    assert all(len(names) == 1 for task, names in composed.items() if task)
    of_agent = Counter(name for name, _ in calls if name.startswith("agent"))
    found = Counter(
        {name: n for task, names in composed.items() if task for name, n in names.items()}
    )
    assert found["agent after user"] == of_agent["agent after user"]
    assert sum(found[name] for name in of_agent) > 0.9 * of_agent.total()


@pytest.mark.parametrize("system", ["", "You are a helpful assistant."])
@pytest.mark.parametrize(
    "source", ["intents/banking77_train.jsonl.gz", "intents/clinc150.jsonl.gz"]
)
def test_chatter_stays_unassigned(source: str, system: str) -> None:
    texts = [row["text"] for row in recurring.data(source)]
    for number in (60, 500, 1500):
        calls = list(chatter(texts[:number], system))
        assert discover(observed(calls)) == Discovery((), {})


def test_chatter_does_not_disturb_tasks(
    mixed: tuple[list[recurring.Labelled], Discovery],
) -> None:
    texts = [row["message"] for row in recurring.shop()[500:1000]]
    noise = list(chatter(texts))
    calls, alone = mixed
    found = discover(observed([*calls, *noise], seed=2))
    assert {task.id for task in found.tasks} == {task.id for task in alone.tasks}
    assert not {call.id for _, call in noise} & found.assignments.keys()


def test_order_of_calls_does_not_matter(
    mixed: tuple[list[recurring.Labelled], Discovery],
) -> None:
    calls, found = mixed
    for seed in (3, 4):
        again = discover(observed(calls, seed))
        assert again.tasks == found.tasks
        assert again.assignments == found.assignments


def test_repeated_requests_are_not_evidence() -> None:
    _, one = recurring.call("dup", 0, [("user", "Give me the status of the support desk now.")], "")
    calls = [msgspec.structs.replace(one, id=str(i)) for i in range(100)]
    assert discover(calls) == Discovery((), {})


def test_known_tasks_keep_id_and_name_as_calls_arrive() -> None:
    calls = observed(list(variants(200)), seed=5)
    known: dict[str, Task] = {}
    waiting: list[ObservedCall] = []
    for start in range(0, len(calls), 300):
        waiting += calls[start : start + 300]
        found = discover(waiting, list(known.values()))
        for task in found.tasks:
            assert task.id not in known or known[task.id].name == task.name
            known[task.id] = task
        waiting = [call for call in waiting if call.id not in found.assignments]
    matcher = Matcher(known.values())
    matched = [(call.id.split("/")[0], matcher.match(call.request)) for call in calls]
    assert all(match for _, match in matched)
    assert len({(name, match.task.id) for name, match in matched if match}) == WITHOUT_NOISE


def test_a_new_day_widens_the_task_of_yesterday() -> None:
    def day(date: str, start: int) -> list[ObservedCall]:
        rows = recurring.shop()[start : start + 30]
        head = ("system", f"You answer for the shop of the penguins. Today is {date}. Be kind.")
        said = [[head, ("user", row["message"])] for row in rows]
        calls = [recurring.call("day", start + i, m, f"Hi {start + i}") for i, m in enumerate(said)]
        return observed(calls)

    first = discover(day("2026-11-21", 0))
    second = discover(day("2026-11-22", 30), first.tasks)
    assert [task.id for task in second.tasks] == [task.id for task in first.tasks]
    third = discover(day("2026-11-23", 60), second.tasks)
    assert set(third.assignments.values()) == {first.tasks[0].id}
    assert third.tasks == ()


def test_a_literal_that_was_too_long_is_shortened() -> None:
    rows = recurring.shop()
    starting = [f"Label the tone.\nText: I am very, very {row['message']}" for row in rows[:30]]
    others = [f"Label the tone.\nText: {row['message']}" for row in rows[30:90]]
    calls = [
        recurring.call("tone", i, [("user", text)], ("kind", "rude")[i % 2])[1]
        for i, text in enumerate(starting + others)
    ]
    early = discover(calls[:30])
    later = discover(calls[30:], early.tasks)
    assert early.tasks[0].templates[0].patterns[0].literals[0].startswith("Label the tone.\nText: ")
    assert [task.id for task in later.tasks or early.tasks] == [early.tasks[0].id]
    assert Matcher(later.tasks or early.tasks).match(calls[50].request) is not None


def test_pinned_and_ignored_tasks_are_never_changed() -> None:
    calls = observed(list(variants(60)))
    found = discover(calls)
    frozen = [
        msgspec.structs.replace(
            task, contract=TextContract(), pinned=bool(i % 2), ignored=not i % 2
        )
        for i, task in enumerate(found.tasks)
    ]
    again = discover(calls, frozen)
    assert again.tasks == ()
    assert again.assignments == found.assignments


def test_fewer_calls_than_needed_make_no_task() -> None:
    calls = observed(list(variants(30)))
    assert len(discover(calls, options=DiscoveryOptions(min_calls=30)).tasks) >= WITHOUT_NOISE - 2
    assert discover(calls, options=DiscoveryOptions(min_calls=31)).tasks == ()
    few = discover(calls, options=DiscoveryOptions(max_calls=15))
    assert few.tasks == ()


def test_the_support_desk_is_three_tasks() -> None:
    rows = recurring.data("support_desk/calls.jsonl.gz")[:400]
    intents = json.loads((recurring.DATA / "support_desk/intents.json").read_text())
    desk = "You work at the support desk of a bank."
    prompts = {
        "intent": f"{desk} Classify the message as one of: {', '.join(intents)}. Only the intent.",
        "triage": f"{desk} Reply with urgency, sentiment and action as JSON.",
        "entities": f"{desk} Copy amount, country, currency, merchant and so on as JSON.",
    }
    calls = []
    for i, row in enumerate(rows):
        llm = row["llm"]
        triage = {key: llm[key] for key in ("urgency", "sentiment", "action")}
        answers = llm["intent"], json.dumps(triage), json.dumps(llm["entities"])
        for (name, prompt), answer in zip(prompts.items(), answers, strict=True):
            messages = [("system", prompt), ("user", row["message"])]
            calls.append(recurring.call(name, i, messages, answer))
    tasks = by_template(calls, discover(observed(calls, seed=6)))
    assert tasks["intent"].name == "intent"
    assert isinstance(tasks["intent"].contract, LabelContract)
    assert set(tasks["intent"].contract.labels) == set(intents)
    assert tasks["triage"].name == "urgency-sentiment-action"
    assert isinstance(tasks["entities"].contract, FieldsContract)
    assert {field.kind for field in tasks["entities"].contract.fields} == {"span"}


def test_discovery_is_quick() -> None:
    calls = observed(list(variants(300)))
    started = time.process_time()
    discover(calls)
    assert time.process_time() - started < 4  # 4,500 calls; measured 1 s


@pytest.mark.parametrize("filler", ["a", " ", "\n", "1", "@", "[", "<", '"', "a:", "`", "{", "é "])
def test_no_text_makes_discovery_slow(filler: str) -> None:
    bulk = filler * (100_000 // len(filler))
    calls = [
        recurring.call("bulk", i, [("user", f"Read: {bulk}{i}\nEnd")], f"{bulk[:5000]}{i}")[1]
        for i in range(21)
    ]
    started = time.process_time()
    found = discover(calls)
    assert len(found.tasks) <= 1
    assert time.process_time() - started < 3
