"""How a pair of records is found, whatever form it comes in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.pairs import Record, find_pair, read_record, way_of
from shoal.tasks import Input
from shoal.tasks.template import CONVERSATION

A, B = {"name": "lamp", "price": "12"}, {"name": "desk", "price": "90"}
RECORDS = (Record(tuple(A.items())), Record(tuple(B.items())))
DITTO = [f"COL name VAL {r['name']} COL price VAL {r['price']}" for r in (A, B)]
LINES = [f"name: {r['name']}\nprice: {r['price']}" for r in (A, B)]


@pytest.mark.parametrize(
    ("found", "way"),
    [
        (Input("", (("left", json.dumps(A)), ("right", json.dumps(B)))), "two slots"),
        (Input("", (("a", DITTO[0]), ("b", DITTO[1]))), "two slots"),
        (Input("", (("a", LINES[0]), ("b", LINES[1]))), "two slots"),
        (
            Input("", (("name", "lamp"), ("price", "12"), ("name_2", "desk"), ("price_2", "90"))),
            "slots by name",
        ),
        (
            Input(
                "",
                (
                    ("left_name", "lamp"),
                    ("left_price", "12"),
                    ("right_name", "desk"),
                    ("right_price", "90"),
                ),
            ),
            "slots by name",
        ),
        (Input(json.dumps([A, B])), "json"),
        (Input(json.dumps({"ours": A, "theirs": B})), "json"),
        (Input(json.dumps({f"{k}_{i}": r[k] for i, r in ((1, A), (2, B)) for k in r})), "json"),
        (Input(f"Record A: {json.dumps(A)}\nRecord B: {json.dumps(B)}"), "headings"),
        (Input(f"Same? Entity 1: {DITTO[0]} Entity 2: {DITTO[1]}"), "headings"),
        (Input(f"Left product:\n{LINES[0]}\n\nRight product:\n{LINES[1]}"), "headings"),
        (Input("\t".join(DITTO)), "separator"),
        (Input("\n\n".join(LINES)), "separator"),
        (Input(" [SEP] ".join(DITTO)), "separator"),
    ],
)
def test_two_records_are_found_in_any_form(found: Input, way: str) -> None:
    assert way_of([found]) == way
    assert find_pair(found, way) == RECORDS


def test_plain_text_is_a_record_too() -> None:
    pair = find_pair(Input("Entity 1: sony dsc-120. Entity 2: sony dsc-130."), "headings")
    assert pair == (Record((("", "sony dsc-120."),)), Record((("", "sony dsc-130."),)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "where is my parcel?",
        "Answer 1: yes",
        "Entity 2: b Entity 1: a",
        "{}",
        "[1, 2]",
        "[" * 9,
    ],
)
def test_where_there_is_no_pair_none_is_found(text: str) -> None:
    assert way_of([Input(text)]) == ""


def test_one_side_without_text_is_no_pair() -> None:
    assert way_of([Input("", (("left", "a"), ("right", " ")))]) == ""


def test_a_way_must_find_nearly_all() -> None:
    pair, none = Input("", (("a", "x"), ("b", "y"))), Input("hello", (("a", "x"),))
    assert way_of([pair] * 19 + [none]) == "two slots"
    assert way_of([pair] * 18 + [none] * 2) == ""
    assert way_of([]) == ""


def test_a_slot_of_one_side_alone_is_no_pair_by_name() -> None:
    slots = (("left_name", "a"), ("left_price", "1"), ("right_name", "b"), ("currency", "usd"))
    assert way_of([Input("x", slots)]) == ""


def test_what_is_nested_has_a_name_of_its_own() -> None:
    found = read_record('{"maker": {"name": "sony"}, "tags": ["a", "b"], "price": 3.5, "x": null}')
    assert found.fields == (("maker.name", "sony"), ("tags", "a b"), ("price", "3.5"), ("x", ""))


def test_depth_has_an_end() -> None:
    deep = '{"a":' * 500 + "1" + "}" * 500
    assert len(read_record(deep).fields) == 1


def test_keys_tell_records_apart() -> None:
    one, two = Record((("a", "b\tc"),)), Record((("a\tb", "c"),))
    assert one.key != two.key
    assert one.key == Record((("a", "b\tc"),)).key


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read(left: str, right: str) -> None:
    for found in (
        Input(left),
        Input(f"{left}\n{right}", (("a", left), ("b", right))),
        Input(f"Entity 1: {left} Entity 2: {right}"),
        Input(json.dumps({"left": left, "right": {"x": right}})),
    ):
        way = way_of([found])
        assert way == "" or find_pair(found, way) is not None


def test_a_long_text_takes_no_time_to_speak_of() -> None:
    import time

    began = time.process_time()
    way_of([Input("Entity 1: " * 20_000), Input("a_" * 100_000), Input("COL x VAL " * 20_000)])
    assert time.process_time() - began < 2


def test_an_opening_and_what_followed_are_no_pair() -> None:
    steps = [Input("", (("message", "lamp"), (CONVERSATION, f"desk {n}"))) for n in range(3)]
    assert way_of(steps) == ""
