"""Requests of the Responses API: to data and back, and what other formats cannot say."""

import json

import pytest
from msgspec.structs import replace

from shoal.chat import Message, Reasoning, Request, ToolCall
from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats import FORMATS, Target
from shoal.formats.chat_completions import record_request
from shoal.formats.responses.params import OWN
from shoal.formats.untranslatable import UNTRANSLATABLE

CHAT, RESPONSES = FORMATS["chat"], FORMATS["responses"]
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
AGENT = {
    "model": "gpt",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is"},
                {"type": "input_image", "image_url": "data:,", "detail": "high"},
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"},
                {"type": "input_file", "file_data": "data:,", "filename": "a.pdf"},
                {"type": "input_text", "text": "this?"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_7",
            "summary": [{"type": "summary_text", "text": "A fish,"}],
            "content": [{"type": "reasoning_text", "text": "perhaps."}],
            "encrypted_content": "sealed",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "look",
            "arguments": '{"at":"sea"}',
        },
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "@@"},
        {"type": "function_call_output", "call_id": "c1", "output": "a fish"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "done"}],
        },
        {"role": "developer", "content": "Now answer."},
        {
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "I would rather not."}],
        },
        {"type": "message", "role": "user", "content": "So?"},
    ],
    "tools": [
        {"type": "function", "name": "look", "parameters": SCHEMA, "strict": True},
        {"type": "function", "name": "stop", "parameters": None, "strict": False},
        {
            "type": "custom",
            "name": "patch",
            "description": "Patches.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
    ],
    "tool_choice": {"type": "function", "name": "look"},
    "text": {
        "format": {"type": "json_schema", "name": "fish", "schema": SCHEMA, "strict": True},
        "verbosity": "low",
    },
    "reasoning": {"effort": "high", "summary": "auto"},
    "max_output_tokens": 300,
    "parallel_tool_calls": False,
    "temperature": 0.2,
    "include": ["reasoning.encrypted_content"],
    "truncation": "auto",
    "store": False,
    "metadata": {"a": "b"},
    "prompt_cache_key": "k",
    "service_tier": "flex",
    "user": "u",
    "unheard_of": [1],
}
MESSAGES = (
    Message("system", "Be brief."),
    Message(
        "user",
        "What is\nthis?",
        '[{"type":"text","text":"What is"},'
        '{"type":"image_url","image_url":{"url":"data:,","detail":"high"}},'
        '{"type":"image_url","image_url":{"url":"https://a/b.png"}},'
        '{"type":"file","file":{"file_data":"data:,","filename":"a.pdf"}},'
        '{"type":"text","text":"this?"}]',
    ),
    Message(
        "assistant",
        "I look.",
        tool_calls=(ToolCall("c1", "look", '{"at":"sea"}'), ToolCall("c2", "patch", "@@")),
        reasoning=(Reasoning("A fish,\n\nperhaps.", "rs_7:sealed"),),
    ),
    Message("tool", "a fish", tool_call_id="c1"),
    Message("tool", "done", '[{"type":"text","text":"done"}]', tool_call_id="c2"),
    Message("developer", "Now answer."),
    Message("assistant", parts='[{"type":"refusal","refusal":"I would rather not."}]'),
    Message("user", "So?"),
)


def body(**changes: object) -> bytes:
    return json.dumps({"model": "gpt", "input": "hi"} | changes).encode()


def read(**changes: object) -> Request:
    return RESPONSES.decode_request(body(**changes))


def params_of(request: Request) -> dict[str, object]:
    """Without what only an answer in this format repeats."""
    params: dict[str, object] = json.loads(request.params)
    return {name: value for name, value in params.items() if name != OWN}


def to_chat(request: Request) -> dict[str, object]:
    sent: dict[str, object] = json.loads(CHAT.encode_request(request, Target("up")))
    return sent


