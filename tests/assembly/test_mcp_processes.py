"""``shoal mcp`` and ``shoal serve`` as servers of tools, asked by the official client."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from socket import create_connection
from typing import Any

import httpx2
import pytest
from keyword_desk import TASK, UNCLEAR, serving, text_of
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from ports import free_port
from shoal.assembly.stored_keys import StoredKeys
from shoal.encoder import Encoder
from shoal.errors import NotFound
from shoal.flywheel.promotion import promote
from shoal.retrieval.collection import Collection
from shoal.routing.key_order import KeyOrder
from shoal.storage import CallRecord, Store, StoreOptions

SETTINGS = '[models.gpt]\nengine = "echo"\n\n[gateway]\nport = {port}\nmcp = true\n'
TASK_TOOL = "task__department"


def new_home(folder: Path) -> Path:
    """Settings, and a store with a task that is served."""
    (folder / "shoal.toml").write_text(SETTINGS.format(port=free_port()))
    with Store.open(StoreOptions(path=folder / "shoal-data")) as store:
        serving(store)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_home(tmp_path_factory.mktemp("home"))


def parameters(home: Path) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "shoal", "mcp", "--config", str(home / "shoal.toml")],
        env=dict(os.environ),
        cwd=home,
    )


def stored(home: Path, call_id: str) -> CallRecord:
    """A call as it is in the store, where another process writes it a moment after it was told."""
    with Store.open(StoreOptions(path=home / "shoal-data")) as store:
        for _ in range(200):
            with suppress(NotFound):
                return store.calls.get(call_id)
            time.sleep(0.02)
        return store.calls.get(call_id)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_stdio(home: Path, mode: Any) -> None:
    async with Client(parameters(home), mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "shoal"
        (tool,) = (await client.list_tools()).tools
        assert tool.name == TASK_TOOL
        assert tool.input_schema["required"] == ["message"]
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        small, llm = await asyncio.gather(
            client.call_tool(TASK_TOOL, {"message": text_of(4)}),
            client.call_tool(TASK_TOOL, {"message": UNCLEAR}),
        )
        assert small.structured_content["answer"] == "payments"
        assert "at most 5 %" in small.structured_content["promise"]
        assert llm.structured_content["answered_by"] == "gpt"
        wrong = await client.call_tool(TASK_TOOL, {})
        assert wrong.is_error
        assert "message" in str(wrong.content)
        with pytest.raises(MCPError, match="no tool 'other'"):
            await client.call_tool("other", {})
    assert small.meta is not None
    call = stored(home, small.meta["shoal/call-id"])
    assert call.answered_by == "specialist/department"
    assert stored(home, llm.structured_content["call_id"]).answered_by == "gpt"


async def test_a_process_that_is_told_to_stop_ends_and_has_written_its_calls(
    tmp_path: Path,
) -> None:
    home = new_home(tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shoal", "mcp", "--config", str(home / "shoal.toml"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
        b'"capabilities":{},"clientInfo":{"name":"x","version":"1"}}}\n'
        b"this is no JSON\n"
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
        b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"task__department",'
        b'"arguments":{"message":"late parcel"}}}\n'
    )
    async with asyncio.timeout(30):
        while b'"id":2' not in (line := await process.stdout.readline()):
            assert line
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    with Store.open(StoreOptions(path=home / "shoal-data")) as store:
        assert len(store.calls.list()) == 1


async def test_collections_over_stdio(tmp_path: Path, real_encoder: Encoder) -> None:
    home = new_home(tmp_path)
    york = Collection.create(home / "shoal-data" / "collections" / "york", real_encoder)
    york.intake.add("rivers.md", b"# Rivers\n\nThe Foss is 31.5 kilometres long.\n")
    york.close()
    async with Client(parameters(home)) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == [TASK_TOOL, "search__york", "ask__york"]
        found = await client.call_tool("search__york", {"query": "length of the Foss"})
        (passage,) = found.structured_content["passages"]
        assert passage["document"] == "rivers.md"
        told = await client.call_tool("ask__york", {"question": "How long is the Foss?"})
        assert "31.5" in told.structured_content["answer"]
        refused = await client.call_tool("search__york", {"query": "x", "where": "a ! b"})
        assert refused.is_error


@pytest.fixture(scope="module")
def keys(home: Path) -> dict[str, str]:
    orders = {
        "all": KeyOrder(name="all"),
        "other": KeyOrder(name="other", tasks=("other",)),
        "reader": KeyOrder(name="reader", scopes=("read",)),
    }

    async def make() -> dict[str, str]:
        with Store.open(StoreOptions(path=home / "shoal-data")) as store:
            async with StoredKeys(store) as made:
                return {name: (await made.create(order)).key for name, order in orders.items()}

    return asyncio.run(make())


@pytest.fixture(scope="module")
def address(home: Path, keys: dict[str, str]) -> Iterator[str]:
    port = int((home / "shoal.toml").read_text().partition("port = ")[2].split()[0])
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", "serve", "--no-learn", "--config", home / "shoal.toml"],
        cwd=home,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                with closing(create_connection(("127.0.0.1", port), 1)):
                    break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        assert process.wait(20) == 0


@asynccontextmanager
async def asking(address: str, key: str, mode: Any = "auto") -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(address, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http(home: Path, address: str, keys: dict[str, str], mode: Any) -> None:
    async with asking(address, keys["all"], mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [TASK_TOOL]
        small = await client.call_tool(TASK_TOOL, {"message": text_of(4)})
    assert small.structured_content["answer"] == "payments"
    assert small.meta is not None
    call = stored(home, small.meta["shoal/call-id"])
    assert call.answered_by == "specialist/department"
    assert call.key  # whose it is


async def test_what_a_key_is_not_for_is_not_offered(address: str, keys: dict[str, str]) -> None:
    async with asking(address, keys["other"]) as client:
        assert (await client.list_tools()).tools == []
        with pytest.raises(MCPError, match="that you may call"):
            await client.call_tool(TASK_TOOL, {"message": "x"})


@pytest.mark.parametrize(("key", "status"), [("", 401), ("sk-wrong", 401), ("reader", 403)])
async def test_without_a_key_for_calls_nobody_is_let_in(
    address: str, keys: dict[str, str], key: str, status: int
) -> None:
    sent = keys.get(key, key)
    headers = {"authorization": f"Bearer {sent}"} if sent else {}
    async with httpx2.AsyncClient(headers=headers) as http:
        assert (await http.post(address, json={})).status_code == status


@pytest.mark.slow
async def test_that_tools_changed_is_told_to_who_listens(tmp_path: Path) -> None:
    """Over HTTP and over stdio, of one store; the gateway stops in time though somebody listens."""
    home = new_home(tmp_path)
    port = int((home / "shoal.toml").read_text().partition("port = ")[2].split()[0])
    command = [sys.executable, "-m", "shoal", "serve", "--no-learn", "--config"]
    log = (home / "log").open("wb")
    gateway = subprocess.Popen(  # noqa: ASYNC220
        [*command, home / "shoal.toml"], cwd=home, stderr=log
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(OSError), closing(create_connection(("127.0.0.1", port), 1)):
                break
            await asyncio.sleep(0.05)
        heard = asyncio.Event()

        async def hear(message: Any) -> None:
            if type(message).__name__ == "ToolListChangedNotification":
                heard.set()

        async with (
            asking(f"http://127.0.0.1:{port}/mcp", "") as client,
            client.listen(tools_list_changed=True) as notices,
            Client(parameters(home), mode="legacy", message_handler=hear) as other,
        ):
            assert len((await client.list_tools()).tools) == 1
            await client.call_tool(TASK_TOOL, {"message": text_of(4)})
            assert len((await other.list_tools()).tools) == 1
            await asyncio.sleep(2)  # both have seen what there is
            with Store.open(StoreOptions(path=home / "shoal-data")) as store:
                promote(store, TASK.id, "shadow", "test", "for a test")
            async with asyncio.timeout(10):
                await anext(notices.__aiter__())
                await heard.wait()
            assert (await client.list_tools()).tools == []
            async with httpx2.AsyncClient() as http:
                told = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            assert 'shoal_mcp_acts_total{act="mcp.call",outcome="ok"} 1.0' in told
            by = f'answered_by="specialist/{TASK.name}",format="mcp",outcome="ok"'
            assert f"shoal_calls_total{{{by}" in told
            began = time.monotonic()
            gateway.terminate()
            assert await asyncio.to_thread(gateway.wait, 20) == 0
            assert time.monotonic() - began < 8
    finally:
        gateway.kill()
        gateway.wait()
        log.close()
    assert b"Traceback" not in (home / "log").read_bytes()


async def test_a_stream_of_notices_by_get_is_not_opened(address: str, keys: dict[str, str]) -> None:
    """The protocol of 2026-07-28 has another way, and with the one before none is told over HTTP,
    where each request stands for itself."""
    headers = {"authorization": f"Bearer {keys['all']}", "accept": "text/event-stream"}
    async with httpx2.AsyncClient(headers=headers) as http:
        assert (await http.get(address)).status_code == 405


def test_files_are_no_pipes(home: Path) -> None:
    command = [sys.executable, "-m", "shoal", "mcp", "--config", str(home / "shoal.toml")]
    with (home / "shoal.toml").open() as file:
        ran = subprocess.run(command, stdin=file, capture_output=True, check=False, timeout=60)
    assert ran.returncode == 1
    assert b"expected pipes" in ran.stderr.splitlines()[-1]
