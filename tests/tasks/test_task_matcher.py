"""Which task a request belongs to, and how quickly that is told."""

import random
import time

import msgspec
import pytest

from shoal.chat import Message, Request
from shoal.tasks import Condition, Matcher, Task, TextContract
from shoal.tasks.template import Pattern, Template, skeleton_of


def request(*texts: str, roles: tuple[str, ...] = ("user",)) -> Request:
    return Request("m", tuple(Message(r, t) for r, t in zip(roles, texts, strict=True)))


def task(name: str, *literals: str, **more: object) -> Task:
    slots = tuple(f"s{i}" for i in range(len(literals) - 1))
    template = Template(skeleton_of(request("")), (Pattern("user", literals),), slots)
    return msgspec.structs.replace(Task(name, name, (template,), TextContract()), **more)


def test_the_template_with_more_constant_text_wins() -> None:
    matcher = Matcher([task("wide", "Say: ", ""), task("narrow", "Say: hello ", "")])
    found = matcher.match(request("Say: hello you"))
    assert found is not None
    assert (found.task.id, found.values, found.input_text) == ("narrow", ("you",), "you")
    other = matcher.match(request("Say: goodbye"))
    assert other is not None
    assert other.task.id == "wide"
    assert matcher.match(request("Shout: hello")) is None


def test_conditions_go_before_weight() -> None:
    plain = task("plain", "Say: ", " to ", "")
    split = task("split", "Say: ", " to ", "", conditions=(Condition("s1", equals="Ann"),))
    matcher = Matcher([plain, split])
    names = [matcher.match(request(f"Say: hi to {who}")) for who in ("Ann", " Ann ", "Bob")]
    assert [found.task.id for found in names if found] == ["split", "split", "plain"]


def test_contained_text_is_looked_for_in_the_input() -> None:
    split = task("split", "Say: ", "", conditions=(Condition(contains="refund"),))
    matcher = Matcher([split])
    assert matcher.match(request("Say: a refund please"))
    assert matcher.match(request("Say: hello")) is None


def test_ignored_tasks_are_found_but_not_matched() -> None:
    matcher = Matcher([task("wide", "Say: ", ""), task("off", "Say: hello ", "", ignored=True)])
    assert matcher.match(request("Say: hello you")) is None
    found = matcher.find(request("Say: hello you"))
    assert found is not None
    assert found.task.id == "off"


def test_same_weight_is_settled_by_id() -> None:
    tasks = [task("b", "ab", ""), task("a", "a", "b")]
    for order in (tasks, tasks[::-1]):
        found = Matcher(order).match(request("ab-b"))
        assert found is not None
        assert found.task.id == "a"


def test_constant_messages_are_looked_up() -> None:
    like = request("S", "", roles=("system", "user"))
    tasks = [
        Task(
            f"t{i}",
            f"t{i}",
            (
                Template(
                    skeleton_of(like),
                    (Pattern("system", (f"System {i}",)), Pattern("user", ("", ""))),
                    ("message",),
                ),
            ),
            TextContract(),
        )
        for i in range(50)
    ]
    matcher = Matcher(tasks)
    for i in (0, 7, 49):
        found = matcher.match(request(f"System {i}", "hello", roles=("system", "user")))
        assert found is not None
        assert found.task.id == f"t{i}"
    assert matcher.match(request("System 50", "hello", roles=("system", "user"))) is None


@pytest.mark.parametrize("roles", [(), ("system",), ("assistant", "user"), ("tool",)])
def test_any_request_is_answered(roles: tuple[str, ...]) -> None:
    assert Matcher([task("t", "a", "")]).match(request(*roles, roles=roles)) is None
    assert Matcher([]).match(request("x")) is None


def test_a_match_takes_less_than_a_fifth_of_a_millisecond() -> None:
    rng = random.Random(0)

    def prose(size: int) -> str:
        return " ".join(
            rng.choice(("red", "green", "blue")) + str(rng.random()) for _ in range(size)
        )

    prompts = [prose(150) for _ in range(200)]  # 3 KB each
    roles = ("system", "user")
    tasks, packed = [], []
    for i, prompt in enumerate(prompts):
        texts = (prompt, prose(20)) if i % 2 else (f"{prompt}\n\nText: {prose(20)}\n\nAnswer:",)
        asked = request(*texts, roles=roles[-len(texts) :])
        patterns = (
            (Pattern("system", (prompt,)), Pattern("user", ("", "")))
            if i % 2
            else (Pattern("user", (f"{prompt}\n\nText: ", "\n\nAnswer:")),)
        )
        template = Template(skeleton_of(asked), patterns, ("message",))
        tasks.append(Task(f"t{i:03}", f"t{i}", (template,), TextContract()))
        packed.append(msgspec.json.encode(asked))
    matcher = Matcher(tasks)
    fresh = [msgspec.json.decode(body, type=Request) for body in packed * 5]
    started = time.process_time()
    found = [matcher.match(asked) for asked in fresh]
    spent = (time.process_time() - started) / len(fresh)
    assert [match.task.id for match in found[:200] if match] == [task.id for task in tasks]
    assert spent < 0.2e-3, f"{spent * 1e3:.3f} ms CPU a match"
