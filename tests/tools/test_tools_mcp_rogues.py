"""Servers that misbehave: each is contained, told of as data, and the next call goes on."""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rogues import QUICK, only_tool, options, server

from shoal.errors import ToolServerError
from shoal.tools.mcp import Command, Limits, McpOptions, McpServer
from shoal.tools.tool import ToolUse
from shoal.tools.toolbox import Toolbox, digest_of

ROGUE = "mcp_rogue.py"
SOON = ToolUse(left_s=5.0)


async def test_one_that_hangs_in_a_call_is_left_and_started_anew_after_the_third() -> None:
    async with server(options(ROGUE, "hangs", limits=Limits(call_s=0.4))) as running:
        tool = await only_tool(running)
        for number in range(8):  # of which those that were hardly waited for do not count
            began = time.monotonic()
            result = await tool.call({}, ToolUse(left_s=0.3 if number > 4 else 0.05))
            assert time.monotonic() - began < 1
            assert "did not answer" in result.error
            assert (result.passing, result.unsure) == (True, True), number
        result = await tool.call({}, ToolUse(left_s=0.3))
        assert "it did not answer 3 calls in a row in time; it is started again" in result.error
        assert not result.unsure
        assert (await running.tools()) != []


async def test_one_that_hangs_at_its_start() -> None:
    limits = Limits(start_s=0.5)
    async with server(options(ROGUE, "hangs-at-start", limits=limits)) as running:
        began = time.monotonic()
        with pytest.raises(ToolServerError, match=r"not ready within 0\.5 s"):
            await running.tools()
        assert time.monotonic() - began < 5


async def test_one_that_dies_at_its_start_tells_its_last_words_and_is_not_hammered() -> None:
    async with server(options(ROGUE, "dies-at-start")) as running:
        for _ in range(2):
            with pytest.raises(ToolServerError, match=r"status 2; it wrote last: no licence found"):
                await running.tools()
        waits = list[float]()
        for _ in range(3):
            began = time.monotonic()
            with suppress(ToolServerError):
                await running.tools()
            waits.append(time.monotonic() - began)
        assert waits[0] < waits[1] < waits[2]


async def test_what_one_was_given_to_keep_to_itself_is_blanked_out_of_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVER_SECRET", "swordfish-123")
    async with server(options(ROGUE, "tells-secrets", env=("SERVER_SECRET",))) as running:
        tool = await only_tool(running)
        assert (await tool.call({}, SOON)).value == "key: ***"
        broken = await tool.call({}, SOON)
        assert "giving up with ***" in broken.error
        with suppress(ToolServerError):
            await running.tools()
        assert "swordfish" not in str(broken)


def test_a_variable_is_a_secret_if_its_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILES_ROOT", "/srv/files-of-all")
    monkeypatch.setenv("Files_Token", "swordfish-123")
    command = Command(program="x", env=("FILES_ROOT", "Files_Token", "MISSING_KEY"))
    assert command.secrets() == ("swordfish-123",)


async def test_one_that_dies_in_a_call() -> None:
    async with server(options(ROGUE, "dies")) as running:
        tool = await only_tool(running)
        result = await tool.call({}, SOON)
        assert "status 3; it wrote last: out of luck" in result.error
        assert (result.passing, result.unsure) == (True, True)


async def test_reads_that_broke_off_are_not_unsure() -> None:
    async with server(options(ROGUE, "dies", effects={"act": "reads"})) as running:
        result = await (await only_tool(running)).call({}, SOON)
        assert (result.ok, result.passing, result.unsure) == (False, True, False)


async def test_the_next_call_starts_it_again(tmp_path: Path) -> None:
    async with server(options(ROGUE, "dies-once", str(tmp_path / "seen"))) as running:
        tool = await only_tool(running)
        assert not (await tool.call({}, SOON)).ok
        assert (await tool.call({}, SOON)).value == "call 1"


@pytest.mark.parametrize(
    ("manner", "said"), [("floods-lines", "answer nothing"), ("floods-bytes", "message_bytes")]
)
async def test_floods_end_the_connection(manner: str, said: str) -> None:
    async with server(options(ROGUE, manner)) as running:
        result = await (await only_tool(running)).call({}, SOON)
        assert said in result.error
        assert (result.passing, result.unsure) == (False, True)


async def test_some_noise_is_borne() -> None:
    async with server(options(ROGUE, "floods-some")) as running:
        tool = await only_tool(running)
        for number in range(1, 5):  # more notices in all than may come between two replies
            assert (await tool.call({}, SOON)).value == f"call {number}"


@pytest.mark.parametrize("manner", ["no-reply", "wrong-result"])
async def test_replies_that_are_none_are_told_at_once(manner: str) -> None:
    async with server(options(ROGUE, manner)) as running:
        began = time.monotonic()
        result = await (await only_tool(running)).call({}, SOON)
        assert time.monotonic() - began < 2
        assert not result.ok
        assert result.unsure
        assert (await running.tools()) != []