def from_chat(**asked: object) -> dict[str, object]:
    whole = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]} | asked
    request = CHAT.decode_request(json.dumps(whole).encode())
    sent: dict[str, object] = json.loads(RESPONSES.encode_request(request, Target("up")))
    return sent


def test_a_request_is_read_whole() -> None:
    sent = json.dumps(AGENT).encode()
    request = RESPONSES.decode_request(sent)
    assert request.messages == MESSAGES
    assert (request.model, request.stream, request.format) == ("gpt", False, "responses")
    assert request.body is sent
    assert json.loads(request.tools) == [
        {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}},
        {"type": "function", "function": {"name": "stop"}},
        {
            "type": "custom",
            "custom": {
                "name": "patch",
                "description": "Patches.",
                "format": {
                    "type": "grammar",
                    "grammar": {"syntax": "lark", "definition": "start: x"},
                },
            },
        },
    ]
    assert json.loads(request.response_format) == {
        "type": "json_schema",
        "json_schema": {"name": "fish", "schema": SCHEMA, "strict": True},
    }
    assert json.loads(request.params) == {
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "verbosity": "low",
        "reasoning_effort": "high",
        "max_completion_tokens": 300,
        "parallel_tool_calls": False,
        "temperature": 0.2,
        "user": "u",
        "unheard_of": [1],
        OWN: {
            "store": False,
            "metadata": {"a": "b"},
            "truncation": "auto",
            "reasoning": {"effort": "high", "summary": "auto"},
            "instructions": True,
        },
    }


def test_a_text_looks_as_it_does_in_chat_completions() -> None:
    asked = {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "Label it."},
            {"role": "user", "content": "a fish"},
        ],
    }
    chat = CHAT.decode_request(json.dumps(asked).encode())
    said = read(instructions="Label it.", input="a fish", text={"format": {"type": "text"}})
    assert (said.messages, said.tools) == (chat.messages, chat.tools)
    assert (said.response_format, params_of(said)) == (chat.response_format, params_of(chat))
    listed = read(instructions="Label it.", input=[{"role": "user", "content": "a fish"}])
    assert listed.messages == chat.messages


def test_what_one_answer_said_is_one_message() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "1"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}

    def said(text: str) -> dict[str, object]:
        return {"role": "assistant", "content": text}

    def roles(*items: object) -> list[tuple[str, str, int, int]]:
        messages = read(input=list(items)).messages
        return [(m.role, m.text, len(m.tool_calls), len(m.reasoning)) for m in messages]

    assert roles(thought, said("a"), call, result) == [
        ("assistant", "a", 1, 1),
        ("tool", "1", 0, 0),
    ]
    assert roles(said("a"), said("b")) == [("assistant", "a", 0, 0), ("assistant", "b", 0, 0)]
    # whatever comes between a call and its result: a message between them would be refused
    assert roles(call, thought, said("a"), call, said("b"), result)[0] == (
        "assistant",
        "a\nb",
        2,
        1,
    )
    assert roles(thought, said("a"), thought, call)[1] == ("assistant", "", 1, 1)
    assert roles({"type": "reasoning", "id": "rs_1", "summary": []}) == []
    assert read(input=[thought, call]).messages[0].reasoning == (Reasoning("", "rs_1:x", True),)


