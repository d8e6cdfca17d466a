"""What every tool keeps, whatever it is: arguments mutated in any way are data, never a crash."""

import ipaddress
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.tools.calculator import Calculator
from shoal.tools.files import file_tools
from shoal.tools.http.operation import Operation, Parameter
from shoal.tools.http.reach import Reach
from shoal.tools.http.tool import HttpTool
from shoal.tools.plain import NotPlain, TooLarge, size_of
from shoal.tools.python import tool
from shoal.tools.sql.sqlite import SqliteFile
from shoal.tools.sql.tool import QueryTool, SqlAbout, SqlGrant, SqlTool
from shoal.tools.tool import Tool, ToolResult, ToolUse
from shoal.tools.toolbox import Toolbox, digest_of

USE = ToolUse("key", 5.0)
GOOD: dict[str, dict[str, Any]] = {
    "function": {"n": 3, "words": ["a"]},
    "later": {"n": 3},
    "db": {"sql": "SELECT a FROM t WHERE a = ?", "params": [1]},
    "ask": {"a": 1},
    "web": {"id": "7", "q": "x"},
    "send": {"body": {"a": 1}},
    "files_list": {"path": ""},
    "files_read": {"path": "a.txt"},
    "files_search": {"text": "hello"},
    "files_write": {"path": "b.txt", "text": "x", "replace": True},
    "calculator": {"expression": "1 + 1"},
}


WRONG: list[Any] = [
    *({}, {"n": "x"}, {"expression": 1}, {"path": 1}, {"text": 1, "path": ""}, {"id": {}}),
    *({"sql": 1}, {"sql": "SELECT 1", "params": 1}, {"a": [1]}),
]


@tool(effects="none")
def function(n: int, words: list[str] | None = None) -> dict[str, int]:
    """Counts.

    Args:
        n: a number
    """
    return {"n": n, "words": len(words or ())}


@tool(effects="none")
async def later(n: int) -> int:
    """One more."""
    return n + 1


def made(folder: Path, url: str) -> list[Tool]:
    """One of each kind."""
    (folder / "a.txt").write_text("hello", encoding="utf-8")
    with sqlite3.connect(folder / "x.db") as conn:
        conn.execute("CREATE TABLE t (a INT)")
        conn.execute("INSERT INTO t VALUES (1)")
    conn.close()
    database, told = SqliteFile(folder / "x.db"), {"type": "string"}
    reach = Reach(hosts=("127.0.0.1",), permitted=(ipaddress.ip_network("127.0.0.1/32"),))
    read = Operation(
        name="web", method="GET", url=url + "/{id}",
        parameters=(Parameter("id", "path", told, True), Parameter("q", "query", told)),
    )  # fmt: skip
    send = Operation(
        name="send", method="POST", url=url, body={"type": "object"}, body_required=True
    )
    query = "SELECT a FROM t WHERE a = :a"
    return [
        function,
        later,
        SqlTool(SqlAbout("db"), database, SqlGrant()),
        QueryTool(SqlAbout("ask"), database, SqlGrant(), query, {"a": {"type": "integer"}}),
        HttpTool(read, reach),
        HttpTool(send, reach),
        *file_tools("files", folder, writes=True),
        Calculator(),
    ]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Toolbox]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    box = Toolbox(made(tmp_path, f"http://127.0.0.1:{server.port}"))
    yield box
    await box.aclose()
    await server.close()


async def test_each_answers_a_good_call(box: Toolbox) -> None:
    assert set(box.names) == set(GOOD)
    for name, arguments in GOOD.items():
        result = await box.call(name, arguments, USE, None)
        assert result.error == "", name
        assert size_of(result.value, 10_000) >= 0


async def test_each_tells_what_it_takes(box: Toolbox) -> None:
    for spec in box.specs(None):
        takes = json.loads(spec.takes)
        assert takes["type"] == "object"
        assert takes["additionalProperties"] is False
        assert set(GOOD[spec.name]) <= set(takes["properties"])
        assert spec.effects in ("none", "reads", "writes")
        assert (spec.effects == "writes") == (spec.name in ("send", "files_write"))
        assert digest_of(spec) == digest_of(spec)


async def test_called_past_the_toolbox_they_do_not_raise_either(tmp_path: Path) -> None:
    for each in made(tmp_path, "http://127.0.0.1:9"):
        for wrong in WRONG:
            assert isinstance(await each.call(wrong, USE), ToolResult)
        await each.aclose()


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
async def test_mutated_arguments_never_raise(box: Toolbox, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(GOOD)))
    arguments = dict(GOOD[name])
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from([*GOOD[name], "other"]) | st.text(max_size=5))
        if data.draw(st.booleans()):
            arguments.pop(key, None)
        else:
            arguments[key] = data.draw(VALUES)
    result = await box.call(name, arguments, USE, None)
    assert isinstance(result, ToolResult)
    assert len(result.error) + len(result.hint) < 5_000
    if result.ok:
        assert size_of(result.value, 1_000_000) >= 0
    else:
        assert "Traceback" not in result.error


@given(VALUES)
def test_what_counts_as_plain_is_what_json_can_say(value: Any) -> None:
    try:
        size = size_of(value, 1_000_000)
    except NotPlain:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    written = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    assert written / 10 <= size + 10


@given(st.lists(st.text(min_size=5, max_size=20), min_size=1))
def test_size_is_held_to(value: list[str]) -> None:
    size = size_of(value, 1_000_000)
    with pytest.raises(TooLarge):
        size_of(value, size - 1)
