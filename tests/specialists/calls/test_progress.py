"""How far a walk through a list has come."""

import json

import pytest

from shoal.chat import Message, ToolCall
from shoal.specialists.calls.candidates import Reader
from shoal.specialists.calls.progress import COLUMNS, columns, progress_of
from shoal.specialists.calls.schema import Argument, Tool
from shoal.specialists.calls.situation import situation_of

ORDERS = ["H8Q05L", "K2W91M", "P7D33X", "T4Z60B"]
LOOK_UP = Tool("look_up", arguments=(Argument("order", "string", required=True),))
CANCEL = Tool("cancel", arguments=(Argument("order", "string", required=True),))


def called(order: str, name: str = "look_up") -> list[Message]:
    call = ToolCall(f"c{order}", name, json.dumps({"order": order}))
    result = json.dumps({"order": order, "to": f"Town{order}", "day": f"2026-0{len(order)}-01"})
    return [
        Message("assistant", tool_calls=(call,)),
        Message("tool", result, name=name, tool_call_id=call.id),
    ]


def conversation(*orders: str, said: str = "Cancel one of my orders.") -> list[Message]:
    asked = ToolCall("c0", "profile", '{"user": "mia_li_3668"}')
    begun = [
        Message("user", said),
        Message("assistant", tool_calls=(asked,)),
        Message("tool", json.dumps({"orders": ORDERS}), name="profile", tool_call_id="c0"),
    ]
    return begun + [message for order in orders for message in called(order)]


def row(messages: list[Message], tool: Tool) -> dict[str, float]:
    situation = situation_of(messages, Reader())
    found = columns(progress_of(situation), situation, tool)
    return dict(zip(COLUMNS, found, strict=True))


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ((), (0, -1, -1, -1)),
        (ORDERS[:1], (1, 3, 1, 0)),
        (ORDERS[:3], (3, 1, 3, 0)),
        (ORDERS, (4, 0, 4, 0)),
        (ORDERS[2:3], (1, 1, 1, 2)),
    ],
)
def test_what_is_left_of_the_list(
    orders: tuple[str, ...], expected: tuple[float, float, float, float]
) -> None:
    found = row(conversation(*orders), LOOK_UP)
    assert tuple(found.values())[:4] == expected


def test_a_tool_that_was_not_called_walks_through_nothing() -> None:
    assert tuple(row(conversation(*ORDERS[:2]), CANCEL).values())[:4] == (0, -1, -1, -1)


def test_who_talks_ends_the_row_but_not_the_walk() -> None:
    messages = conversation(*ORDERS[:2])
    messages += [Message("assistant", "This one?"), Message("user", "No.")]
    found = row(messages, LOOK_UP)
    assert found["calls of it in a row"] == 0
    assert found["left of the list it walks through"] == 2


def test_a_result_that_holds_what_the_user_said_is_told() -> None:
    said = 'Cancel my order to "TownK2W91M".'
    found, surplus = COLUMNS[-2:]
    first = row(conversation(*ORDERS[:1], said=said), LOOK_UP)
    second = row(conversation(*ORDERS[:2], said=said), LOOK_UP)
    third = row(conversation(*ORDERS[:3], said=said), LOOK_UP)
    assert [each[found] for each in (first, second, third)] == [0, 1, 0]
    assert [each[surplus] for each in (first, second, third)] == [0, 1, -1]


def test_where_nobody_gave_a_result_nothing_is_found() -> None:
    assert row([Message("user", "Hello")], LOOK_UP)[COLUMNS[-1]] == -1
