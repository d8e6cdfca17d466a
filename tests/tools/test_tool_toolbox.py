"""Whatever tools do, whoever calls them gets data."""

import asyncio
import time

import pytest
from tool_doubles import Double, giving, hanging, raising

from shoal.tools import toolbox as toolbox_module
from shoal.tools.tool import ToolResult, ToolSpec, ToolUse, schema
from shoal.tools.toolbox import Toolbox, ToolLimits, digest_of

USE = ToolUse("k", 5.0)
NUMBER = schema({"n": {"type": "integer", "minimum": 0}}, ["n"])


async def test_a_good_call_gives_its_value() -> None:
    box = Toolbox([giving({"a": [1, 2.5, None, "ü"]}, takes=NUMBER)])
    assert (await box.call("double", {"n": 1}, USE, None)).value == {"a": [1, 2.5, None, "ü"]}


async def test_unknown_and_not_granted_tools_are_named_alike() -> None:
    box = Toolbox([giving(1), giving(1, name="orders"), giving(1, name="secret")])
    unknown = await box.call("oders", {}, USE, ["orders", "double"])
    assert not unknown.ok
    assert "oders" in unknown.error
    assert unknown.hint.startswith("there are: orders")
    forbidden = await box.call("secret", {}, USE, ["orders"])
    assert "no tool 'secret'" in forbidden.error
    assert "secret" not in forbidden.hint
    assert [spec.name for spec in box.specs(["orders", "nothing"])] == ["orders"]
    assert len(box.specs(None)) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n": -1}, "n:"),
        ({"n": "1"}, "n:"),
        ({}, "required"),
        ({"n": 1, "m": 2}, "m"),
        ({"n": float("nan")}, "nan"),
        ({"n": b"1"}, "bytes"),
        ({"n": 2**70}, "64 bits"),
        ({"n": "x" * 2_000_000}, "1,000,000 bytes"),
        ({"n": "\ud800"}, "surrogate"),
    ],
)
async def test_bad_arguments_are_told_and_never_arrive(arguments: dict, said: str) -> None:
    tool = giving(1, takes=NUMBER)
    result = await Toolbox([tool]).call("double", arguments, USE, None)
    assert said in result.error
    assert len(result.error) < 1_000
    assert result.hint
    assert tool.calls == 0


async def test_arguments_that_are_no_object() -> None:
    result = await Toolbox([giving(1)]).call("double", [1], USE, None)  # type: ignore[arg-type]
    assert "no object" in result.error


async def test_a_remote_schema_is_never_fetched() -> None:
    tool = giving(1, takes='{"$ref":"http://127.0.0.1:9/schema.json"}')
    result = await Toolbox([tool]).call("double", {}, USE, None)
    assert "schema cannot be read" in result.error
    assert tool.calls == 0


def _deep(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("inf"), "inf"),
        (b"bytes", "bytes"),
        ({1: 2}, "key"),
        (object(), "object"),
        (("a", "tuple"), "tuple"),
        ({"rows": [{"at": {1}}]}, "rows[0].at: set"),
        (_deep(200), "deep"),
        ("x" * 1_000_001, "over 1,000,000 bytes"),
        ([0] * 10_000_000, "over 1,000,000 bytes"),
    ],
)
async def test_what_is_no_json_or_too_much_of_it_is_an_error(value: object, said: str) -> None:
    result = await Toolbox([giving(value)]).call("double", {}, USE, None)
    assert said in result.error
    assert not result.unsure


async def test_a_value_that_holds_itself_is_refused() -> None:
    value: list = []
    value.append(value)
    assert "deep" in (await Toolbox([giving(value)]).call("double", {}, USE, None)).error


async def test_output_is_held_to_its_schema_and_a_write_is_said_to_be_done() -> None:
    gives = schema({"ok": {"type": "boolean"}}, ["ok"])
    box = Toolbox([giving({"ok": 1}, gives=gives, effects="writes")])
    result = await box.call("double", {}, USE, None)
    assert "ok:" in result.error
    assert "was done" in result.error
    assert result.unsure


