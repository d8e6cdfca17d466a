"""Shoal as an MCP server: what is on offer appears as tools, over stdio and over HTTP.

Whoever asks is known by the key that the gateway has checked; over stdio there is none. Importing
this loads the ``mcp`` package, which takes two seconds: the command that needs it does.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.types import Receive, Scope, Send

from shoal.errors import ShoalError
from shoal.formats.json_schema import breach
from shoal.gateway.key_check import caller_of
from shoal.gateway.mcp_streams import streams
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.offer import Offer, Offers, Outcome

log = logging.getLogger(__name__)

CALL_ID = "shoal/call-id"
"""Where in a result's ``_meta`` the id of the recorded call stands."""

_PAGE = 100  # tools
_INSTRUCTIONS = (
    "Tools named task__… answer a recurring task by a small model that was proven good enough, or "
    "by the large one where it is not sure; search__… and ask__… look into collections of "
    "documents; agent__… run a plan of several steps. The id in a result's _meta names the call "
    "as it was recorded."
)


class McpDesk:
    """The two requests that matter, answered from what is on offer."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers

    def server(self, version: str) -> Server[Any]:
        """A server of the official SDK that asks here."""
        return Server(
            "shoal",
            version=version,
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
            get_tool_input_schema=lambda name: None,  # headers repeat nothing of the arguments here
        )

    async def _list(self, context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        offers = await self._there(_caller(context))
        after = params.cursor if params is not None and params.cursor else ""
        names = [offer.spec.name for offer in offers]
        if after and after not in names:
            raise MCPError(INVALID_PARAMS, f"cursor: no tool {after[:100]!r}; list from the start")
        begin = names.index(after) + 1 if after else 0
        page = offers[begin : begin + _PAGE]
        more = begin + _PAGE < len(offers)
        return ListToolsResult(
            tools=[_tool(offer) for offer in page],
            next_cursor=page[-1].spec.name if more else None,
        )

    async def _call(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        caller = _caller(context)
        found = [o for o in await self._there(caller) if o.spec.name == params.name]
        if not found:
            raise MCPError(
                INVALID_PARAMS, f"no tool {params.name[:100]!r} that you may call; list them"
            )
        arguments = params.arguments or {}
        if fault := breach(found[0].spec.takes, arguments):
            return _result(Outcome(error=f"arguments: {fault}"))
        try:
            return _result(await found[0].call(arguments, caller))
        except ShoalError as error:
            return _result(Outcome(error=str(error)))
        except Exception:  # a bug: told without its details, which go to the log
            log.exception("the tool %s failed", params.name)
            raise MCPError(INTERNAL_ERROR, "Shoal failed unexpectedly; its log says why") from None

    async def _there(self, caller: Caller) -> Sequence[Offer]:
        try:
            return await self._offers.offers(caller)
        except ShoalError as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from error


class McpEndpoint:
    """The desk as an ASGI application, within ``running``. Each request stands for itself, so that
    any of several processes may take it."""

    def __init__(self, offers: Offers, version: str, max_body: int) -> None:
        self._manager = StreamableHTTPSessionManager(
            McpDesk(offers).server(version),
            json_response=True,
            stateless=True,
            max_request_body_size=max_body,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["McpEndpoint"]:
        """Answer requests until the end of the block."""
        ready, over = asyncio.Event(), asyncio.Event()

        async def keep() -> None:
            async with self._manager.run():
                ready.set()
                await over.wait()

        # A task of its own: what the SDK opens has to be closed by the same, and makes a group of
        # whatever ends the block, which for SystemExit would be the wrong exit status.
        keeper = asyncio.create_task(keep())
        await ready.wait()
        try:
            yield self
        finally:
            over.set()
            await keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._manager.handle_request(scope, receive, send)


async def serve_stdio(offers: Offers, version: str) -> None:
    """Answer whoever started this process, over standard input and output, until input ends."""
    server = McpDesk(offers).server(version)
    async with streams() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _caller(context: Any) -> Caller:
    request = context.request
    return ANYBODY if request is None else caller_of(request.scope)


def _tool(offer: Offer) -> Tool:
    spec = offer.spec
    return Tool(
        name=spec.name,
        description=spec.description,
        input_schema=json.loads(spec.takes),
        output_schema=json.loads(spec.gives) if spec.gives else None,
        annotations=ToolAnnotations(
            read_only_hint=spec.effects != "writes",
            idempotent_hint=spec.may_repeat,
        ),
    )


def _result(outcome: Outcome) -> CallToolResult:
    meta = {CALL_ID: outcome.call_id} if outcome.call_id else None
    if outcome.error:
        content = [TextContent(text=outcome.error)]
        return CallToolResult(content=list(content), is_error=True, _meta=meta)
    value = msgspec.to_builtins(outcome.value)
    return CallToolResult(
        content=[TextContent(text=outcome.text)], structured_content=value, _meta=meta
    )
