"""What may be run: laws of the check, whatever is thrown at it."""

import sqlite3
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.tools.sql.check import Dialect, Refused, checked

TEXT = """SELECT FROM WHERE WITH RECURSIVE AS ( ) , ; * = a b t 'x' "y" 1 -- /* */ DELETE INSERT
INTO VALUES UPDATE SET DROP TABLE UNION ALL CASE WHEN END ? :id $1 $$ :: [ ] { } . || IN EXISTS
PRAGMA ATTACH COPY TO REPLACE OVER ORDER BY LIMIT RETURNING U& E' pg_sleep read_csv EXPLAIN CREATE
PIVOT LATERAL JOIN ON CAST NOT NULL INTERVAL LAMBDA -> @ # `"""
WORDS = [*TEXT.split(), "\\", "\n", "\0"]
DIALECTS: tuple[Dialect, ...] = ("sqlite", "duckdb", "postgres")


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(WORDS), max_size=25), st.sampled_from(["", " "]),
    st.sampled_from(DIALECTS),
)  # fmt: skip
def test_any_text_is_checked_or_refused(words: list[str], joint: str, dialect: Dialect) -> None:
    text = joint.join(["SELECT", *words])
    for tables in (None, ("t",)):
        try:
            found = checked(text, dialect, tables=tables, names=("id",))
        except Refused:
            continue
        assert not found.writes
        assert checked(found.sql, dialect, tables=tables).sql == found.sql


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=15), st.sampled_from(["", " "]))
def test_what_is_let_through_changes_nothing_in_sqlite(words: list[str], joint: str) -> None:
    """Even where nothing but the check stands before it."""
    text = joint.join(words)
    try:
        found = checked(text, "sqlite")
    except Refused:
        return
    conn = sqlite3.connect(":memory:", isolation_level=None)
    conn.executescript("CREATE TABLE t (a, b, y); INSERT INTO t VALUES (1, 2, 3)")
    before = list(conn.iterdump())
    with suppress(sqlite3.Error, ValueError):  # no statement for SQLite, or it wants other values
        conn.execute(found.sql, [1] * found.sql.count("?")).fetchmany(5)
    assert list(conn.iterdump()) == before
    assert not conn.in_transaction
    conn.close()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a.x, count(*) AS n FROM t AS a LEFT JOIN u ON a.id = u.id WHERE u.y IN (1, 2) "
        "GROUP BY a.x HAVING count(*) > 1 ORDER BY n DESC LIMIT 10 OFFSET 5",
        "SELECT CASE WHEN x > 0 THEN 'a' ELSE 'b' END, coalesce(y, 0), cast(z AS text) FROM t",
        "SELECT row_number() OVER (PARTITION BY x ORDER BY y) FROM t",
        "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b UNION ALL SELECT 2",
        "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
        "SELECT lower(a) || upper(b), round(c, 2), abs(d), substr(e, 1, 3), length(f) FROM t",
        "SELECT sum(x) FILTER (WHERE y > 1), avg(z), min(a), max(b) FROM t",
        "SELECT replace(trim(a), 'x', 'y') FROM t WHERE b LIKE '%z%' AND c BETWEEN 1 AND 2",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT current_date, current_timestamp",
    ],
)
def test_what_people_ask_passes(sql: str, dialect: Dialect) -> None:
    assert not checked(sql, dialect).writes


def test_names_are_bound_where_they_stand() -> None:
    sql = "SELECT ':id', x::int, \":id\" FROM t WHERE a = :id AND b = :other OR c = :id -- :id"
    found = checked(sql, "postgres", names=("id", "other"))
    assert found.sql.endswith("a = $1 AND b = $2 OR c = $1")
    assert found.names == ("id", "other")
    again = checked(sql.replace("x::int", "x"), "sqlite", names=("id", "other"))
    assert again.sql.endswith("a = ? AND b = ? OR c = ?")
    assert again.names == ("id", "other", "id")
    assert "':id', x" in again.sql