@pytest.mark.parametrize("error", [RuntimeError("key sk-123"), RecursionError("sk-123")])
async def test_an_exception_is_told_by_its_class_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    result = await Toolbox([raising(error, effects="writes")]).call("double", {}, USE, None)
    assert type(error).__name__ in result.error
    assert "sk-123" not in result.error + result.hint + caplog.text
    assert result.unsure


async def test_what_is_no_result_is_an_error() -> None:
    async def do(arguments: object, use: object) -> dict:
        return {"value": 1}

    assert "TypeError" in (await Toolbox([Double(do)]).call("double", {}, USE, None)).error


@pytest.mark.parametrize("swallows", [False, True])
async def test_time_runs_out_even_for_who_swallows_it(
    swallows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox_module, "_GOODBYE_S", 0.05)
    box = Toolbox([hanging(swallows, effects="writes", timeout_s=0.05)])
    started = time.monotonic()
    result = await box.call("double", {}, USE, None)
    assert time.monotonic() - started < 2
    assert result.passing
    assert result.unsure
    reading = Toolbox([hanging(swallows)])
    assert not (await reading.call("double", {}, ToolUse("", 0.05), None)).unsure


async def test_without_time_nothing_is_called() -> None:
    tool = giving(1)
    result = await Toolbox([tool]).call("double", {}, ToolUse("", 0.0), None)
    assert result.passing
    assert tool.calls == 0


async def test_cancelling_passes_through_and_reaches_the_tool() -> None:
    ended = asyncio.Event()

    async def do(arguments: object, use: object) -> ToolResult:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ToolResult()

    task = asyncio.create_task(Toolbox([Double(do)]).call("double", {}, USE, None))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_tool_that_cancels_itself_cancels_nobody_else() -> None:
    result = await Toolbox([raising(asyncio.CancelledError())]).call("double", {}, USE, None)
    assert not result.ok


async def test_a_changed_tool_is_not_called() -> None:
    tool = giving(1)
    box = Toolbox([tool])
    digest = digest_of(box.specs(None)[0])
    assert (await box.call("double", {}, USE, None, digest)).ok
    tool.spec = ToolSpec(name="double", description="now it deletes everything", effects="reads")
    result = await box.call("double", {}, USE, None, digest)
    assert "not what it was" in result.error
    assert tool.calls == 1


async def test_one_that_changes_while_a_call_waits_is_not_called() -> None:
    release = asyncio.Event()

    async def do(arguments: object, use: object) -> ToolResult:
        await release.wait()
        return ToolResult(1)

    tool = Double(do)
    box = Toolbox([tool], ToolLimits(at_once=1))
    first = asyncio.create_task(box.call("double", {}, USE, None))
    second = asyncio.create_task(box.call("double", {}, USE, None))
    await asyncio.sleep(0.01)
    tool.spec = ToolSpec(name="double", description="other")
    release.set()
    assert (await first).ok
    assert "not what it was" in (await second).error
    assert tool.calls == 1
    assert (await box.call("double", {}, USE, None)).ok  # its place is free again


async def test_no_more_at_once_than_allowed() -> None:
    running = most = 0

    async def do(arguments: object, use: object) -> ToolResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return ToolResult(1)

    box = Toolbox([Double(do)], ToolLimits(at_once=2))
    found = await asyncio.gather(*(box.call("double", {}, USE, None) for _ in range(7)))
    assert all(result.ok for result in found)
    assert most == 2


async def test_one_that_waits_in_vain_was_not_called() -> None:
    tool = hanging(effects="writes")
    box = Toolbox([tool], ToolLimits(at_once=1))
    first = asyncio.create_task(box.call("double", {}, USE, None))
    await asyncio.sleep(0.01)
    second = await box.call("double", {}, ToolUse("", 0.05), None)
    assert second.passing
    assert not second.unsure
    assert tool.calls == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="double"):
        Toolbox([giving(1), giving(2)])


async def test_closing_goes_on_past_one_that_cannot() -> None:
    closed = []

    class Closing(Double):
        async def aclose(self) -> None:
            closed.append(self.spec.name)
            raise OSError("broken")

    async def do(arguments: object, use: object) -> ToolResult:
        return ToolResult()

    await Toolbox([Closing(do, name="a"), Closing(do, name="b")]).aclose()
    assert closed == ["a", "b"]
