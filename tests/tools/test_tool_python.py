"""Functions as tools: what the schema says, what the function gets, what its caller is told."""

import asyncio
import datetime
import json
import threading
import time
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from shoal.errors import NotFound
from shoal.tools.docstring import read_docstring
from shoal.tools.python import FunctionAbout, FunctionTool, tool
from shoal.tools.threads import Threads
from shoal.tools.tool import ToolResult, ToolUse
from shoal.tools.toolbox import Toolbox

USE = ToolUse("key-1", 5.0)


@dataclass
class Order:
    id: int
    day: datetime.date


class Where(BaseModel):
    city: str
    near: float = 0.0


@tool(effects="reads", timeout_s=3)
def orders(
    customer: int,
    since: datetime.date,
    use: ToolUse,
    state: Literal["open", "sent"] = "open",
    copy: Annotated[int, Field(ge=1)] = 1,
) -> list[Order]:
    """Orders of a customer.

    The newest come first.

    Args:
        customer (int): the number on the invoice,
            without its letter
        since: the first day

    Returns:
        nothing that matters
    """
    assert isinstance(since, datetime.date)
    assert use.key == "key-1"
    return [Order(customer * copy, since)]


def test_the_schema_comes_from_hints_and_docstring() -> None:
    takes = json.loads(orders.spec.takes)
    assert set(takes["properties"]) == {"customer", "since", "state", "copy"}
    assert takes["properties"]["customer"] == {
        "type": "integer",
        "description": "the number on the invoice, without its letter",
    }
    assert takes["properties"]["since"]["format"] == "date"
    assert takes["properties"]["state"]["enum"] == ["open", "sent"]
    assert takes["properties"]["copy"]["minimum"] == 1
    assert takes["required"] == ["customer", "since"]
    assert takes["additionalProperties"] is False
    assert orders.spec.description == "Orders of a customer.\n\nThe newest come first."
    assert json.loads(orders.spec.gives)["type"] == "array"
    assert (orders.spec.name, orders.spec.effects, orders.spec.timeout_s) == ("orders", "reads", 3)


async def test_arguments_come_as_their_types_and_results_go_as_json() -> None:
    arguments = {"customer": 7, "since": "2026-01-31", "copy": 2}
    result = await Toolbox([orders]).call("orders", arguments, USE, None)
    assert result.value == [{"id": 14, "day": "2026-01-31"}]


async def test_what_only_python_finds_wrong_is_told_with_its_place() -> None:
    result = await Toolbox([orders]).call("orders", {"customer": 7, "since": "soon"}, USE, None)
    assert "since" in result.error
    assert "soon" not in result.error
    assert "properties" in result.hint


def test_python_can_still_call_it() -> None:
    assert orders(1, datetime.date(2026, 1, 1), USE)[0].id == 1


async def test_models_async_functions_and_results_of_their_own() -> None:
    @tool(name="asked", effects="none")
    async def ask(where: Where, much: list[float] | None = None) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"city": where.city, "much": much}

    @tool(effects="none")
    def own() -> ToolResult:
        return ToolResult(error="not today", passing=True)

    box = Toolbox([ask, own])
    found = await box.call("asked", {"where": {"city": "Ulm"}, "much": [1, 2.5]}, USE, None)
    assert found.value == {"city": "Ulm", "much": [1, 2.5]}
    assert (await box.call("own", {}, USE, None)).passing


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("there is no order 7"), "there is no order 7"),
        (KeyError("order 7"), "order 7"),
        (NotFound("no order 7"), "no order 7"),
        (RuntimeError("password=hunter2"), "RuntimeError"),
        (SystemExit("password=hunter2"), "SystemExit"),
        (StopIteration("password=hunter2"), "StopIteration"),
    ],
)
@pytest.mark.parametrize("in_thread", [True, False])
async def test_errors(error: BaseException, told: str, in_thread: bool) -> None:
    def fail() -> int:
        raise error

    async def fail_async() -> int:
        raise error

    chosen = fail if in_thread else fail_async
    options = FunctionAbout(name="fail", effects="reads")
    result = await Toolbox([FunctionTool(chosen, options)]).call("fail", {}, USE, None)
    assert told in result.error or "RuntimeError" in result.error
    assert "hunter2" not in result.error
    assert not result.unsure


async def test_what_is_not_the_return_type_is_a_fault_of_the_tool() -> None:
    @tool(effects="reads")
    def wrong() -> list[int]:
        return "no list"  # type: ignore[return-value]

    @tool(effects="reads")
    def binary():  # type: ignore[no-untyped-def]
        return b"\xff\x00"

    @tool(effects="reads")
    def endless() -> float:
        return float("nan")

    @tool(effects="reads")
    def somewhere_endless() -> dict[str, typing.Any]:
        return {"ratios": [1.0, float("inf")]}

    @tool(effects="reads")
    def untyped():  # type: ignore[no-untyped-def]
        return {"ratio": float("nan")}

    box = Toolbox([wrong, binary, endless, somewhere_endless, untyped])
    for name in ("wrong", "binary", "endless", "somewhere_endless", "untyped"):
        assert not (await box.call(name, {}, USE, None)).ok


def test_what_cannot_be_a_tool_is_refused() -> None:
    def many(*args: int) -> None: ...
    def unhinted(a) -> None: ...  # type: ignore[no-untyped-def]
    def odd(a: threading.Thread) -> None: ...

    for function, said in ((many, "args"), (unhinted, "type hint"), (odd, "Thread")):
        with pytest.raises(TypeError, match=said):
            tool()(function)


async def test_a_function_that_blocks_blocks_nobody() -> None:
    @tool(effects="writes", timeout_s=0.2)
    def block() -> int:
        time.sleep(1)
        return 1

    calls = asyncio.create_task(Toolbox([block]).call("block", {}, USE, None))
    started, ticks = time.monotonic(), 0
    while not calls.done():
        await asyncio.sleep(0.01)
        ticks += 1
    result = await calls
    assert ticks > 5
    assert time.monotonic() - started < 0.9
    assert result.unsure


async def test_threads_are_bounded_and_stopped() -> None:
    threads = Threads(2)
    release, stopped = threading.Event(), threading.Event()
    first = [asyncio.create_task(threads.run(lambda: release.wait(5))) for _ in range(2)]
    third = asyncio.create_task(threads.run(lambda: 3))
    await asyncio.sleep(0.02)
    assert not third.done()
    release.set()
    assert await third == 3
    await asyncio.gather(*first)
    stopping = asyncio.create_task(threads.run(lambda: stopped.wait(5), stopped.set))
    await asyncio.sleep(0.02)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert stopped.is_set()


def test_docstrings_in_the_style_of_sphinx() -> None:
    told = read_docstring(
        "Do it.\n\n:param int a: the first\n    of two\n:param b: other\n:returns: x"
    )
    assert told.text == "Do it."
    assert told.parameters == {"a": "the first of two", "b": "other"}


def test_a_docstring_without_sections_is_text() -> None:
    told = read_docstring("Do it.\n\nNote: this stays.\n  Indented: stays too.")
    assert told.parameters == {}
    assert "Indented: stays too." in told.text
