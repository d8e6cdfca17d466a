"""Literals and slots of texts made from one template, and the slots' names."""

import re
from collections.abc import Sequence

import pytest

from shoal.tasks.alignment import pattern_of
from shoal.tasks.slot_names import name_slots
from shoal.tasks.template import Pattern

WORDS = re.findall(
    r"\w+",
    """
    apple river stone cloud ember frost grape honey ivory jolly kiosk lemon mango night olive
    pearl quilt raven sugar tulip umber vivid waltz xenon yacht zebra acorn birch cedar daisy
    """,
)


def made(form: str, *, role: str = "user") -> Pattern:
    """The pattern of thirty texts of a form with {0} and {1} for words."""
    texts = [form.format(a, b) for a, b in zip(WORDS, reversed(WORDS), strict=True)]
    return pattern_of(role, texts)


@pytest.mark.parametrize(
    ("form", "literals"),
    [
        ("Text: {0} {1}", ("Text: ", "")),
        ("{0} {1}\n\nAnswer:", ("", "\n\nAnswer:")),
        ("Is it good?\n{0}\nYes or no:", ("Is it good?\n", "\nYes or no:")),
        ("<mail>{0} {1}</mail>", ("<mail>", "</mail>")),
        ("From: {0}\nTo: {1}\nEnd", ("From: ", "\nTo: ", "\nEnd")),
        ("Entity 1: {0}. Entity 2: {1}.", ("Entity 1: ", "Entity 2: ", "")),
        ('{{"a": "{0}", "b": "{1}"}}', ('{"a": "', '"b": "', '"}')),
        ("Put into German {0} {1} from English now", ("Put into German ", " from English now")),
        ("Read this.\n{0}\nNow tell me what it says.\n{1}", None),
    ],
)
def test_literals_end_at_structure(form: str, literals: tuple[str, ...] | None) -> None:
    expected = literals or ("Read this.\n", "\nNow tell me what it says.\n", "")
    found = made(form)
    kept = [text for text in found.literals if text.strip()]
    assert [text.strip() for text in kept] == [t.strip() for t in expected if t.strip()]
    assert found.match(form.format("new", "words")) is not None


def test_words_that_all_texts_share_by_accident_are_left_to_the_slot() -> None:
    assert made("Question: What is {0}?\nAnswer:").literals == ("Question: ", "\nAnswer:")
    assert made("Text: I want {0} {1}").literals == ("Text: ", "")
    assert made("{0} is a {1}.").literals == ("", "")


def test_a_system_prompt_keeps_words_but_no_halves_of_dates() -> None:
    texts = [f"You help Ann. It is 2026-11-{day:02d} now. Be brief." for day in range(1, 29)]
    found = pattern_of("system", texts)
    assert found.literals == ("You help Ann. It is ", " now. Be brief.")


def test_few_outliers_do_not_shorten_the_literals() -> None:
    texts = [f"Label it.\n\nText: {word}" for word in WORDS]
    texts += [f"Label it.\n\nText: {a} {b}" for a in WORDS for b in WORDS[:3]]
    assert pattern_of("user", [*texts, "hello there", "Label"]).literals == (
        "Label it.\n\nText: ",
        "",
    )


def test_order_of_texts_does_not_matter() -> None:
    texts = [f"A: {a}\nB: {b}\n" for a in WORDS for b in WORDS]
    assert pattern_of("user", texts) == pattern_of("user", texts[::-1])


def test_equal_texts_are_constant() -> None:
    assert pattern_of("system", ["Be brief."] * 3) == Pattern("system", ("Be brief.",))


@pytest.mark.parametrize(
    ("literals", "names"),
    [
        (("Text: ", ""), ("text",)),
        (("Customer's Message:\n", ""), ("customer_s_message",)),
        (("Q: ", "\nA:"), ("question",)),
        (("<email>", "</email>"), ("email",)),
        (('{"subject": "', '", "body": "', '"}'), ("subject", "body")),
        (("## Context\n", "\n## Question\n", ""), ("context", "question")),
        (("", "\n\nIs it urgent?"), ("message",)),
        (("Text: ", "\nText: ", ""), ("text", "text_2")),
        (("Here is the following review:\n", ""), ("review",)),
    ],
)
def test_slots_are_named_by_their_labels(literals: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert name_slots([Pattern("user", literals)], ()) == names


def test_slots_without_label_are_named_by_role_or_value() -> None:
    patterns = [Pattern("system", ("It is ", " now. Use ", " words.")), Pattern("user", ("", ""))]
    samples: Sequence[Sequence[str]] = (["2026-11-21", "2026-11-22"], ["3", "4"], ["hello", "you"])
    assert name_slots(patterns, samples) == ("date", "number", "message")
    assert name_slots(patterns[1:], (), continues=True) == ("message", "conversation")
