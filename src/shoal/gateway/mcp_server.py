"""Shoal as an MCP server: what is on offer appears as tools, over stdio and over HTTP.

Whoever asks is known by the key that the gateway has checked; over stdio there is none. Importing
this loads the ``mcp`` package, which takes two seconds: the command that needs it does.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from mcp import MCPError
from mcp.server.lowlevel import NotificationOptions, Server
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
from shoal.gateway.ended import Asked, Ended
from shoal.gateway.key_check import caller_of
from shoal.gateway.mcp_changes import Changes
from shoal.gateway.mcp_streams import streams
from shoal.gateway.observer import Observer
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.offer import Offer, Offers, Outcome, Recorded

R = TypeVar("R")
Answering = Callable[[Any, Any], Awaitable[R]]
LIST, CALL = "mcp.list", "mcp.call"
"""What is asked, as figures name it."""

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
    """The requests that matter, answered from what is on offer. ``observer`` is told of each, None
    for nobody; ``announces``: sessions are told of changes, for there is a way to."""

    def __init__(self, offers: Offers, announces: bool = False) -> None:
        self._offers, self._announces = offers, announces
        self.changes = Changes(offers)
        self.observer: Observer | None = None

    def server(self, version: str) -> Server[Any]:
        """A server of the official SDK that asks here."""
        return Server(
            "shoal",
            version=version,
            instructions=_INSTRUCTIONS,
            on_list_tools=self._told(LIST, self._list),
            on_call_tool=self._told(CALL, self._call),
            on_subscriptions_listen=self.changes.listen,
            get_tool_input_schema=lambda name: None,  # headers repeat nothing of the arguments here
        )

    def _told(self, act: str, answer: Callable[[Any, Any], Awaitable[R]]) -> Answering[R]:
        """``answer``, of which the observer is told how it ended."""

        async def told(context: Any, params: Any) -> R:
            if self._announces:
                self.changes.tell(context.session)
            began, error = time.perf_counter(), "internal_error"
            try:
                result = await answer(context, params)
                error = "tool_error" if getattr(result, "is_error", False) else ""
                return result
            except MCPError as failed:
                error = "invalid_params" if failed.code == INVALID_PARAMS else error
                raise
            except asyncio.CancelledError:
                error = "cancelled"
                raise
            finally:
                if self.observer is not None:
                    self.observer.did_mcp(act, error, time.perf_counter() - began)

        return told

    def _observed(self, call: Recorded, caller: Caller) -> None:
        """Tell of a call of a model, as of those in other formats."""
        if self.observer is not None:
            asked = Asked(call.request, caller, "", "", call.began)
            ended = Ended("mcp", asked, call.receipt, call.answer, call.error, None)
            self.observer.ended(ended)

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
            outcome = await found[0].call(arguments, caller)
            if outcome.call is not None:
                self._observed(outcome.call, caller)
            return _result(outcome)
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
        self._desk = McpDesk(offers)
        self._manager = StreamableHTTPSessionManager(
            self._desk.server(version),
            json_response=True,
            stateless=True,
            max_request_body_size=max_body,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["McpEndpoint"]:
        """Answer requests until the end of the block."""
        ready, over = asyncio.Event(), asyncio.Event()

        async def keep() -> None:
            async with self._manager.run(), self._desk.changes.watched():
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

    def join(self, observer: Observer, is_stopping: Callable[[], bool]) -> None:
        """Tell ``observer`` of what is asked, and end streams of notices when the server stops."""
        self._desk.observer = observer
        self._desk.changes.is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._manager.handle_request(scope, receive, send)


async def serve_stdio(offers: Offers, version: str) -> None:
    """Answer whoever started this process, over standard input and output, until input ends."""
    desk = McpDesk(offers, announces=True)
    server, told = desk.server(version), NotificationOptions(tools_changed=True)
    async with desk.changes.watched(), streams() as (read, write):
        await server.run(read, write, server.create_initialization_options(told))


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
