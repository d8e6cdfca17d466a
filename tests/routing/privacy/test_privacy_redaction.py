"""Redaction and scrubbing of whole requests."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from labelled_sample import KINDS_BY_RULE, samples
from msgspec.structs import replace

from shoal.chat import Alternatives, Answer, Message, Request, ToolCall
from shoal.routing.privacy import Vault, redact, scrub, scrub_call

BOB, AMY = "bob@example.com", "amy@example.org"
CARD = "4111 1111 1111 1111"
values = [value for row in samples() for _, value in row.found]


def request(*messages: Message, **fields: object) -> Request:
    return Request("m", messages, **fields)  # type: ignore[arg-type]


def everything() -> Request:
    part = {"type": "text", "text": f'She said "{AMY}"\nthen {BOB}'}
    image = {"type": "image_url", "image_url": {"url": f"https://example.com/?u={AMY}"}}
    arguments = json.dumps({"to": BOB, "card": 4111111111111111, "password": "s3cr3t!"})
    tool = {"name": "mail", "description": f"Mail {AMY}", "parameters": {"required": ["a"]}}
    return request(
        Message("system", f"You work for {BOB}."),
        Message("user", part["text"], parts=json.dumps([part, image]), name=AMY),
        Message("assistant", "", tool_calls=(ToolCall("c1", "mail", arguments),)),
        Message("tool", f"sent to {BOB}", tool_call_id="c1"),
        tools=json.dumps([{"type": "function", "function": tool}]),
        params=json.dumps({"user": AMY, "metadata": {"ip": "192.0.2.7"}, "temperature": 1.0}),
        body=b"{}",
    )


def test_every_place_is_redacted() -> None:
    redacted, vault = redact(everything(), KINDS_BY_RULE)
    wire = msgspec.json.encode(redacted).decode()
    for value in (BOB, AMY, "4111111111111111", "s3cr3t!", "192.0.2.7"):
        assert value not in wire
    assert redacted.body == b""
    assert len(vault) == 5


def test_equal_values_have_equal_placeholders() -> None:
    redacted, _ = redact(request(Message("user", f"{BOB} {AMY}"), Message("user", BOB)), ("email",))
    assert [m.text for m in redacted.messages] == ["[EMAIL_1] [EMAIL_2]", "[EMAIL_1]"]


def test_json_stays_json_and_the_rest_of_it_as_it_was() -> None:
    redacted, _ = redact(everything(), KINDS_BY_RULE)
    text = json.loads(redacted.messages[1].parts)[0]["text"]
    assert text == 'She said "[EMAIL_2]"\nthen [EMAIL_1]'
    assert text == redacted.messages[1].text
    assert json.loads(redacted.messages[2].tool_calls[0].arguments) == {
        "to": "[EMAIL_1]",
        "card": "[CARD_1]",
        "password": "[SECRET_1]",
    }
    assert '"temperature": 1.0' in redacted.params
    assert json.loads(redacted.tools)[0]["function"]["parameters"] == {"required": ["a"]}


def test_keys_are_data_in_arguments_but_not_in_schemas() -> None:
    call = ToolCall("c", "f", json.dumps({BOB: 1}))
    schema = json.dumps([{"parameters": {"properties": {BOB: {"description": AMY}}}}])
    redacted, _ = redact(request(Message("user", "", tool_calls=(call,)), tools=schema), ("email",))
    assert json.loads(redacted.messages[0].tool_calls[0].arguments) == {"[EMAIL_1]": 1}
    assert list(json.loads(redacted.tools)[0]["parameters"]["properties"]) == [BOB]


def test_a_value_known_from_one_place_is_found_in_all() -> None:
    said = request(Message("user", "my password is hunter2"), Message("user", "hunter2, hunter22"))
    redacted, _ = redact(said, ("secret",))
    assert [m.text for m in redacted.messages] == [
        "my password is [SECRET_1]",
        "[SECRET_1], hunter22",
    ]


def test_placeholders_that_stand_there_already_are_not_reused() -> None:
    said = request(Message("user", f"[EMAIL_1] \\[email 2\\] [Email3] {BOB} {AMY}"))
    redacted, vault = redact(said, ("email",))
    assert redacted.messages[0].text == "[EMAIL_1] \\[email 2\\] [Email3] [EMAIL_4] [EMAIL_5]"
    restored = vault.restore(Answer(redacted.messages[0].text))
    assert restored.text == said.messages[0].text


def test_nothing_found_changes_nothing() -> None:
    said = request(Message("user", "hello"), body=b'{"messages":[]}')
    redacted, vault = redact(said, KINDS_BY_RULE)
    assert redacted is said
    assert len(vault) == 0


def test_a_field_that_only_the_body_holds_takes_the_body_away() -> None:
    body = {"messages": [{"role": "assistant", "content": "x", "reasoning": f"ask {BOB}"}]}
    said = request(Message("assistant", "x"), body=json.dumps(body).encode())
    assert redact(said, ("email",))[0].body == b""
    assert redact(said, ("phone",))[0] is said


def test_images_are_not_read() -> None:
    url = "data:image/png;base64," + "A" * 2000 + "4111111111111111"
    part = json.dumps([{"type": "image_url", "image_url": {"url": url}}])
    said = request(Message("user", parts=part))
    assert redact(said, KINDS_BY_RULE)[0] is said


def test_arguments_that_are_no_json_are_text() -> None:
    call = ToolCall("c", "f", f"mail {BOB} now")
    redacted, vault = redact(request(Message("user", "", tool_calls=(call,))), ("email",))
    arguments = redacted.messages[0].tool_calls[0].arguments
    assert arguments == "mail [EMAIL_1] now"
    back = vault.restore(Answer(tool_calls=(ToolCall("d", "f", arguments),)))
    assert back.tool_calls[0].arguments == call.arguments


@given(st.lists(st.sampled_from([*values, " ", "\n", '"', "\\", "[", "]", "ü"]), max_size=12))
def test_a_redacted_text_is_restored_exactly(pieces: list[str]) -> None:
    text = " ".join(pieces)
    arguments = json.dumps({"a": text}, ensure_ascii=False)
    said = request(Message("user", text, tool_calls=(ToolCall("c", "f", arguments),)))
    redacted, vault = redact(said, KINDS_BY_RULE)
    echo = Answer(redacted.messages[0].text, redacted.messages[0].tool_calls, refusal=text)
    back = vault.restore(echo)
    assert back.text == text
    assert json.loads(back.tool_calls[0].arguments) == {"a": text}


def test_arguments_are_escaped_as_json_wants_it() -> None:
    vault = Vault({'a"b\\c\n': "[SECRET_1]"})
    call = ToolCall("c", "f", '{"x": "[SECRET_1]", "y": "\\\\[SECRET\\\\_1\\\\]"}')
    back = vault.restore(Answer(tool_calls=(call,))).tool_calls[0].arguments
    assert json.loads(back) == {"x": 'a"b\\c\n', "y": 'a"b\\c\n'}


def test_the_body_of_an_answer_goes_where_it_holds_a_placeholder() -> None:
    vault = Vault({BOB: "[EMAIL_1]"})
    assert vault.restore(Answer("hi", body=b'{"a":"hi"}')).body == b'{"a":"hi"}'
    assert vault.restore(Answer("[EMAIL_1]", body=b'{"a":"[EMAIL_1]"}')) == Answer(BOB)


def test_a_vault_does_not_show_values() -> None:
    assert BOB not in repr(Vault({BOB: "[EMAIL_1]"}))


def test_scrubbing_has_no_way_back() -> None:
    assert scrub(f"{BOB} and {AMY}, {CARD}", KINDS_BY_RULE) == "[EMAIL] and [EMAIL], [CARD]"
    scrubbed = scrub(everything(), KINDS_BY_RULE)
    assert not any(value in str(scrubbed) for value in (BOB, AMY, "s3cr3t!", "192.0.2.7"))
    assert scrub(Answer(BOB, refusal=AMY, body=b"x"), ("email",)) == Answer(
        "[EMAIL]", refusal="[EMAIL]"
    )
    plain = Answer("hello", body=b"hello")
    assert scrub(plain, KINDS_BY_RULE) is plain


def test_tokens_that_were_likely_are_dropped_where_anything_is_found() -> None:
    """They are pieces of texts: of this one, and of what might have stood in its place."""
    harmless = (Alternatives(0, "refund", (("refund", -0.1), ("cancel", -2.3))),)
    telling = (Alternatives(0, "refund", (("refund", -0.1), (BOB, -2.3))),)
    kept = Answer("refund", alternatives=harmless)
    assert scrub(kept, KINDS_BY_RULE) is kept
    assert scrub(Answer(f"refund {BOB}", alternatives=harmless), ("email",)).alternatives == ()
    assert scrub(Answer("refund", alternatives=telling), ("email",)) == Answer("refund")
    asked = Request("m", (Message("user", BOB),))
    assert scrub_call(asked, kept, ("email",))[1].alternatives == ()
    outward, vault = redact(asked, ("email",))
    told = replace(kept, text=outward.messages[0].text)
    assert vault.restore(told) == Answer(BOB)  # the text is another now
    assert vault.restore(kept) == kept


def test_scrubbed_keys_hide_no_member() -> None:
    call = ToolCall("c", "f", json.dumps({BOB: 1, AMY: 2}))
    scrubbed = scrub(Answer(tool_calls=(call,)), ("email",))
    assert sorted(json.loads(scrubbed.tool_calls[0].arguments).values()) == [1, 2]


def test_scrubbing_twice_is_scrubbing_once() -> None:
    for row in samples():
        once = scrub(row.text, KINDS_BY_RULE)
        assert scrub(once, KINDS_BY_RULE) == once


def test_a_call_is_scrubbed_as_a_whole() -> None:
    asked, answered = scrub_call(
        request(Message("user", "password: hunter2")), Answer("hunter2 is weak"), ("secret",)
    )
    assert asked.messages[0].text == "password: [SECRET]"
    assert answered.text == "[SECRET] is weak"
