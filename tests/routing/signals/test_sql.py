"""SQL written by strangers is only read, never for long, and compared by its rows."""

import sqlite3
from pathlib import Path

import pytest

from shoal.chat import Answer, Message, Request
from shoal.routing.signals.sql import SameRows, SqlDatabase, SqlRuns, sql_in

ASKED = Request("m", (Message("user", "Which cities?"),))
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def database(tmp_path: Path) -> SqlDatabase:
    path = tmp_path / "geography.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE city (name TEXT, people INTEGER)")
        connection.executemany("INSERT INTO city VALUES (?, ?)", [("a", 1), ("b", 2), ("b", 2)])
    connection.close()
    return SqlDatabase(path)


@pytest.mark.parametrize(
    ("sql", "runs"),
    [
        ("SELECT name FROM city;", True),
        ("```sql\nSELECT max(people) FROM city\n```", True),
        ("SELECT name FROM town", False),
        ("SELEC", False),
        ("DROP TABLE city", False),
        ("DELETE FROM city", False),
        ("ATTACH 'x.db' AS x", False),
        ("PRAGMA writable_schema = 1", False),
        ("SELECT 1; DROP TABLE city", False),
        ("SELECT load_extension('x')", False),
        (ENDLESS, False),
    ],
)
def test_what_runs(database: SqlDatabase, sql: str, runs: bool) -> None:
    assert (SqlRuns(database).complaint(ASKED, Answer(text=sql)) == "") is runs
    assert len(database.rows("SELECT * FROM city")) == 3


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("SELECT name FROM city", "SELECT c.name FROM city c ORDER BY people DESC", True),
        ("SELECT name FROM city", "SELECT DISTINCT name FROM city", False),
        ("SELECT 1", "SELECT 1.0", True),
        ("SELEC", "SELEC", True),
        ("SELEC", "SELECT 1", False),
    ],
)
def test_the_same_rows(database: SqlDatabase, first: str, second: str, alike: bool) -> None:
    same = SameRows(database)
    assert same(Answer(text=first), Answer(text=second)) is alike
    keys = same.key(Answer(text=first)), same.key(Answer(text=second))
    assert (keys[0] is not None and keys[0] == keys[1]) is (alike and first != "SELEC")
    assert same(Answer(text=second), Answer(text=first)) is alike


def test_a_query_is_found_in_its_fence() -> None:
    assert sql_in("Here:\n```sqlite\nSELECT 1;\n```\nDone.") == "SELECT 1"


def test_a_query_cannot_fill_the_memory(database: SqlDatabase) -> None:
    big = "SELECT zeroblob(50000000) FROM city"
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9000) "
    many += "SELECT zeroblob(100000) FROM n"
    for query in (big, many):
        with pytest.raises(sqlite3.Error):
            database.rows(query)