@pytest.mark.parametrize(
    ("sent", "param", "said"),
    [
        (b"", None, "the body is not JSON"),
        (b"{}", "model", "'model' is missing"),
        (b'{"model": "a"}', "input", "'input' is missing"),
        (body(input=[]), "input", "expected at least one item"),
        (body(input=3), "input", "input: expected a string or a list of items"),
        (body(input=["hi"]), "input[0]", "input[0]: expected an object"),
        (
            body(input=[{"role": "user"}]),
            "input[0].content",
            "expected a string or a list of parts",
        ),
        (
            body(input=[{"role": "user", "content": [{"type": "input_text", "text": 3}]}]),
            "input[0].content[0].text",
            "expected a string, got a number",
        ),
        (
            body(input=[{"type": "function_call", "name": {}, "call_id": "c"}]),
            "input[0].name",
            "expected a string, got an object",
        ),
        (body(instructions=["x"]), "instructions", "instructions: expected a string"),
        (body(tools={}), "tools", "expected a list of tools"),
        (body(stream="yes"), "stream", "expected true or false"),
        (b'{"model": "a", "input": "x", "input": "y"}', "input", "'input' is given twice"),
        (b'{"model": "a", "input": ' + b"[" * 100_000, None, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said(sent: bytes, param: str | None, said: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        RESPONSES.decode_request(sent)
    assert said in str(caught.value)
    assert caught.value.param == param


def test_its_own_requests_are_forwarded_byte_for_byte() -> None:
    sent = b'{ "input": [{"type":"new_thing","x":1.50}], "model":"gpt" ,"background":true}'
    request = RESPONSES.decode_request(sent)
    assert RESPONSES.encode_request(request, Target("gpt")) is sent
    renamed = RESPONSES.encode_request(request, Target("up"))
    assert renamed == sent.replace(b'"gpt"', b'"up"')
    streamed = RESPONSES.encode_request(replace(request, stream=True), Target("gpt"))
    assert streamed == sent[:-1] + b',"stream":true}'
    asked_whole = RESPONSES.decode_request(body(stream=True, stream_options={"x": 1}))
    whole = json.loads(RESPONSES.encode_request(replace(asked_whole, stream=False), Target("gpt")))
    assert whole == {"model": "gpt", "input": "hi", "stream": False}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0] (web_search)"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0] (mcp)"),
        ({"tools": [3]}, "tools[0] (of no type)"),
        (
            {"tools": [{"type": "function", "name": "f", "defer_loading": True}]},
            "tools[0].defer_loading",
        ),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice (file_search)"),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "image_generation"}],
                }
            },
            "tool_choice (allowed_tools)",
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        (
            {"include": ["message.output_text.logprobs"]},
            "include[0] (message.output_text.logprobs)",
        ),
        ({"include": 3}, "include"),
        ({"text": {"unheard_of": 1}}, "text.unheard_of"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0] (item_reference)"),
        ({"input": [{"id": "msg_1"}]}, "input[0] (of no type)"),
        ({"input": [{"type": "web_search_call", "id": "w"}]}, "input[0] (web_search_call)"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0] (input_image)",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
            "input[0].content[0] (input_file)",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "hologram"}]}]},
            "input[0].content[0] (hologram)",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "namespace": "n"}]},
            "input[0].namespace",
        ),
    ],
)
def test_what_chat_completions_cannot_say(changes: dict[str, object], named: str) -> None:
    """It is refused by name, and a request in the same format still goes through untouched."""
    request = read(**changes)
    assert json.loads(request.params)[UNTRANSLATABLE] == [named]
    with pytest.raises(Untranslatable) as caught:
        CHAT.encode_request(request, Target("up"))
    assert named in str(caught.value)
    assert caught.value.param == named.split(" ")[0]
    assert json.loads(RESPONSES.encode_request(request, Target("up")))["model"] == "up"
    with pytest.raises(Untranslatable):
        RESPONSES.encode_request(replace(request, body=b""), Target("up"))


@pytest.mark.parametrize(
    "changes",
    [
        {"background": False, "previous_response_id": None, "top_logprobs": 0, "prompt": None},
        {"store": True, "metadata": {}, "truncation": "auto", "max_tool_calls": 3},
        {"include": ["reasoning.encrypted_content", "web_search_call.action.sources"]},
        {"reasoning": {"summary": "auto", "mode": "standard", "context": "auto"}},
        {"prompt_cache_key": "k", "safety_identifier": "s", "stream_options": {"x": 1}},
        {"tools": [], "text": {"format": None, "verbosity": None}, "tool_choice": None},
    ],
)
def test_hints_and_defaults_are_left_out_between_formats(changes: dict[str, object]) -> None:
    sent = to_chat(read(**changes))
    sent.pop("tools", None)
    assert sent == {"model": "up", "messages": [{"role": "user", "content": "hi"}]}