async def test_a_result_that_breaks_its_schema_is_found_out_in_linear_time() -> None:
    """By a regular expression that takes others for ever."""
    async with server(options(ROGUE, "breaks-its-schema")) as running:
        began = time.monotonic()
        result = await (await only_tool(running)).call({}, SOON)
        assert "breaks its own outputSchema" in result.error
        assert time.monotonic() - began < 2


async def test_what_it_asks_for_is_refused() -> None:
    async with server(options(ROGUE, "asks")) as running:
        assert (await (await only_tool(running)).call({}, SOON)).value == "[true, true]"


async def test_a_tool_that_became_another_is_not_called() -> None:
    async with server(options(ROGUE, "changes")) as running:
        tool = await only_tool(running)
        assert (await tool.call({}, SOON)).value == "call 1"
        await asyncio.sleep(0.1)  # it tells that its tools changed
        before = tool.spec.description
        for _ in range(2):
            refused = await tool.call({}, SOON)
            assert "is another than it was when checked" in refused.error
            assert not refused.unsure
        assert tool.spec.description != before  # it was looked at
        assert (await tool.call({}, SOON)).value == "call 2"


async def test_a_toolbox_calls_what_its_caller_has_checked_and_nothing_else() -> None:
    async with server(options(ROGUE, "changes")) as running:
        box = Toolbox([await only_tool(running)])
        (checked,) = box.specs(None)
        digest = digest_of(checked)
        assert (await box.call("s__act", {}, SOON, None, digest)).value == "call 1"
        await asyncio.sleep(0.1)
        for _ in range(2):
            assert not (await box.call("s__act", {}, SOON, None, digest)).ok
        (now,) = box.specs(None)
        assert now != checked
        assert (await box.call("s__act", {}, SOON, None, digest_of(now))).value == "call 2"


async def test_a_change_that_is_not_told_is_seen_when_the_list_is_old() -> None:
    limits = Limits(relist_s=0.0)
    async with server(options(ROGUE, "changes-unsaid", limits=limits)) as running:
        tool = await only_tool(running)
        assert (await tool.call({}, SOON)).ok
        assert "is not offered any more" in (await tool.call({}, SOON)).error


async def test_thousands_of_tools() -> None:
    async with server(options(ROGUE, "thousands", limits=Limits(tools=150))) as running:
        assert len(await running.tools()) == 150
        assert running.left_out == ("all from 't150' on: over 150 tools",)


async def test_bad_tools_are_left_out_and_the_good_ones_serve() -> None:
    async with server(options(ROGUE, "odd-tools")) as running:
        tools = {tool.spec.name: tool for tool in await running.tools()}
        good = tools.pop("s__good")
        assert good.spec.description.startswith("[31mRed text x")
        assert len(good.spec.description) <= QUICK.description
        assert (await good.call({}, SOON)).ok
        assert "s__a_b" in tools
        assert len(tools) == 3
        assert all(len(name) <= 64 for name in tools)
        told = "\n".join(running.left_out)
        for part in ("'good': it is listed twice", "no name", "inputSchema.type", "at most 32,000"):
            assert part in told


async def test_a_list_that_is_none() -> None:
    async with server(options(ROGUE, "list-is-none")) as running:
        with pytest.raises(ToolServerError, match="its tools cannot be listed: malformed: tools"):
            await running.tools()


async def test_a_program_that_is_not_there() -> None:
    place = Command(program="no-such-program-at-all")
    async with server(McpOptions(name="s", place=place)) as running:
        with pytest.raises(ToolServerError, match="cannot be started"):
            await running.tools()


async def test_nobody_is_left_behind(tmp_path: Path) -> None:
    """A program that stays when its input ends, and has started another, is ended with it."""
    script = tmp_path / "stays.sh"
    script.write_text(f"sleep 60 &\necho $! $$ > {tmp_path}/pids\nsleep 60\n")
    found = Command(program="sh", arguments=(str(script),))
    async with server(McpOptions(name="s", place=found, limits=Limits(start_s=0.5))) as running:
        with pytest.raises(ToolServerError):
            await running.tools()
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert not [pid for pid in pids if is_running(pid)]


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return " Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    return False


async def test_a_caller_that_gives_up_leaves_the_others_alone() -> None:
    async with server(options(ROGUE, "hangs")) as running:
        tool = await only_tool(running)
        first = asyncio.create_task(tool.call({}, ToolUse(left_s=30)))
        second = asyncio.create_task(tool.call({}, ToolUse(left_s=1.0)))
        await asyncio.sleep(0.2)
        first.cancel()
        assert "did not answer" in (await second).error


def test_importing_loads_nothing_of_the_official_package() -> None:
    import subprocess
    import sys

    code = "import sys, shoal.tools.mcp; print('mcp' in sys.modules, 'anyio' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


def test_a_server_takes_no_loop_before_it_is_used() -> None:
    assert McpServer(options(ROGUE, "hangs")).left_out == ()
