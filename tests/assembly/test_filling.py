"""Requests written from the values of a task's slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.assembly.filling import form_of
from shoal.chat import Message, Request
from shoal.errors import MalformedRequest
from shoal.tasks import LabelContract, Matcher, Pattern, Task, Template
from shoal.tasks.template import CONVERSATION, opening_skeleton_of, skeleton_of

TOOLS = '[{"type":"function","function":{"name":"look_up"}}]'
EXAMPLE = Request(
    "gpt",
    (Message("system", "Judge."), Message("user", "Item: lamp\nColour: red")),
    tools=TOOLS,
    params='{"temperature":0,"user":"ann","stream":true}',
)
PATTERNS = (Pattern("system", ("Judge.",)), Pattern("user", ("Item: ", "\nColour: ", "")))


def task_of(template: Template) -> Task:
    return Task("t-1", "judge", (template,), LabelContract(("yes", "no")))


JUDGE = task_of(Template(skeleton_of(EXAMPLE), PATTERNS, ("item", "colour")))


@given(item=st.text(), colour=st.text())
def test_what_is_filled_in_is_read_again_as_it_was(item: str, colour: str) -> None:
    form = form_of(JUDGE, EXAMPLE)
    assert form is not None
    try:
        request = form.filled({"item": item, "colour": colour}, "gpt")
    except MalformedRequest:
        assert "\nColour: " in item + "\nColour: "[:-1]
        return
    match = Matcher([JUDGE]).match(request)
    assert match is not None
    assert match.values == (item, colour)


def test_it_is_like_an_example_but_for_what_is_its_callers() -> None:
    form = form_of(JUDGE, EXAMPLE)
    assert form is not None
    request = form.filled({"item": "cup", "colour": "blue"}, "other")
    assert (request.model, request.tools, request.params) == ("other", TOOLS, '{"temperature":0}')
    assert request.messages == (
        Message("system", "Judge."),
        Message("user", "Item: cup\nColour: blue"),
    )


def test_text_that_stands_between_slots_is_refused() -> None:
    form = form_of(JUDGE, EXAMPLE)
    assert form is not None
    with pytest.raises(MalformedRequest, match="would be read otherwise: '\\\\nColour: '"):
        form.filled({"item": "cup\nColour: red", "colour": "blue"}, "gpt")
    with pytest.raises(MalformedRequest, match="colour: no value"):
        form.filled({"item": "cup"}, "gpt")


def test_a_task_whose_calls_have_tools_needs_an_example() -> None:
    assert form_of(JUDGE, None) is None


def test_a_task_with_an_image_cannot_be_written_as_text() -> None:
    parts = '[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:"}}]'
    shown = Request("gpt", (Message("user", "x", parts),))
    task = task_of(Template(skeleton_of(shown), (Pattern("user", ("", "")),), ("item",)))
    assert form_of(task, shown) is None


def test_a_conversation_begins_with_its_first_message() -> None:
    opening = Request("gpt", (Message("user", "Item: lamp"),))
    template = Template(
        opening_skeleton_of(opening),
        (Pattern("user", ("Item: ", "")),),
        ("item", CONVERSATION),
        continues=True,
    )
    form = form_of(task_of(template), opening)
    assert form is not None
    assert form.slots == ("item",)
    assert form.filled({"item": "cup"}, "gpt").messages == (Message("user", "Item: cup"),)
