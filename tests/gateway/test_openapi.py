"""The OpenAPI document tells of every route, and of no other."""

import re

import aiohttp
import msgspec
from fake_keys import FakeKeys
from live import FakeDesk
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from shoal.gateway import GatewayOptions, create_app
from shoal.gateway.observer import Observer
from shoal.gateway.openapi import openapi

METHODS = ("get", "post", "put", "patch", "delete")


async def document(http: aiohttp.ClientSession, gateway: str) -> dict[str, dict]:  # type: ignore[type-arg]
    async with http.get(f"{gateway}/openapi.json") as reply:
        assert reply.content_type == "application/json"
        found: dict[str, dict] = await reply.json()  # type: ignore[type-arg]
        return found


def served() -> set[tuple[str, str]]:
    """Method and path of every route."""
    routes = create_app(FakeDesk(), GatewayOptions(), FakeKeys()).routes
    return {
        (method.lower(), re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path))
        for route in routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }


async def test_it_holds_every_route_and_no_other(http: aiohttp.ClientSession, gateway: str) -> None:
    paths = (await document(http, gateway))["paths"]
    told = {(method, path) for path, said in paths.items() for method in METHODS if method in said}
    assert told == served()


async def test_parameters_are_those_of_the_path(http: aiohttp.ClientSession, gateway: str) -> None:
    for path, said in (await document(http, gateway))["paths"].items():
        named = [parameter["name"] for parameter in said.get("parameters", [])]
        assert named == re.findall(r"\{(\w+)\}", path), path


async def test_every_reference_leads_to_a_schema_and_every_schema_is_used(
    http: aiohttp.ClientSession, gateway: str
) -> None:
    found = await document(http, gateway)
    used = set(re.findall(r"#/components/schemas/(\w+)", str(found)))
    assert used == set(found["components"]["schemas"])


class Nobody:
    """At /mcp, and answers nothing."""

    def join(self, observer: Observer, is_stopping: object) -> None: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


def test_it_tells_of_mcp_where_there_is_somebody() -> None:
    app = create_app(FakeDesk(), GatewayOptions(), FakeKeys(), mcp=Nobody())
    assert any(isinstance(route, Route) and route.path == "/mcp" for route in app.routes)
    assert "/mcp" not in msgspec.json.decode(openapi())["paths"]
    told = msgspec.json.decode(openapi(True))
    assert list(told["paths"]["/mcp"]) == ["post"]
    used = set(re.findall(r"#/components/schemas/(\w+)", str(told)))
    assert used == set(told["components"]["schemas"])
