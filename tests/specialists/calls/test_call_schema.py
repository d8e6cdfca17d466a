import json

import pytest

from shoal.chat import ToolCall
from shoal.specialists.calls.schema import (
    Argument,
    Tool,
    arguments_of,
    canonical,
    is_valid,
    observed,
    offered,
    shape_of,
)


def tool(schema: object) -> Tool:
    found = offered(
        json.dumps([{"type": "function", "function": {"name": "f", "parameters": schema}}])
    )
    return found[0]


def test_offered_tools_are_read_with_their_arguments() -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where", "enum": ["Rome", "Oslo"]},
            "days": {"type": "integer", "default": 3},
            "who": {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {}, "age": {}}},
            },
            "anything": {},
        },
        "required": ["city"],
    }
    assert tool(schema).arguments == (
        Argument("city", "string", True, "Where", ('"Rome"', '"Oslo"')),
        Argument("days", "integer", default="3"),
        Argument("who", "array", items=("name", "age")),
        Argument("anything"),
    )


@pytest.mark.parametrize(
    "tools",
    [
        "",
        "no json",
        "{}",
        "[1]",
        '[{"type":"web_search"}]',
        "[" * 100_000,
        '[{"function": {"name": 3}}]',
    ],
)
def test_what_is_no_tool_is_left_out(tools: str) -> None:
    assert offered(tools) == ()


@pytest.mark.parametrize("parameters", [None, 3, {"properties": 3}, {"properties": {"a": 3}}])
def test_odd_schemas_are_survived(parameters: object) -> None:
    assert len(tool(parameters).arguments) <= 1


def test_arguments_are_checked_against_the_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    assert is_valid(tool({**schema, "required": ["n"]}), {"n": 1})
    assert not is_valid(tool({**schema, "required": ["n"]}), {})
    assert not is_valid(tool(schema), {"n": 0})
    assert not is_valid(tool(schema), {"n": "1"})
    assert is_valid(Tool("without a schema"), {"n": "1"})


def test_pythons_names_for_types_are_understood() -> None:
    schema = {"type": "dict", "properties": {"x": {"type": "float", "required": True}}}
    assert is_valid(tool(schema), {"x": 1.5})
    assert not is_valid(tool(schema), {"x": "much"})
    assert tool(schema).arguments == (Argument("x", "number"),)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/schema", "file:///etc/passwd", "https://example.com/x.json"]
)
def test_schemas_elsewhere_are_never_fetched(address: str) -> None:
    """Whatever they would say: nothing is valid then, so the call is declined."""
    assert not is_valid(tool({"properties": {"x": {"$ref": address}}}), {"x": 1})


def test_tools_are_known_from_their_calls() -> None:
    calls = [
        ToolCall("", "f", '{"id": "a", "n": 1, "rows": [{"x": 1, "y": 2}]}'),
        ToolCall("", "f", '{"id": "b", "n": 1.5, "rows": [{"x": 3, "y": 4}, {"x": 5, "y": 6}]}'),
        ToolCall("", "f", '{"id": "c", "rows": []}'),
        ToolCall("", "g", ""),
        ToolCall("", "h", "no json"),
    ]
    assert observed(calls) == {
        "f": Tool(
            "f",
            arguments=(
                Argument("id", "string", True),
                Argument("n", "number"),
                Argument("rows", "array", True, items=("x", "y")),
            ),
        ),
        "g": Tool("g"),
    }


def test_equal_values_have_one_canonical_text() -> None:
    assert canonical({"b": 1.0, "a": [2.5, True]}) == canonical({"a": [2.5, True], "b": 1})
    assert canonical(True) != canonical(1)
    assert canonical("1") != canonical(1)


def test_arguments_that_are_no_object() -> None:
    assert arguments_of(ToolCall("", "f", "")) == {}
    for text in ("[]", "x", "3"):
        assert arguments_of(ToolCall("", "f", text)) is None


def test_shapes() -> None:
    assert shape_of("H8Q05L") == shape_of("M20IZO") != shape_of("HAT136A")
    assert shape_of("mia_li_3668") == shape_of("sophia_silva_7557")
    assert shape_of({"b": 1, "a": 2}) == "{a, b}"
    assert shape_of([1, 2]) == "[integer]"
