"""Operations out of an OpenAPI document."""

import copy
import json
from typing import Any

import pytest

from shoal.formats.json_schema import breach
from shoal.tools.http.openapi import WrongDocument, operations

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://shop.example/v1/"}],
    "paths": {
        "/orders/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getOrder",
                "summary": "One order",
                "description": "With its lines.",
                "parameters": [
                    {"name": "id", "in": "query", "schema": {"type": "integer", "nullable": True}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                        }
                    },
                    "404": {"description": "no"},
                },
            },
            "put": {
                "operationId": "put.order",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                    },
                },
                "responses": {"204": {"description": "done"}},
            },
        }
    },
    "components": {
        "parameters": {
            "Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"},
                   "description": "the order's number"},
        },
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["price"],
                "properties": {
                    "price": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                    "xml": {"type": "string"},
                    "parent": {"allOf": [{"$ref": "#/components/schemas/Order"}]},
                    "line": {"$ref": "#/components/schemas/Line"},
                },
            },
            "Line": {"type": "string", "nullable": True, "maxLength": 3},
            "Unused": {"type": "string"},
        },
    },
}  # fmt: skip


def test_only_what_is_wanted_in_that_order() -> None:
    found = operations(DOCUMENT, ["put.order", "getOrder"], "shop_")
    assert [each.name for each in found] == ["shop_put_order", "shop_getOrder"]
    put, get = found
    assert (get.method, get.url, get.reads) == ("GET", "https://shop.example/v1/orders/{id}", True)
    assert (put.method, put.reads) == ("PUT", False)
    assert get.description == "One order\nWith its lines."
    takes = json.loads(get.takes)
    assert set(takes["properties"]) == {"path_id", "query_id"}
    assert takes["required"] == ["path_id"]
    assert takes["properties"]["path_id"]["description"] == "the order's number"


def test_schemas_keep_their_references_and_meaning() -> None:
    put, get = operations(DOCUMENT, ["put.order", "getOrder"])
    good = {"price": 1, "parent": {"price": 2, "line": None}, "line": "abc", "xml": "x"}
    assert breach(put.takes, {"id": "7", "body": good}) == ""
    assert breach(get.gives, good) == ""
    assert breach(get.takes, {"path_id": "7", "query_id": None}) == ""
    for wrong in (
        {"price": 0}, {}, {"price": 1, "line": "abcd"}, {"price": 1, "parent": {"price": -1}},
        {"price": 1, "xml": 1},
    ):  # fmt: skip
        assert breach(put.takes, {"id": "7", "body": wrong}) != ""
    assert "Unused" not in put.takes
    assert breach(put.takes, {"id": "7"}) != ""


def test_another_server() -> None:
    found = operations(DOCUMENT, ["getOrder"], url="http://127.0.0.1:8080/api/")
    assert found[0].url == "http://127.0.0.1:8080/api/orders/{id}"


def changed(*path: str, to: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"swagger": "2.0"}, "version 3"),
        (changed("paths", to={}), "no operation getOrder"),
        (changed("servers", to=[{"url": "/v1"}]), "whole address"),
        (changed("components", "schemas", to={}), "leads nowhere"),
        (
            changed("components", "schemas", "Line", to={"$ref": "http://evil.example/x.json"}),
            "leads out",
        ),
        (changed("components", "parameters", "Id", to={"$ref": "#/components/parameters/Id"}),
         "circle"),
        (changed("components", "parameters", "Id", "in", to="cookie"), "cookie"),
        (changed("paths", "/orders/{id}", "get", "parameters", to=["x"]), "getOrder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(document: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongDocument, match=said):
        operations(document, ["getOrder"])


def test_a_body_that_is_no_json_is_refused() -> None:
    document = changed(
        "paths", "/orders/{id}", "put", "requestBody",
        to={"required": True, "content": {"multipart/form-data": {}}},
    )  # fmt: skip
    with pytest.raises(WrongDocument, match="JSON"):
        operations(document, ["put.order"])
