"""What is told of the server of tools: figures, and notices that tools have changed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client, MCPError

from shoal.chat import Answer, Message, Request, Usage
from shoal.errors import ShoalError, StoreError
from shoal.gateway.mcp_server import McpDesk
from shoal.gateway.metrics import Metrics
from shoal.gateway.observer import Observer
from shoal.routing.caller import Caller
from shoal.routing.health import Health
from shoal.routing.offer import Offer, Outcome, Recorded
from shoal.routing.receipt import Receipt
from shoal.tools.tool import Json, ToolSpec, schema

SOON = 0.02


class Shelf:
    """Offers what a test puts there."""

    def __init__(self, *names: str) -> None:
        self.names, self.trouble = list(names), ""

    async def offers(self, caller: Caller) -> Sequence[Offer]:
        if self.trouble:
            raise StoreError(self.trouble)
        takes = schema({"text": {"type": "string"}}, ("text",))
        return [
            Offer(ToolSpec(name=name, description=name, takes=takes), self._call)
            for name in self.names
        ]

    async def _call(self, arguments: Mapping[str, Json], caller: Caller) -> Outcome:
        request = Request("gpt", (Message("user", str(arguments["text"])),))
        receipt = Receipt("c1", 1.0, "gpt", "gpt", "asked", cost=0.5)
        if arguments["text"] == "no":
            error = ShoalError("nobody answers")
            return Outcome(error=str(error), call=Recorded(request, receipt, 0.0, error=error))
        if arguments["text"] == "bug":
            raise ZeroDivisionError
        call = Recorded(request, receipt, 0.0, Answer("yes", model="gpt", usage=Usage(7, 3)))
        return Outcome(text="yes", call=call)


@asynccontextmanager
async def asked(shelf: Shelf, desk: McpDesk, **how: Any) -> AsyncIterator[Client]:
    desk.changes._every_s = SOON
    async with desk.changes.watched(), Client(desk.server("1"), **how) as client:
        yield client


async def test_what_is_asked_is_counted_with_its_outcome() -> None:
    desk = McpDesk(Shelf("a"))
    desk.observer = Observer(Metrics(lambda: Health(True, {})), False, None)
    async with asked(Shelf("a"), desk) as client:
        await client.list_tools()
        for text in ("yes", "no"):
            await client.call_tool("a", {"text": text})
        for name, arguments in (("b", {"text": "x"}), ("a", {"text": "bug"})):
            with pytest.raises(MCPError):
                await client.call_tool(name, arguments)
    text = desk.observer.metrics.text().decode()
    told = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in text.splitlines()}

    def acts(act: str, outcome: str) -> str:
        return told.get(f'shoal_mcp_acts_total{{act="{act}",outcome="{outcome}"}}', "0")

    assert float(acts("mcp.list", "ok")) >= 1
    outcomes = ("ok", "tool_error", "invalid_params", "internal_error")
    assert [acts("mcp.call", outcome) for outcome in outcomes] == ["1.0"] * 4
    calls = 'shoal_calls_total{answered_by="gpt",format="mcp",outcome="%s",task="none"}'
    assert [told[calls % outcome] for outcome in ("ok", "error")] == ["1.0", "1.0"]
    assert told['shoal_tokens_total{kind="input",model="gpt"}'] == "7.0"


async def test_who_listens_is_told_that_tools_changed_and_only_then() -> None:
    shelf = Shelf("a")
    async with asked(shelf, McpDesk(shelf)) as client:
        async with client.listen(tools_list_changed=True) as notices:
            events = notices.__aiter__()
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(5 * SOON)
            assert not waiting.done()
            shelf.trouble = "the store is away"  # which is no change of the tools
            await asyncio.sleep(5 * SOON)
            shelf.trouble = ""
            await asyncio.sleep(5 * SOON)
            assert not waiting.done()
            shelf.names.append("b")
            await asyncio.wait_for(waiting, 5)
        assert [tool.name for tool in (await client.list_tools()).tools] == ["a", "b"]


async def test_streams_of_notices_end_when_the_server_stops() -> None:
    shelf, stops = Shelf("a"), False
    desk = McpDesk(shelf)
    desk.changes.is_stopping = lambda: stops
    async with asked(shelf, desk) as client, client.listen(tools_list_changed=True) as notices:
        stops = True
        async with asyncio.timeout(5):
            assert [event async for event in notices] == []


async def test_a_session_of_the_older_protocol_is_told_where_there_is_a_way() -> None:
    shelf, heard = Shelf("a"), list[str]()

    async def hear(message: Any) -> None:
        heard.append(type(message).__name__)

    desk = McpDesk(shelf, announces=True)
    async with asked(shelf, desk, mode="legacy", message_handler=hear) as client:
        await client.list_tools()
        shelf.names.append("b")
        async with asyncio.timeout(5):
            while not heard:  # noqa: ASYNC110
                await asyncio.sleep(SOON)
    assert heard == ["ToolListChangedNotification"]
