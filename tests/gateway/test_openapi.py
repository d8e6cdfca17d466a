"""The OpenAPI document tells of every route, and of no other."""

import re

import aiohttp
from fake_keys import FakeKeys
from live import FakeDesk
from starlette.routing import Route

from shoal.gateway import GatewayOptions, create_app

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
