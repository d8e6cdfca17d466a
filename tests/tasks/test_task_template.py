"""Patterns and templates: literal text, slots, skeletons."""

import json
import time
from hashlib import blake2b

import pytest

from shoal.chat import Message, Request, ToolCall
from shoal.tasks.template import (
    Pattern,
    Template,
    content_of,
    opening_skeleton_of,
    skeleton_of,
    skeletons_of,
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


def stored_long_ago(roles: str, tools: str, response_format: str) -> str:
    """The digest as it was when the JSON counted byte for byte."""
    text = "\0".join((roles, tools, response_format))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def test_templates_stored_by_the_written_json_keep_their_calls() -> None:
    tools, form = '[ {"type": "function", "a": 1} ]', '{"type": "json_object"}'
    asked = request(("user", "hi"), tools=tools, response_format=form)
    respaced = request(("user", "hi"), tools=tools.replace(" ", ""), response_format=form)
    for old, continues in (("user ", False), ("user ... user", True)):
        skeleton = stored_long_ago(old, tools, form)
        slots = ("text", "conversation")[: 1 + continues]
        found = Template(skeleton, (Pattern("user", ("", "")),), slots, continues)
        assert found.match(asked) is not None
        assert found.match(respaced) is None  # it is not known what was digested


def test_without_tools_and_format_there_is_one_digest_and_it_is_the_old_one() -> None:
    asked = request(("system", "a"), ("user", "b"))
    assert [*skeletons_of(asked, opening=False)] == [stored_long_ago("system user ", "", "")]
    assert [*skeletons_of(asked, opening=True)] == [stored_long_ago("system user ...", "", "")]


@pytest.mark.parametrize("broken", ["{", "[" * 100_000, '{"a": ' + "1" * 5_000 + "}"])
def test_json_that_cannot_be_read_counts_as_it_is_written(broken: str) -> None:
    found = skeleton_of(request(("user", "hi"), response_format=broken))
    assert found == skeleton_of(request(("user", "ho"), response_format=broken))
    assert found != skeleton_of(request(("user", "hi"), response_format=broken + " "))


def test_large_tools_are_read_once() -> None:
    schema = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(40)}}
    functions = [{"name": f"f{i}", "parameters": schema} for i in range(40)]
    bodies = [json.dumps(functions) for _ in range(200)]  # 60 KB each, equal and not the same
    skeleton_of(request(("user", "hi"), tools=bodies[0]))
    started = time.process_time()
    assert len({skeleton_of(request(("user", "hi"), tools=body)) for body in bodies}) == 1
    assert (time.process_time() - started) / len(bodies) < 0.3e-3
