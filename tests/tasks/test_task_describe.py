"""Tasks in plain words."""

import json
import re

import recurring

from shoal.chat import Answer
from shoal.tasks import Condition, LabelContract, Task, TextContract, discover
from shoal.tasks.describe import describe, explain
from shoal.tasks.edits import find_task
from shoal.tasks.inference import infer
from shoal.tasks.template import Pattern, Template


def test_a_discovered_task_is_explained() -> None:
    calls = recurring.observed(list(recurring.variants(40)))
    task = find_task(discover(calls).tasks, "money")
    text = describe(task, 1234, 0.5, [("Where is\nmy refund?", "yes")])
    assert text.splitlines() == [
        f"task money ({task.id})",
        "calls: 1,234 recorded, answered by the LLM for $0.5000",
        "answers: one of 2 labels: yes, no",
        "same answer: equal label",
        "learning: a specialist can learn it",
        "template 1 of 1, slots in «»:",
        "  user: «message»",
        "    ",
        "    Is the message above about money? Answer yes or no.",
        "examples:",
        "  Where is my refund?",
        "    → yes",
    ]


def test_conditions_marks_and_long_texts() -> None:
    pattern = Pattern("system", ("x" * 1000,))
    template = Template(
        "s", (pattern, Pattern("user", ("", ""))), ("message", "conversation"), True
    )
    conditions = (Condition("message", equals="hi"), Condition(contains="you"))
    task = Task("t1", "chat", (template,), TextContract(), conditions, pinned=True, ignored=True)
    text = describe(task, 3, None)
    assert text.startswith("task chat (t1), pinned, ignored\n")
    assert "at an unknown price" in text
    assert "by fine-tuning alone" in text
    assert "only if: slot message is 'hi'" in text
    assert "only if: the input contains 'you'" in text
    assert "[…600 characters…]" in text
    assert text.endswith("«conversation»: whatever follows")


def test_contracts_in_words() -> None:
    rows = recurring.shop()[:300]
    pairs = [(row["message"], Answer(str(row["llm"]["topic"]))) for row in rows]
    found = [(row["message"], Answer(json.dumps(row["llm"]["fields"]))) for row in rows]
    prefixed = LabelContract(("a", "b"), "Label: ")
    assert explain(prefixed) == "one of 2 labels: a, b, written after 'Label: '"
    assert re.fullmatch(r"one of \d+ labels: .* and \d+ more", explain(infer(pairs)))
    assert "order_id (copied from the input, may be missing)" in explain(infer(found))
    assert explain(TextContract()) == "free text"