def test_an_agent_in_chat_completions_and_back() -> None:
    request = RESPONSES.decode_request(json.dumps(AGENT).encode())
    sent = CHAT.encode_request(request, Target("gpt"))
    calls = json.loads(sent)["messages"][2]["tool_calls"]
    assert [call["type"] for call in calls] == ["function", "custom"]
    assert calls[1]["custom"] == {"name": "patch", "input": "@@"}
    there = CHAT.decode_request(sent)
    back = RESPONSES.decode_request(RESPONSES.encode_request(there, Target("gpt")))
    assert back.messages == request.messages
    for name in ("tools", "response_format"):
        assert json.loads(getattr(back, name)) == json.loads(getattr(request, name))
    assert params_of(back) == params_of(request)


def test_pictures_in_a_tools_result_stay_within_the_format() -> None:
    picture = {"type": "input_image", "image_url": "data:,", "detail": "low"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": [picture]}
    request = read(input=[call, result])
    with pytest.raises(Untranslatable, match="image_url in a tool's result"):
        CHAT.encode_request(request, Target("up"))
    rebuilt = json.loads(RESPONSES.encode_request(replace(request, body=b""), Target("up")))
    assert rebuilt["input"][1]["output"] == [picture]


def test_a_chat_is_asked_in_responses() -> None:
    sent = from_chat(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A"}], "name": None},
            {
                "role": "assistant",
                "content": None,
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "rs_1:x"},
                    {"type": "reasoning.text", "text": "unsigned"},
                ],
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "1"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "f"}}]}},
        response_format={"type": "json_object"},
        max_tokens=50,
        reasoning_effort="low",
        verbosity="high",
        stop=None,
        n=1,
        logprobs=False,
        modalities=["text"],
        seed=None,
        metadata={"a": "b"},
        store=True,
        user="u",
        top_p=0.5,
    )  # fmt: skip
    assert sent == {
        "model": "up",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:,", "detail": "auto"}],
            },
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "A", "annotations": []}],
            },
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "x",
            },
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "1"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        "text": {"verbosity": "high", "format": {"type": "json_object"}},
        "max_output_tokens": 50,
        "reasoning": {"effort": "low"},
        "user": "u",
        "top_p": 0.5,
        "store": False,
    }


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"stop": ["x"]}, "stop"),
        ({"n": 2}, "n"),
        ({"seed": 0}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0]"),
        ({"tool_choice": {"type": "hosted"}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": "a", "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "content": "a"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}]},
            "messages[0].function_call",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
        ),
        ({UNTRANSLATABLE: ["thinking (adaptive)"]}, "thinking"),
        ({UNTRANSLATABLE: 3}, UNTRANSLATABLE),
    ],
)
def test_what_responses_cannot_say(asked: dict[str, object], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        from_chat(**asked)
    assert caught.value.param == param
    assert param in str(caught.value)


def test_it_is_named_as_its_caller_wrote_it() -> None:
    request = Request("a", (Message("user", "hi"),), params='{"stop":["x"]}', format="messages")
    with pytest.raises(Untranslatable) as caught:
        RESPONSES.encode_request(request, Target("up"))
    assert caught.value.param == "stop_sequences"


def test_a_recording_keeps_what_no_other_format_says() -> None:
    request = read(tools=[{"type": "web_search"}], previous_response_id="resp_1")
    kept = CHAT.decode_request(record_request(replace(request, body=b"")))
    assert (kept.params, kept.tools) == (request.params, request.tools)
    assert kept.messages == request.messages


def test_input_may_stand_elsewhere() -> None:
    sent = json.dumps({"model": "gpt", "prompt": {"id": "p"}, "input": []}).encode()
    assert RESPONSES.decode_request(sent).messages == ()
