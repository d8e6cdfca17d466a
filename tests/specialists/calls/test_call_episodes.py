from shoal.chat import Message, ToolCall
from shoal.specialists.calls.episodes import episodes
from shoal.tasks import Input
from shoal.tasks.contract import Output


def step(opening: str, *rest: Message) -> Input:
    return Input(
        opening + str(len(rest)), (), (Message("system", "x"), Message("user", opening), *rest)
    )


def call(user: str) -> tuple[ToolCall, ...]:
    return (ToolCall("", "look_up", f'{{"user": "{user}"}}'),)


def test_steps_of_one_conversation_are_one_episode() -> None:
    inputs = [step("hello"), step("hello", Message("assistant", "hi")), step("good day")]
    first, second, third = episodes(inputs, [None] * 3)
    assert first == second != third


def test_conversations_that_begin_with_the_same_call_are_one() -> None:
    made = Message("assistant", "", tool_calls=call("ann"))
    inputs = [step("a"), step("b", made), step("c"), step("d"), step("d", Message("tool", "x"))]
    outputs: list[Output | None] = [call("ann"), None, call("bo"), None, call("ann")]
    found = episodes(inputs, outputs)
    assert found[0] == found[1] == found[3] == found[4] != found[2]


def test_requests_without_messages_are_told_apart_by_their_text() -> None:
    assert episodes([Input("a"), Input("b"), Input("a")], [None] * 3) == [0, 1, 0]
