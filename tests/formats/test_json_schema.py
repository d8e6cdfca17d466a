"""Values against schemas of anybody's: no schema keeps the validator busy."""

import json
import time
from typing import Any

import pytest

from shoal.formats.json_schema import breach, is_schema, is_valid

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "left": {"$ref": "#/$defs/node"},
                "right": {"$ref": "#/$defs/node"},
                "all": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "size": {"type": "integer"},
            },
        }
    },
    "$ref": "#/$defs/node",
}


def nested(value: Any, levels: int, key: str = "x") -> Any:
    for _ in range(levels):
        value = {key: value}
    return value


def twice_at_each_level(wanted: str) -> dict[str, Any]:
    """A schema that looks twice at ``x``, four times at ``x.x``, and so on."""
    ways = [{"properties": {"x": {"$ref": "#"}}, "required": [name]} for name in (wanted, "z")]
    return {"anyOf": ways}


@pytest.mark.parametrize("levels", [12, 40, 250])
def test_a_schema_that_branches_at_each_level_is_not_followed_down_for_ever(levels: int) -> None:
    schema, value = json.dumps(twice_at_each_level("y")), nested({}, levels)
    began = time.process_time()
    assert breach(schema, value)
    assert not is_valid(schema, value)
    assert time.process_time() - began < 5


def test_a_schema_that_branches_is_held_to_where_that_is_done_soon() -> None:
    schema = json.dumps(twice_at_each_level("x"))
    assert breach(schema, nested({"z": 1}, 5)) == ""
    assert "any of" in breach(schema, nested({}, 2))


def test_ways_that_double_at_one_place_are_refused() -> None:
    both = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(60)} | {
        "a60": {"type": "string"}
    }
    assert not is_schema({"$defs": both, "$ref": "#/$defs/a0"})
    assert "cannot be read" in breach(json.dumps({"$defs": both, "$ref": "#/$defs/a0"}), "x")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "http://127.0.0.1:1/x.json"},
    ],
)
def test_a_schema_that_goes_round_or_leads_out_is_none(schema: dict[str, Any]) -> None:
    assert not is_schema(schema)


def test_a_schema_of_trees_is_held_to_however_deep_they_are() -> None:
    assert is_schema(TREE)
    value = nested({"all": [{"size": 1}, {"left": {"size": "two"}}]}, 100, "left")
    assert breach(json.dumps(TREE), value).startswith("left.left.")
    assert breach(json.dumps(TREE), nested({}, 100, "right")) == ""


def test_a_value_nested_too_deeply_is_told_of() -> None:
    value: Any = 1
    for _ in range(900):
        value = [value]
    assert breach('{"type": "object"}', value)
    assert not is_valid('{"type": "object"}', value)


def test_what_is_wrong_is_told_without_megabytes_of_it() -> None:
    told = breach('{"type": "integer"}', ["x" * 1_000] * 2_000)
    assert len(told) < 3_000
    assert 'is not of type "integer"' in told
