"""SQL as a tool over Postgres: the server's own walls, and keys kept in its transactions."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from postgres_home import postgres_url
from shoal.errors import ConfigError
from shoal.tools.sql.postgres import PostgresServer
from shoal.tools.sql.rows import SqlLimits
from shoal.tools.sql.tool import QueryTool, SqlAbout, SqlGrant, SqlTool
from shoal.tools.tool import ToolUse
from shoal.tools.toolbox import Toolbox

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 - 1 FROM c) SELECT x FROM c"


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as url:
        import psycopg

        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(
                "CREATE TABLE orders (id int PRIMARY KEY, customer text, price numeric(10, 2), "
                "day date, tags jsonb)"
            )
            conn.execute("COMMENT ON TABLE orders IS 'What was ordered'")
            conn.execute("COMMENT ON COLUMN orders.price IS 'in euros'")
            conn.execute(
                "INSERT INTO orders VALUES (1, 'Ann', 9.5, '2026-01-31', '{\"a\": [1]}'), "
                "(2, 'O''Hara', 20, NULL, NULL)"
            )
            conn.execute("CREATE SEQUENCE counted")
        yield url


def box(url: str, timeout_s: float = 10.0, **grant: Any) -> Toolbox:
    about = SqlAbout("db", "The shop.", timeout_s)
    return Toolbox([SqlTool(about, PostgresServer(url), SqlGrant(**grant))])


async def ask(tools: Toolbox, sql: str, *params: object, key: str = "k"):  # type: ignore[no-untyped-def]
    arguments: dict[str, Any] = {"sql": sql, "params": list(params)}
    return await tools.call("db", arguments, ToolUse(key, 10.0), None)


async def test_rows_and_bound_values(url: str) -> None:
    tools = box(url)
    described = tools.specs(None)[0].description
    assert "orders(id integer, customer text, price numeric(10,2) /* in euros */" in described
    assert "-- What was ordered" in described
    found = await ask(
        tools, "SELECT id, price, day, tags FROM orders WHERE price < $1::numeric -- cheap", 10
    )
    assert found.value["rows"] == [[1, 9.5, "2026-01-31", {"a": [1]}]]
    hostile = await ask(tools, "SELECT id FROM orders WHERE customer = $1", "x' OR '1'='1")
    assert hostile.value["rows"] == []
    quoted = await ask(tools, "SELECT '100%s', customer FROM orders WHERE customer = $1", "O'Hara")
    assert quoted.value["rows"] == [["100%s", "O'Hara"]]
    assert not (await ask(tools, "SELECT nothing FROM orders")).ok


async def test_a_fixed_question(url: str) -> None:
    query = "SELECT id FROM orders WHERE customer = :who OR (:who = '' AND price > :least)"
    takes: dict[str, Any] = {"who": {"type": "string"}, "least": {"type": "number"}}
    tool = QueryTool(SqlAbout("q"), PostgresServer(url), SqlGrant(), query, takes)
    found = await Toolbox([tool]).call("q", {"who": "", "least": 10}, ToolUse(), None)
    assert found.error == ""
    assert found.value["rows"] == [[2]]  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
        "SELECT * FROM orders FOR UPDATE",
        "SELECT * INTO copied FROM orders",
        "SELECT nextval('counted')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_catalog.\"pg_read_file\"('/etc/passwd')",
        "SELECT U&\"\\0070g_read_file\"('/etc/passwd')",
        "SELECT pg_sleep(100)",
        "SELECT pg_terminate_backend(1)",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_catalog.pg_shadow",
        "SELECT repeat('x', 1000000000)",
        "COPY orders TO '/tmp/stolen'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "SET transaction_read_only = off",
        "CALL x()",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "LISTEN x",
    ],
)
async def test_attacks(url: str, sql: str) -> None:
    tools = box(url)
    result = await ask(tools, sql)
    assert not result.ok
    assert "root:" not in str(result)
    assert (await ask(tools, "SELECT count(*) FROM orders")).value["rows"] == [[2]]


async def test_the_server_refuses_what_the_check_would_let_through(url: str) -> None:
    """A function that writes, of somebody's own, looks like any other."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "CREATE FUNCTION tidy() RETURNS int LANGUAGE sql AS 'DELETE FROM orders RETURNING 1'"
        )
    result = await ask(box(url), "SELECT tidy()")
    assert "read-only" in result.error


async def test_limits_of_rows_and_time(url: str) -> None:
    few = await ask(box(url, limits=SqlLimits(rows=10)), ENDLESS)
    assert len(few.value["rows"]) == 10
    started = time.monotonic()
    slow = await ask(
        box(url, timeout_s=0.4), ENDLESS.replace("SELECT x FROM", "SELECT max(x) FROM")
    )
    assert "too long" in slow.error
    assert time.monotonic() - started < 2


async def test_writing_once(url: str) -> None:
    tools = box(url, writes=True, once=True, limits=SqlLimits(changes=1))
    add = "INSERT INTO orders (id, customer) VALUES ($1, 'Bo') RETURNING id"
    both = await asyncio.gather(ask(tools, add, 3, key="a"), ask(tools, add, 3, key="a"))
    assert [result.error for result in both] == ["", ""]
    assert both[0].value == both[1].value
    assert both[0].value["changed"] == 1
    assert "nothing was changed" in (await ask(tools, "UPDATE orders SET price = 0", key="b")).error
    assert not (await ask(tools, add, 3, key="c")).ok
    assert not (await ask(tools, "DELETE FROM shoal_done", key="d")).ok
    counted = await ask(tools, "SELECT count(*), sum(price) FROM orders")
    assert counted.value["rows"] == [[3, 29.5]]


async def test_a_server_that_is_away_is_trouble_that_passes() -> None:
    server = PostgresServer("postgresql://role:hunter2@/x?host=/nowhere")
    result = await ask(Toolbox([SqlTool(SqlAbout("db"), server, SqlGrant())]), "SELECT 1")
    assert result.passing
    assert "hunter2" not in str(result)
    assert "role" not in str(result)


def test_no_url_of_postgres() -> None:
    with pytest.raises(ConfigError) as error:
        PostgresServer("postgresql://a:hunter2@[")
    assert "hunter2" not in str(error.value)
