"""Messages bytes to data and back, and between them and Chat Completions."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from shoal.chat import Answer, Message, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineUnreachable, MalformedRequest, Untranslatable
from shoal.formats import FORMATS, Envelope, ErrorText, Target
from shoal.formats.chat_completions import CHAT_COMPLETIONS, record_request
from shoal.formats.messages import MESSAGES, decode_answer, decode_request
from shoal.formats.messages import encode_answer as encode
from shoal.formats.messages import encode_request as send
from shoal.tasks.template import skeleton_of

TARGET = Target("up")
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
LOOK = {"name": "look", "description": "Look there.", "input_schema": SCHEMA}
HI: dict[str, Any] = {"role": "user", "content": "hi"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}


def asked(**fields: object) -> Request:
    return decode_request(
        json.dumps({"model": "m", "max_tokens": 9, "messages": [HI], **fields}).encode()
    )


def turns(*messages: object, **fields: object) -> Request:
    return asked(messages=list(messages), **fields)


def chat(**fields: object) -> Request:
    return CHAT_COMPLETIONS.decode_request(
        json.dumps({"model": "m", "messages": [HI], **fields}).encode()
    )


def to_chat(request: Request) -> dict[str, Any]:
    return json.loads(CHAT_COMPLETIONS.encode_request(request, TARGET))  # type: ignore[no-any-return]


def to_messages(request: Request) -> dict[str, Any]:
    return json.loads(send(request, TARGET))  # type: ignore[no-any-return]


def rebuilt(request: Request) -> dict[str, Any]:
    return to_messages(replace(request, body=b""))


def enveloped(answer: Answer) -> dict[str, Any]:
    return json.loads(encode(answer, Envelope("x", 1, asked())))  # type: ignore[no-any-return]


def test_it_is_in_the_catalogue() -> None:
    assert FORMATS["messages"] is MESSAGES
    assert MESSAGES.path == "/messages"


# --- requests as they came ---


def test_what_came_in_this_format_is_forwarded_as_it_came() -> None:
    sent = b'{ "model":"up","max_tokens":9, "new": {"a":1.50}, "messages":[{"role":"user",'
    sent += b'"content":[{"type":"never heard of","x":[1]},{"type":"text","text":"hi"}]}] }'
    assert send(decode_request(sent), TARGET) == sent
    assert send(decode_request(sent), Target("other")) == sent.replace(b'"up"', b'"other"')
    whole = replace(decode_request(sent), stream=True)
    assert send(whole, TARGET) == sent.replace(b"}] }", b'}],"stream":true }')


def test_a_request_is_read_as_chat_completions_would_say_it() -> None:
    request = asked(
        system="Be brief.",
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Where?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "s1"},
                    {"type": "redacted_thinking", "data": "s2"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sea"}},
                    {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "a fish"},
                    {"type": "text", "text": "And now?"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": []},
                ],
            },
        ],
        tools=[LOOK],
    )
    assert request.format == "messages"
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "Where?"),
        Message(
            "assistant",
            "I look.",
            tool_calls=(ToolCall("t1", "look", '{"at": "sea"}'), ToolCall("t2", "look", "{}")),
            reasoning=(Reasoning("Hm.", "s1"), Reasoning("", "s2", sealed=True)),
        ),
        Message("tool", "a fish", tool_call_id="t1"),
        Message("tool", "", tool_call_id="t2"),
        Message("user", "And now?"),
    )
    function = {"name": "look", "description": "Look there.", "parameters": SCHEMA}
    assert json.loads(request.tools) == [{"type": "function", "function": function}]
    assert json.loads(request.params) == {"max_completion_tokens": 9}


def test_a_system_prompt_may_come_in_blocks() -> None:
    one = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert asked(system=[one]).messages[0] == Message("system", "a")
    two = asked(system=[one, {"type": "text", "text": "b"}]).messages[0]
    assert two.text == "a\nb"
    assert [part["text"] for part in json.loads(two.parts)] == ["a", "b"]
    assert "cache_control" not in two.parts


def test_settings_are_read_in_the_names_of_chat_completions() -> None:
    request = asked(
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        tools=[LOOK],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        metadata={"user_id": "u"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": SCHEMA}},
        service_tier="auto",
        stream=True,
    )
    sent = to_chat(request)
    assert sent.pop("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    for name in ("messages", "tools"):
        del sent[name]
    assert sent == {
        "model": "up",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop": ["END"],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "user": "u",
        "reasoning_effort": "xhigh",
    }


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "disabled"}, "none"),
        ({"type": "enabled", "budget_tokens": 1024}, "low"),
        ({"type": "enabled", "budget_tokens": 10_000}, "medium"),
        ({"type": "enabled", "budget_tokens": 32_000}, "high"),
        ({"type": "adaptive"}, None),
        ({"type": "not yet known"}, None),
    ],
)
def test_how_much_is_to_be_thought(thinking: dict[str, object], effort: str | None) -> None:
    assert to_chat(asked(thinking=thinking)).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_the_choice_of_tools(choice: dict[str, object], said: object) -> None:
    request = asked(tools=[LOOK], tool_choice=choice)
    assert to_chat(request)["tool_choice"] == said
    assert rebuilt(request)["tool_choice"] == choice


def test_images_and_documents() -> None:
    request = turns(
        {
            "role": "user",
            "content": [
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
                },
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "document", "title": "a.pdf", "source": PDF},
                {
                    "type": "document",
                    "title": "Notes",
                    "source": {"type": "text", "media_type": "text/plain", "data": "low tide"},
                },
            ],
        }
    )
    url = "data:application/pdf;base64,JVBE"
    assert to_chat(request)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": url}},
        {"type": "text", "text": "Notes\nlow tide"},
    ]
    assert request.messages[0].text == "Notes\nlow tide"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no such place", "Error: no such place"),
        ("Error 7", "Error 7"),
        ([{"type": "text", "text": "no such place"}], "Error: no such place"),
        (None, "Error:"),
        ([], "Error:"),
    ],
)
def test_that_a_tool_failed_is_said_in_its_result(content: object, said: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": True}
    (message,) = turns({"role": "user", "content": [result]}).messages
    assert (message.role, message.text, message.parts) == ("tool", said, "")


STRANGE: list[tuple[dict[str, object], str]] = [
    ({"tools": [LOOK, {"type": "web_search_20250305", "name": "web_search"}]}, "tools[1]"),
    ({"tools": [{**LOOK, "defer_loading": True}]}, "tools[0]"),
    ({"tool_choice": {"type": "browser"}}, "tool_choice"),
    ({"container": "c1"}, "container"),
    ({"mcp_servers": []}, "mcp_servers"),
    ({"inference_geo": "us"}, "inference_geo"),
    ({"not_yet_known": 1}, "not_yet_known"),
    ({"output_config": {"task_budget": {"type": "tokens"}}}, "output_config.task_budget"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
    ({"system": [{"type": "never heard of"}]}, "system[0]"),
    *(
        ({"messages": [{"role": role, "content": [block]}, HI]}, "messages[0].content[0]")
        for role, block in (
            ("assistant", {"type": "server_tool_use", "id": "s", "name": "web_search"}),
            ("user", {"type": "container_upload", "file_id": "f"}),
            ("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}),
            ("user", {"type": "document", "source": {"type": "url", "url": "https://x"}}),
            ("user", {"type": "document", "source": PDF, "citations": {"enabled": True}}),
            ("user", {"type": "search_result", "source": "https://x", "title": "t"}),
            ("user", {"type": "tool_use", "id": "t", "name": "n", "input": {}}),
        )
    ),
]


@pytest.mark.parametrize(("fields", "param"), STRANGE)
def test_what_chat_completions_cannot_say_is_refused_by_name(
    fields: dict[str, object], param: str
) -> None:
    """And when the request is written anew in its own format, nothing of it is lost."""
    request = asked(**fields)
    with pytest.raises(Untranslatable) as caught:
        CHAT_COMPLETIONS.encode_request(request, TARGET)
    assert caught.value.param == param
    assert param in str(caught.value)
    again = rebuilt(request)
    expected = {name: value for name, value in fields.items() if name != "messages"}
    assert {name: again[name] for name in expected} == expected
    if isinstance(sent := fields.get("messages"), list):
        assert again["messages"][0]["content"][0] == sent[0]["content"][0]


def test_a_recording_keeps_what_cannot_be_sent() -> None:
    recorded = json.loads(record_request(asked(container="c1")))
    assert recorded["shoal:untranslatable"] == ["container"]
    assert CHAT_COMPLETIONS.decode_request(record_request(asked(container="c1"))).messages


def test_what_shoal_keeps_for_itself_is_never_sent() -> None:
    sent = CHAT_COMPLETIONS.encode_request(asked(thinking={"type": "adaptive"}), TARGET)
    assert b"shoal:" not in sent
    assert b"shoal:" not in send(replace(asked(container="c1"), body=b""), TARGET)


def test_a_request_written_anew_keeps_its_own_settings() -> None:
    own = {
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "temperature": 1.0,
        "stop_sequences": ["x"],
        "system": "s",
        "stream": True,
    }
    expected = {"model": "up", "max_tokens": 9, "messages": [HI], **own}
    assert rebuilt(asked(**own)) == expected


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (b"[]", None, "must be a JSON object"),
        (b'{"model": "a"}', "messages", "'messages' is missing"),
        (b'{"model": "a", "messages": []}', "messages", "at least one message"),
        (b'{"model": "a", "messages": 3}', "messages", "expected a list, got a number"),
        (b'{"model": "a", "messages": [{}]}', "messages[0]", "'role' is missing"),
        (b'{"model": 1, "messages": []}', "model", "expected the name of a model"),
        (b'{"model": "a", "messages": [{"role":"user"}], "stream": 1}', "stream", "true or false"),
        (b'{"model": "a", "messages": [{"role":"user"}], "tools": {}}', "tools", "list of tools"),
        (b'{"model": "a", "messages": [{"role":"u"}], "tools": [1]}', "tools[0]", "an object"),
        (
            b'{"model": "a", "messages": [{"role":"user","content":7}]}',
            "messages[0].content",
            "expected a string or a list of blocks, got a number",
        ),
        (
            b'{"model": "a", "messages": [{"role":"user","content":[{"text":"x"}]}]}',
            "messages[0].content[0]",
            "'type' is missing",
        ),
        (
            b'{"model": "a", "messages": [{"role":"user","content":[{"type":"text","text":1}]}]}',
            "messages[0].content[0].text",
            "expected a string, got a number",
        ),
        (b'{"model": "a", "messages": [], "system": 1}', "system", "a string or a list"),
        (b"\x1f\x8b", None, "gzip"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, param: str | None, said: str) -> None:
    with pytest.raises(MalformedRequest, match=said.replace("[", r"\[")) as caught:
        decode_request(body)
    assert caught.value.param == param


# --- requests that came in Chat Completions ---


def test_a_chat_request_as_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    sent = to_messages(
        chat(
            messages=[
                {"role": "system", "content": "a"},
                {"role": "developer", "content": "b"},
                {"role": "user", "content": "one"},
                {"role": "user", "content": [{"type": "text", "text": "two"}]},
                {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "r1"},
                {"role": "tool", "tool_call_id": "c2", "content": ""},
                {"role": "user", "content": "three"},
                {"role": "system", "content": "from now on"},
                {"role": "user", "content": ""},
                {"role": "assistant", "content": "ok"},
            ],
            tools=[{"type": "function", "function": {"name": "look", "strict": True}}],
            tool_choice={"type": "function", "function": {"name": "look"}},
            parallel_tool_calls=False,
            max_completion_tokens=7,
            temperature=1,
            stop="END",
            user="u",
            reasoning_effort="minimal",
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            n=1,
            logprobs=False,
            presence_penalty=0.0,
            metadata={"a": "b"},
            seed=3,
            stream_options=None,
            function_call=None,
        )
    )
    use = {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}
    assert sent == {
        "model": "up",
        "max_tokens": 7,
        "temperature": 1,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "thinking": {"type": "adaptive"},
        "output_config": {
            "effort": "low",
            "format": {"type": "json_schema", "schema": SCHEMA},
        },
        "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
            },
            {"role": "assistant", "content": [use, {**use, "id": "c2"}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "r1"},
                    {"type": "tool_result", "tool_use_id": "c2"},
                    {"type": "text", "text": "three"},
                ],
            },
            {"role": "system", "content": "from now on"},
            {"role": "assistant", "content": "ok"},
        ],
        "tools": [
            {"name": "look", "input_schema": {"type": "object", "properties": {}}, "strict": True}
        ],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    }


def test_a_limit_is_named_where_the_caller_named_none() -> None:
    assert to_messages(chat())["max_tokens"] == 8_192
    assert json.loads(send(chat(), Target("up", output_tokens=5)))["max_tokens"] == 5
    assert to_messages(chat(max_tokens=3))["max_tokens"] == 3


def test_results_of_tools_come_first_in_a_turn() -> None:
    late = chat(
        messages=[
            {"role": "user", "content": "first"},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ]
    )
    (turn,) = to_messages(late)["messages"]
    assert [block["type"] for block in turn["content"]] == ["tool_result", "text"]


def test_images_and_files_become_blocks() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        },
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}},
        {"type": "text", "text": ""},
    ]
    (turn,) = to_messages(chat(messages=[{"role": "user", "content": parts}]))["messages"]
    assert turn["content"] == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "document", "source": PDF, "title": "a.pdf"},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
        },
    ]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ("  ", {}),
        ("null", {"arguments": "null"}),
        ('["a"]', {"arguments": '["a"]'}),
        ('{"a": ', {"arguments": '{"a": '}),
        ("look at 🐟", {"arguments": "look at 🐟"}),
        ('{"a": NaN}', {"arguments": '{"a": NaN}'}),
        ("[" * 100_000, {"arguments": "[" * 100_000}),
    ],
)
def test_arguments_that_are_no_object_make_a_valid_message(
    arguments: str, given: dict[str, object]
) -> None:
    call = ToolCall("c", "look", arguments)
    request = Request("m", (Message("user", "x"), Message("assistant", tool_calls=(call,))))
    assert to_messages(request)["messages"][1]["content"][0]["input"] == given
    assert enveloped(Answer(tool_calls=(call,)))["content"][0]["input"] == given


def test_an_id_that_anthropic_would_refuse_is_replaced_in_both_places() -> None:
    call = {"id": "functions.look:0", "type": "function", "function": {"name": "look"}}
    sent = to_messages(
        chat(
            messages=[
                HI,
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "functions.look:0", "content": "r"},
            ]
        )
    )["messages"]
    used, result = sent[1]["content"][0]["id"], sent[2]["content"][0]["tool_use_id"]
    assert used == result
    assert used.replace("_", "").isalnum()


def test_reasoning_that_nobody_signed_is_not_sent() -> None:
    thoughts = (Reasoning("a", "s"), Reasoning("b"), Reasoning("", "x", sealed=True))
    request = Request("m", (Message("user", "q"), Message("assistant", "ok", reasoning=thoughts)))
    assert to_messages(request)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "ok"},
    ]


def a_part(**part: object) -> dict[str, object]:
    return {"messages": [HI, {"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": []}, "functions"),
        ({"verbosity": "low"}, "verbosity"),
        ({"min_p": 0.1}, "min_p"),
        ({"temperature": 1.5}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": 3}}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "n"}}]}, "tools[0]"),
        ({"messages": [{"role": "user", "name": "ann", "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        (a_part(type="input_audio", input_audio={}), "messages[1].content[0]"),
        (a_part(type="file", file={"file_id": "f"}), "messages[1].content[0]"),
        (a_part(type="image_url", image_url={"url": "data:,x"}), "messages[1].content[0]"),
        (
            a_part(type="file", file={"file_data": "data:text/plain;base64,é"}),
            "messages[1].content[0]",
        ),
        ({"shoal:untranslatable": ["input[3] (computer)"]}, "input[3]"),
        ({"shoal:untranslatable": 3}, "shoal:untranslatable"),
    ],
)
def test_what_messages_cannot_say_is_refused_by_name(fields: dict[str, object], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        send(chat(**fields), TARGET)
    assert caught.value.param == param
    assert param in str(caught.value)


def test_a_task_looks_the_same_in_both_formats() -> None:
    """Discovery and specialists see no difference."""
    function = {"name": "look", "description": "Look there.", "parameters": SCHEMA}
    wanted = {"name": "answer", "schema": SCHEMA, "strict": True}
    fields = [
        {
            "messages": [{"role": "system", "content": "Name the fish."}, HI],
            "tools": [{"type": "function", "function": function}],
            "response_format": {"type": "json_schema", "json_schema": wanted},
        },
        {
            "max_tokens": 9,
            "system": [{"type": "text", "text": "Name the fish."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            "tools": [LOOK],
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    ]
    bodies = [json.dumps({"model": "m", **f}, separators=(",", ":")).encode() for f in fields]
    one, other = CHAT_COMPLETIONS.decode_request(bodies[0]), decode_request(bodies[1])
    assert one.messages == other.messages
    assert skeleton_of(one) == skeleton_of(other)


# --- answers ---

THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
REPLY: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        THOUGHT,
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "One "},
        {"type": "text", "text": "answer.", "citations": []},
        {"type": "server_tool_use", "id": 7, "name": None},
        {"type": "tool_use", "id": "t", "name": "look", "input": {"at": 1.50}},
        {"type": "text", "text": " More."},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 3,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    },
}


def test_an_answer_is_read() -> None:
    body = json.dumps(REPLY).encode()
    answer = decode_answer(body)
    assert answer == Answer(
        text="One answer. More.",
        tool_calls=(ToolCall("t", "look", '{"at": 1.5}'),),
        finish_reason="tool_calls",
        model="claude",
        usage=Usage(123, 9, cached_tokens=100, reasoning_tokens=4, cache_write_tokens=20),
        body=body,
        reasoning=(Reasoning("Hm.", "s"), Reasoning("", "x", sealed=True)),
        format="messages",
    )


def test_an_answer_is_written() -> None:
    answer = decode_answer(json.dumps(REPLY).encode())
    written = enveloped(answer)
    assert written.pop("id") == "msg_x"
    expected = {name: value for name, value in REPLY.items() if name != "id"}
    content = [
        block for block in REPLY["content"] if block["type"] not in ("text", "server_tool_use")
    ]
    content.insert(2, {"type": "text", "text": "One answer. More."})
    assert written == expected | {"content": content}


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason", "again"),
    [
        ("end_turn", "stop", "end_turn"),
        ("stop_sequence", "stop", "end_turn"),
        ("pause_turn", "stop", "end_turn"),
        ("not yet known", "stop", "end_turn"),
        (None, "stop", "end_turn"),
        ("max_tokens", "length", "max_tokens"),
        ("model_context_window_exceeded", "length", "max_tokens"),
        ("tool_use", "tool_calls", "end_turn"),
        ("refusal", "content_filter", "refusal"),
    ],
)
def test_why_it_ended(stop_reason: str | None, finish_reason: str, again: str) -> None:
    answer = decode_answer(json.dumps({"content": [], "stop_reason": stop_reason}).encode())
    assert answer.finish_reason == finish_reason
    assert enveloped(answer)["stop_reason"] == again


def test_calls_of_tools_are_a_reason_to_stop_whatever_the_server_says() -> None:
    call = ToolCall("c", "look", "{}")
    assert enveloped(Answer(tool_calls=(call,), finish_reason="stop"))["stop_reason"] == "tool_use"
    cut = Answer(tool_calls=(call,), finish_reason="length")
    assert enveloped(cut)["stop_reason"] == "max_tokens"


def test_refusals() -> None:
    written = enveloped(Answer(refusal="I will not.", finish_reason="stop"))
    assert written["stop_reason"] == "refusal"
    assert written["stop_details"]["explanation"] == "I will not."
    again = decode_answer(json.dumps(written).encode())
    assert (again.refusal, again.finish_reason) == ("I will not.", "content_filter")


def test_calls_without_an_id_get_one_each() -> None:
    calls = (ToolCall("", "a", "{}"), ToolCall("", "b", "{}"))
    ids = [block["id"] for block in enveloped(Answer(tool_calls=calls))["content"]]
    assert len(set(ids)) == 2


def test_an_unknown_usage_is_written_as_nothing() -> None:
    assert enveloped(Answer("x"))["usage"]["input_tokens"] == 0
    assert decode_answer(b'{"content":[],"usage":{"input_tokens":"many"}}').usage is None
    assert decode_answer(b'{"content":[]}').usage is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"<html>", "it is not JSON"),
        (b"{}", "'content' is missing"),
        (b'{"type":"error","error":{"message":"no"}}', "'content' is missing"),
        (b'{"content":"x"}', "expected a list"),
        (b'{"content":[{"type":"text","text":1}]}', "text"),
        (b'{"content":' + b"[" * 100_000, "it is not JSON"),
    ],
)
def test_what_is_no_answer(reply: bytes, said: str) -> None:
    with pytest.raises(EngineUnreachable, match=said):
        decode_answer(reply)


# --- errors ---


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_types(status: int, kind: str) -> None:
    body = MESSAGES.encode_error(ErrorText(status, "no", param="p", code="c", call_id="id"))
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": kind, "message": "no", "code": "c", "param": "p"},
        "request_id": "id",
    }
    assert MESSAGES.is_error(body)


def test_errors_of_others_are_known_as_such() -> None:
    openai = CHAT_COMPLETIONS.encode_error(ErrorText(400, "no"))
    assert not MESSAGES.is_error(openai)
    assert not CHAT_COMPLETIONS.is_error(MESSAGES.encode_error(ErrorText(400, "no")))
    assert not MESSAGES.is_error(b"<html>")
    assert MESSAGES.encode_error(ErrorText(400, "no")).count(b"null") == 0
