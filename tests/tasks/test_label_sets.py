import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.chat import Answer
from shoal.tasks import (
    Contract,
    LabelContract,
    LabelsContract,
    Output,
    TextContract,
    parse,
    render,
    same,
)
from shoal.tasks.comparator import comparator_name
from shoal.tasks.contract import is_closed
from shoal.tasks.describe import explain
from shoal.tasks.inference import infer, join, revise
from shoal.tasks.json_style import JsonStyle

TOPICS = ("billing", "delivery", "quality")
ARRAY = LabelsContract(TOPICS)
LIST = LabelsContract(TOPICS, separator=", ", none="none")
subsets = st.sets(st.sampled_from(TOPICS)).map(lambda s: tuple(t for t in TOPICS if t in s))


def pairs(texts: list[str]) -> list[tuple[str, Answer]]:
    return [(f"message {i}", Answer(text=text)) for i, text in enumerate(texts)]


ARRAYS = ['["billing"]', '["delivery", "billing"]', "[]", '["quality", "delivery"]'] * 10
LISTS = ["billing", "delivery, billing", "None", "quality, delivery", "quality", "billing, quality"]


@given(output=subsets, style=st.sampled_from([JsonStyle(), JsonStyle(indent=2), JsonStyle(",")]))
def test_what_is_written_is_read_again(output: tuple[str, ...], style: JsonStyle) -> None:
    contracts = (msgspec.structs.replace(ARRAY, style=style), LIST)
    for contract in contracts:
        assert parse(contract, render(contract, output)) == output


@given(output=subsets)
def test_order_and_spelling_make_no_difference(output: tuple[str, ...]) -> None:
    said = Answer(text=msgspec.json.encode([label.upper() for label in reversed(output)]).decode())
    assert same(ARRAY, said, Answer(text=render(ARRAY, output)))


def test_one_label_more_is_another_answer() -> None:
    assert not same(ARRAY, Answer(text='["billing"]'), Answer(text='["billing", "quality"]'))
    assert not same(LIST, Answer(text="none"), Answer(text="billing"))


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (ARRAY, '["billing", "weather"]'),
        (ARRAY, '["billing", 3]'),
        (ARRAY, "billing"),
        (ARRAY, '{"a": 1}'),
        (LIST, "billing, weather"),
        (LIST, "billing,, quality"),
        (LIST, ""),
        (LabelsContract(TOPICS, separator=", "), "none"),
    ],
)
def test_what_is_no_set_of_the_labels_breaks_the_contract(contract: Contract, text: str) -> None:
    assert parse(contract, text) is None


@pytest.mark.parametrize("output", [("weather",), "billing", ["billing"], ()])
def test_what_cannot_be_written_is_refused(output: Output) -> None:
    with pytest.raises(ValueError, match=r"does not fit|no word for that"):
        render(LabelsContract(TOPICS, separator="; "), output)


def test_arrays_of_labels_are_inferred() -> None:
    found = infer(pairs(ARRAYS))
    assert isinstance(found, LabelsContract)
    assert set(found.labels) == set(TOPICS)
    assert [render(found, parse(found, text) or ()) for text in ARRAYS[:1]] == ARRAYS[:1]


@pytest.mark.parametrize("sign", [", ", "; ", "\n", " | ", ","])
def test_lists_of_labels_are_inferred_with_their_sign(sign: str) -> None:
    texts = [text.replace(", ", sign) for text in LISTS * 10]
    found = infer(pairs(texts))
    assert isinstance(found, LabelsContract)
    assert (set(found.labels), found.none) == (set(TOPICS), "None")
    assert all(parse(found, text) is not None for text in texts)
    assert render(found, ("billing", "quality")).replace(" ", "") in {
        f"billing{sign}quality".replace(" ", ""),
        f"quality{sign}billing".replace(" ", ""),
    }


def test_a_prefix_stays_before_the_list() -> None:
    found = infer(pairs([f"Topics: {text}" for text in LISTS * 10]))
    assert isinstance(found, LabelsContract)
    assert found.prefix == "Topics: "
    assert parse(found, "Topics: billing, quality") == parse(found, "billing, quality")


@pytest.mark.parametrize(
    "texts",
    [
        ["Bosnia, Herzegovina", "Trinidad, Tobago", "France"] * 10,
        ["glad", "sad"] * 20,
        [f"Dear customer {i}, thank you, we will look at it, {i * 7}" for i in range(40)],
    ],
)
def test_other_answers_are_no_lists(texts: list[str]) -> None:
    assert not isinstance(infer(pairs(texts)), LabelsContract)


def test_arrays_of_other_things_stay_json() -> None:
    numbers = [f"[{i}, {i + 1}]" for i in range(40)]
    free = [f'["thought number {i}", "and {i + 100}"]' for i in range(40)]
    assert infer(pairs(numbers)) == TextContract(json=True)
    assert infer(pairs(free)) == TextContract(json=True)


def test_more_answers_add_labels_and_the_word_for_none() -> None:
    known = LabelsContract(("billing", "delivery"), separator=", ")
    found = revise(known, pairs(LISTS * 10))
    assert isinstance(found, LabelsContract)
    assert (set(found.labels), found.none, found.separator) == (set(TOPICS), "None", ", ")
    assert join(known, LabelContract(("billing",))) is None


def test_it_is_kept_as_json_and_named() -> None:
    again = msgspec.json.decode(msgspec.json.encode(LIST), type=Contract)
    assert again == LIST
    assert is_closed(LIST)
    assert comparator_name(LIST) == "equal set of labels"
    assert explain(ARRAY) == "any of 3 labels, as JSON: billing, delivery, quality"
