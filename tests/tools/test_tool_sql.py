"""SQL as a tool, over SQLite and DuckDB: what it gives, and that nothing else can be had of it."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from shoal.tools.sql.database import Database
from shoal.tools.sql.duckdb import DuckdbFile
from shoal.tools.sql.rows import SqlLimits
from shoal.tools.sql.sqlite import SqliteFile
from shoal.tools.sql.tool import QueryTool, SqlAbout, SqlGrant, SqlTool
from shoal.tools.tool import ToolUse
from shoal.tools.toolbox import Toolbox

USE = ToolUse("key-1", 10.0)
MAKE = [
    "CREATE TABLE orders (id INTEGER, customer TEXT, price DECIMAL(10, 2), day DATE)",
    "INSERT INTO orders VALUES (1, 'Ann', 9.5, '2026-01-31'), (2, 'O''Hara', 20, '2026-02-01')",
    "CREATE TABLE secrets (word TEXT)",
    "INSERT INTO secrets VALUES ('swordfish')",
    "CREATE VIEW big AS SELECT id FROM orders WHERE price > 10",
]
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


def sqlite_file(folder: Path) -> SqliteFile:
    path = folder / "a b%.db"
    with sqlite3.connect(path) as conn:
        for line in MAKE:
            conn.execute(line)
    conn.close()
    return SqliteFile(path)


def duckdb_file(folder: Path) -> DuckdbFile:
    duckdb = pytest.importorskip("duckdb")
    path = folder / "shop.duckdb"
    with duckdb.connect(str(path)) as conn:
        for line in MAKE:
            conn.execute(line)
    return DuckdbFile(path)


@pytest.fixture(params=[sqlite_file, duckdb_file], ids=["sqlite", "duckdb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    made: Database = request.param(tmp_path)
    return made


def box(database: Database, timeout_s: float = 10.0, **grant: Any) -> Toolbox:
    return Toolbox([SqlTool(SqlAbout("db", "The shop.", timeout_s), database, SqlGrant(**grant))])


async def ask(tools: Toolbox, sql: str, *params: object, key: str = "key-1"):  # type: ignore[no-untyped-def]
    arguments: dict[str, Any] = {"sql": sql, "params": list(params)}
    return await tools.call("db", arguments, ToolUse(key, 10.0), None)


async def test_rows_and_bound_values(database: Database) -> None:
    tools = box(database)
    result = await ask(tools, "SELECT id, customer FROM orders WHERE customer = ? -- him", "O'Hara")
    assert result.value == {"columns": ["id", "customer"], "rows": [[2, "O'Hara"]], "more": False}
    hostile = await ask(tools, "SELECT count(*) FROM orders WHERE customer = ?", "x' OR '1'='1")
    assert hostile.value["rows"] == [[0]]
    joined = await ask(tools, "SELECT o.price, o.day FROM orders o JOIN big USING (id)")
    assert joined.value["rows"] == [[20, "2026-02-01"]]
    values = await ask(tools, "VALUES (1, NULL, 'ü'), (2, 2.5, '')")
    assert values.value["rows"][0] == [1, None, "ü"]


async def test_the_description_tells_the_tables(database: Database) -> None:
    spec = box(database, tables=("orders", "big")).specs(None)[0]
    assert "The shop." in spec.description
    assert "orders(id INTEGER, customer " in spec.description
    assert "big(id INTEGER)" in spec.description
    assert "secrets" not in spec.description
    assert spec.effects == "reads"


ATTACKS = [
    "DELETE FROM orders",
    "INSERT INTO orders VALUES (3, 'x', 1, '2026-01-01')",
    "UPDATE orders SET price = 0",
    "REPLACE INTO orders VALUES (1, 'x', 1, '2026-01-01')",
    "DROP TABLE orders",
    "CREATE TABLE x (a INT)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1;\n--;\nDROP TABLE orders",
    "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
    "WITH x AS (SELECT 1) DELETE FROM orders",
    "SELECT * INTO copied FROM orders",
    "EXPLAIN DELETE FROM orders",
    "ATTACH 'other.db' AS other",
    "DETACH main",
    "PRAGMA table_info('orders')",
    "PRAGMA query_only = 0",
    "SELECT * FROM pragma_table_info('orders')",
    "VACUUM INTO 'stolen.db'",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "SET enable_external_access = true",
    "SELECT load_extension('evil.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('stolen', 'x')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_json_auto('/etc/passwd')",
    "FROM '/etc/passwd'",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM parquet_scan('x.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sqlite_scan('x.db', 't')",
    "SELECT * FROM query('DROP TABLE orders')",
    "SELECT * FROM duckdb_settings()",
    "SELECT getenv('HOME')",
    "COPY orders TO 'stolen.csv'",
    "COPY orders FROM '/etc/passwd'",
    "EXPORT DATABASE 'stolen'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "SELECT * FROM sqlite_master",
    "SELECT repeat('x', 2000000000)",
    "SELECT zeroblob(2000000000)",
    "SELECT len(range(4000000000))",
    "SELECT * FROM unnest(generate_series(1, 4000000000))",
    "SELECT list_resize([1], 4000000000)",
    "SELECT " + "(" * 3_000 + "1" + ")" * 3_000,
    "SELECT " + "1 + " * 4_000 + "1",
    "SELECT '" + "x" * 30_000 + "'",
    "SELECT",
    "no sql at all",
    "",
    "-- nothing",
    ";",
    "\0",
    "SELECT 1 \0 DELETE FROM orders",
    "SELECT \ud800",
]


async def test_attacks_are_refused_and_change_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    tools = box(database)
    for attack in ATTACKS:
        result = await ask(tools, attack)
        assert not result.ok, attack
        assert "root:" not in str(result)
        assert not result.unsure
    assert (await ask(tools, "SELECT count(*) FROM orders")).value["rows"] == [[2]]
    assert list(work.iterdir()) == []


async def test_a_comment_that_databases_end_at_different_places(database: Database) -> None:
    """Whichever way it is read, it is sent without it."""
    await ask(box(database), "SELECT 1 /* /* */ ; DELETE FROM orders -- */")
    assert (await ask(box(database), "SELECT count(*) FROM orders")).value["rows"] == [[2]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM secrets",
        "SELECT * FROM main.secrets",
        'SELECT * FROM "secrets"',
        "SELECT * FROM orders WHERE customer IN (SELECT word FROM secrets)",
        "SELECT * FROM orders UNION SELECT word, 1, 2, 3 FROM SECRETS",
        "SELECT (SELECT word FROM secrets)",
        "WITH x AS (SELECT * FROM secrets) SELECT * FROM x",
        "WITH orders AS (SELECT 1) SELECT * FROM orders",
    ],
)
async def test_tables_that_are_not_granted(database: Database, sql: str) -> None:
    result = await ask(box(database, tables=("orders",)), sql)
    assert not result.ok
    assert "swordfish" not in str(result)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM (WITH secrets AS (SELECT 1 AS a) SELECT a FROM secrets) q, secrets",
        "WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets",
        "WITH a AS (SELECT * FROM secrets), secrets AS (SELECT 1 AS b) SELECT * FROM a",
        "WITH RECURSIVE a AS (SELECT * FROM secrets), secrets AS (SELECT 1 AS b) SELECT * FROM a",
        "SELECT 1 WHERE 'swordfish' IN secrets",
    ],
)
async def test_a_with_cannot_hide_a_table_that_is_not_granted(database: Database, sql: str) -> None:
    result = await ask(box(database, tables=("orders",)), sql)
    assert "swordfish" not in str(result)
    assert not result.ok


async def test_a_with_is_known_where_it_holds(database: Database) -> None:
    sql = (
        "WITH a AS (SELECT id FROM orders), b AS (SELECT id FROM a WHERE id IN (SELECT id FROM a)) "
        "SELECT count(*) FROM b JOIN a USING (id)"
    )
    assert (await ask(box(database, tables=("orders",)), sql)).value["rows"] == [[2]]
    assert (await ask(box(database, tables=("orders",)), ENDLESS.replace("FROM c)", "FROM c "
            "WHERE x < 9)"))).value["rows"] == [[9]]  # fmt: skip


async def test_limits_of_rows_and_bytes(database: Database) -> None:
    many = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000) "
    few = await ask(box(database, limits=SqlLimits(rows=10)), many + "SELECT x FROM c")
    assert len(few.value["rows"]) == 10
    assert few.value["more"] is True
    exact = await ask(box(database, limits=SqlLimits(rows=2)), "SELECT id FROM orders ORDER BY id")
    assert (exact.value["rows"], exact.value["more"]) == ([[1], [2]], False)
    small = await ask(box(database, limits=SqlLimits(bytes=100)), many + "SELECT x FROM c")
    assert 5 < len(small.value["rows"]) < 60
    assert small.value["more"] is True
    wide = await ask(box(database, limits=SqlLimits(bytes=100)), f"SELECT '{'x' * 200}'")
    assert "one row" in wide.error


async def test_endless_recursion_is_stopped_and_blocks_nobody(database: Database) -> None:
    tools = box(database, timeout_s=0.4)
    task = asyncio.create_task(ask(tools, ENDLESS))
    started, ticks = time.monotonic(), 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert time.monotonic() - started < 2
    assert ticks > 5
    assert "too long" in task.result().error
    assert (await ask(tools, "SELECT 1")).ok


async def test_a_cancelled_statement_is_stopped(database: Database) -> None:
    tools = box(database)
    tasks = [asyncio.create_task(ask(tools, ENDLESS)) for _ in range(4)]  # all threads
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    started = time.monotonic()
    assert (await ask(tools, "SELECT 1")).ok
    assert time.monotonic() - started < 2


async def test_what_the_database_says_is_told(database: Database) -> None:
    result = await ask(box(database), "SELECT nothing FROM orders")
    assert "nothing" in result.error
    assert result.hint
    assert not (await ask(box(database), "SELECT ?")).ok
    assert not (await ask(box(database), "SELECT 1", 2)).ok


async def test_a_fixed_question(database: Database) -> None:
    query = "SELECT id FROM orders WHERE customer = :who AND price >= :least ORDER BY id"
    takes = {"who": {"type": "string"}, "least": {"type": "number", "default": 0}}
    about = SqlAbout("order_of", "Orders of a customer.")
    tools = Toolbox([QueryTool(about, database, SqlGrant(), query, takes)])  # type: ignore[arg-type]
    assert (await tools.call("order_of", {"who": "Ann"}, USE, None)).value["rows"] == [[1]]
    costly = await tools.call("order_of", {"who": "Ann", "least": 10}, USE, None)
    assert costly.value["rows"] == []
    for wrong in ({}, {"who": 1}, {"who": "Ann", "sql": "DROP"}, {"who": ["Ann"]}):
        assert not (await tools.call("order_of", wrong, USE, None)).ok  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=":nobody"):
        QueryTool(about, database, SqlGrant(), query, takes | {"nobody": {}})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="may not"):
        QueryTool(about, database, SqlGrant(), "DELETE FROM orders", {})


async def test_writes_only_if_granted_and_only_so_many(tmp_path: Path) -> None:
    tools = box(sqlite_file(tmp_path), writes=True, limits=SqlLimits(changes=1))
    assert tools.specs(None)[0].effects == "writes"
    changed = await ask(tools, "UPDATE orders SET price = ? WHERE id = ?", 5, 1)
    assert changed.value == {"columns": [], "rows": [], "more": False, "changed": 1}
    many = await ask(tools, "UPDATE orders SET price = 0")
    assert "nothing was changed" in many.error.replace("; ", " ")
    prices = await ask(tools, "SELECT price FROM orders ORDER BY id")
    assert prices.value["rows"] == [[5], [20]]
    back = await ask(tools, "DELETE FROM orders WHERE id = 1 RETURNING customer")
    assert back.value["rows"] == [["Ann"]]
    assert (await ask(tools, "SELECT count(*) FROM orders")).value["rows"] == [[1]]
    attacks = [
        "DROP TABLE orders",
        "UPDATE sqlite_master SET sql = ''",
        "DELETE FROM shoal_done",
        "INSERT INTO orders SELECT * FROM t; DELETE FROM orders",
        "ATTACH 'x' AS y",
    ]
    for attack in attacks:
        assert not (await ask(tools, attack)).ok


async def test_with_keys_kept_a_repeated_call_is_done_once(tmp_path: Path) -> None:
    tools = box(sqlite_file(tmp_path), writes=True, once=True)
    assert tools.specs(None)[0].repeatable
    add = "INSERT INTO orders VALUES (?, 'Bo', 1, '2026-03-01')"
    first = await ask(tools, add, 3, key="a")
    again = await ask(tools, add, 3, key="a")
    assert first.value == again.value
    await ask(tools, add, 4, key="b")
    assert (await ask(tools, "SELECT id FROM orders WHERE id > 2")).value["rows"] == [[3], [4]]
    broken = await ask(tools, "INSERT INTO orders VALUES (9)", key="c")
    assert not broken.ok
    assert (await ask(tools, add, 5, key="c")).ok


async def test_a_write_that_is_stopped_changes_nothing(tmp_path: Path) -> None:
    tools = box(sqlite_file(tmp_path), timeout_s=0.3, writes=True)
    endless = ENDLESS.replace("count(*)", "x, 'a', 1, '2026-01-01'")
    result = await ask(tools, f"INSERT INTO orders {endless}")
    assert not result.ok
    assert not result.unsure
    assert (await ask(tools, "SELECT count(*) FROM orders")).value["rows"] == [[2]]


async def test_a_database_in_use_is_trouble_that_passes(tmp_path: Path) -> None:
    database = sqlite_file(tmp_path)
    tools = box(database, timeout_s=0.3, writes=True)
    with sqlite3.connect(tmp_path / "a b%.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        result = await ask(tools, "UPDATE orders SET price = 1 WHERE id = 1")
    other.close()
    assert result.passing
    assert not result.unsure


async def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    missing = box(SqliteFile(tmp_path / "none.db"))
    assert "cannot be opened" in (await ask(missing, "SELECT 1")).error
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "bad.db").write_bytes(b"no database" * 500)
    damaged = box(SqliteFile(tmp_path / "bad.db"))
    assert "cannot be opened" in (await ask(damaged, "SELECT * FROM orders")).error
