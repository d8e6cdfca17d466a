"""Patterns and templates: literal text, slots, skeletons."""

import pytest

from shoal.chat import Message, Request, ToolCall
from shoal.tasks.template import (
    Pattern,
    Template,
    content_of,
    opening_skeleton_of,
    skeleton_of,
)

LETTER = Pattern("user", ("Dear ", ",\n", "\nYours"))


def request(*messages: tuple[str, str], tools: str = "", response_format: str = "") -> Request:
    told = tuple(Message(role, text) for role, text in messages)
    return Request("m", told, tools=tools, response_format=response_format)


def test_pattern_takes_what_stands_between_literals() -> None:
    assert LETTER.match("Dear Ann,\nhow are you?\nYours") == ("Ann", "how are you?")
    assert LETTER.match("Dear ,\n\nYours") == ("", "")


@pytest.mark.parametrize(
    "text", ["Dear Ann", "dear Ann,\nhi\nYours", "Dear Ann,\nhi\nYours truly", "", "Dear \nYours"]
)
def test_pattern_refuses_other_texts(text: str) -> None:
    assert LETTER.match(text) is None


def test_inner_literals_are_taken_at_their_leftmost_place() -> None:
    pattern = Pattern("user", ("", ": ", ""))
    assert pattern.match("a: b: c") == ("a", "b: c")


def test_first_and_last_literal_do_not_share_characters() -> None:
    assert Pattern("user", ("ab", "bc")).match("abc") is None
    assert Pattern("user", ("ab", "bc")).match("abbc") == ("",)


def test_constant_pattern_matches_only_itself() -> None:
    constant = Pattern("system", ("Be brief.",))
    assert constant.match("Be brief.") == ()
    assert constant.match("Be brief. ") is None


def test_fill_needs_as_many_values_as_slots() -> None:
    assert LETTER.fill(["Ann", "hi"]) == "Dear Ann,\nhi\nYours"
    with pytest.raises(ValueError, match="1 values for 2 slots"):
        LETTER.fill(["Ann"])


def template(like: Request, *patterns: Pattern, slots: tuple[str, ...]) -> Template:
    return Template(skeleton_of(like), patterns, slots)


def test_template_needs_the_same_skeleton() -> None:
    like = request(("system", "S"), ("user", "hello"))
    found = template(like, Pattern("system", ("S",)), Pattern("user", ("", "")), slots=("message",))
    assert found.match(like) == ("hello",)
    assert found.match(request(("user", "S"), ("user", "hello"))) is None
    assert found.match(request(("system", "S"), ("user", "x"), tools="[1]")) is None
    assert found.match(request(("system", "S"), ("user", "x"), response_format="{}")) is None
    assert found.match(request(("system", "S"))) is None


def test_image_parts_make_another_skeleton_and_text_parts_do_not() -> None:
    plain = Message("user", "what is this")
    text = Message("user", "what is this", parts='[{"type":"text","text":"what is this"}]')
    image = Message("user", "what is this", parts='[{"type":"text"},{"type":"image_url"}]')
    broken = Message("user", "what is this", parts="not json")
    skeletons = [skeleton_of(Request("m", (message,))) for message in (plain, text, image, broken)]
    assert skeletons[0] == skeletons[1]
    assert len({*skeletons}) == 3


def test_continuing_template_takes_any_number_of_further_messages() -> None:
    opening = request(("system", "S"), ("user", "hi"))
    patterns = (Pattern("system", ("S",)), Pattern("user", ("", "")))
    slots = ("message", "conversation")
    found = Template(opening_skeleton_of(opening), patterns, slots, continues=True)
    longer = request(("system", "S"), ("user", "hi"), ("assistant", "yes?"), ("user", "bye"))
    assert found.match(opening) == ("hi", "")
    assert found.match(longer) == ("hi", "assistant: yes?\n\nuser: bye")


def test_tool_calls_are_part_of_the_content() -> None:
    call = ToolCall("1", "look_up", '{"id": 3}')
    assert content_of(Message("assistant", tool_calls=(call,))) == 'look_up({"id": 3})'
    assert content_of(Message("assistant", "wait", tool_calls=(call,))).startswith("wait\nlook_up")


def test_input_text_is_the_only_slot_or_named_lines() -> None:
    like = request(("user", ""))
    one = template(like, Pattern("user", ("Text: ", "")), slots=("text",))
    two = template(like, Pattern("user", ("A: ", " B: ", "")), slots=("a", "b"))
    assert one.input_text([" hello\n"]) == "hello"
    assert two.input_text(["1", "2 "]) == "a: 1\nb: 2"
