from collections.abc import Callable

import pytest
from sqlalchemy import Connection, inspect, text

from shoal.errors import StoreError
from shoal.storage import CallRecord, SpentBy, Store, StoreOptions, TaskRow, bodies
from shoal.storage.calls import _row
from shoal.storage.database import Database
from shoal.storage.dialects import version
from shoal.storage.migrations import MIGRATIONS, migrate
from shoal.storage.schema import calls, metadata, spend
from shoal.storage.sqlite import SqliteDatabase


def columns(conn: Connection) -> dict[str, list[tuple[str, bool, bool]]]:
    """Table -> columns in order: name, may be null, part of the primary key."""
    seen, found = inspect(conn), {}
    for name in metadata.tables:
        key = seen.get_pk_constraint(name)["constrained_columns"]
        rows = [
            (row["name"], row["name"] in key, row["nullable"]) for row in seen.get_columns(name)
        ]
        found[name] = [(row, null and not in_key, in_key) for row, in_key, null in rows]
    return found


def test_queries_and_migrations_agree_on_the_tables(store: Store) -> None:
    expected = {
        table.name: [
            (column.name, bool(column.nullable), column.primary_key) for column in table.columns
        ]
        for table in metadata.sorted_tables
    }
    with store.database.read() as conn:
        assert columns(conn) == expected
        assert set(inspect(conn).get_table_names()) - {"shoal_schema"} == set(metadata.tables)
        assert version(conn) == len(MIGRATIONS)


def at_version(options: StoreOptions, number: int) -> Database:
    """A database as the Shoal of that schema version left it."""
    database = _without_tables(options)
    with database.transaction() as conn:
        migrate(conn, MIGRATIONS[:number])
        assert version(conn) == number
    return database


def _without_tables(options: StoreOptions) -> Database:
    if options.url is not None:
        from shoal.storage.postgres import PostgresDatabase
        from shoal.storage.server import server_of

        return PostgresDatabase(server_of(options), durable=False)
    options.path.mkdir()
    (options.path / "shoal.db").touch()
    return SqliteDatabase(options.path / "shoal.db", durable=False)


def test_a_store_of_version_1_keeps_its_calls(
    options: StoreOptions, make_call: Callable[..., CallRecord]
) -> None:
    old = at_version(options, 1)
    with old.transaction() as conn:
        assert "tasks" not in inspect(conn).get_table_names()
        row = _row(make_call(1), bodies.save(conn, make_call(1).request))
        del row["key"], row["answer_id"]
        conn.execute(calls.insert(), row)
    secret = old.secret()
    old.close()
    with Store.open(options) as store:
        assert store.database.secret() == secret
        assert store.calls.get(make_call(1).id) == make_call(1)
        store.record(make_call(2)).result(5)
        assert store.tasks.list() == store.keys.list() == []
        (spent,) = store.spend.list()
        assert spent.calls == 1  # what was recorded before spend was kept is not in it
        with store.database.read() as conn:
            assert version(conn) == len(MIGRATIONS)


def test_a_store_of_version_2_expires_what_is_old(
    options: StoreOptions, make_call: Callable[..., CallRecord]
) -> None:
    old = at_version(options, 2)
    with old.transaction() as conn:
        row = _row(make_call(1, at=0.0), bodies.save(conn, make_call(1).request))
        del row["key"], row["answer_id"]
        conn.execute(calls.insert(), row)
    old.close()
    with Store.open(options) as store:
        assert store.expire(now=100 * 86_400.0) == 1


def test_a_store_of_version_4_holds_nothing_for_what_was_spent(options: StoreOptions) -> None:
    old = at_version(options, 4)
    counts = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "estimated")
    keys = {"day": "2025-01-31", "key": "k", "model": "m", "task": "", "purpose": "call"}
    sums = {"calls": 3, "cost": 1.5, "llm_cost": 2.5, "unpriced": 1}
    with old.transaction() as conn:
        conn.execute(spend.insert(), {**keys, **sums, **dict.fromkeys(counts, 0)})
    old.close()
    with Store.open(options) as store:
        assert store.spend.between("2025-01-31", "2025-01-31") == [SpentBy("k", "", 1.5)]
        (found,) = store.spend.list()
        assert (found.calls, found.unpriced, found.held) == (3, 1, 0.0)


def test_a_store_of_version_12_keeps_its_runs(options: StoreOptions) -> None:
    old = at_version(options, 12)
    row: dict[str, object] = {"id": "r", "started_at": 1.0, "owner": "gone", "lease_until": 2.0}
    row |= dict.fromkeys(("name", "goal", "agent", "key", "episode"), "")
    row |= {"state": "running", "updated_at": 1.0, "head": b"", "records": 0, "cost": 0.0}
    with old.transaction() as conn:
        names = ", ".join((*row, "tokens"))
        marks = ", ".join(f":{name}" for name in (*row, "tokens"))
        conn.execute(text(f"INSERT INTO runs ({names}) VALUES ({marks})"), {**row, "tokens": 0})
    old.close()
    with Store.open(options) as store:
        (run,) = store.runs.unfinished(3.0)
        assert (run.id, run.left_to) == ("r", "")


def test_a_migration_that_fails_undoes_all_of_them(options: StoreOptions) -> None:
    def broken(conn: Connection) -> None:
        conn.exec_driver_sql("CREATE TABLE half (a INTEGER)")
        raise StoreError("no")

    with Store.open(options) as store:
        task = TaskRow(id="t", name="topic", spec=b"{}", created_at=1.0, updated_at=1.0)
        with store.database.transaction() as conn:
            store.tasks.put(conn, task)
        with pytest.raises(StoreError), store.database.transaction() as conn:
            migrate(conn, (*MIGRATIONS, added, broken))
        with store.database.read() as conn:
            assert version(conn) == len(MIGRATIONS)
            assert "half" not in inspect(conn).get_table_names()
        with store.database.transaction() as conn:
            migrate(conn, (*MIGRATIONS, added))
            migrate(conn, (*MIGRATIONS, added))  # the second time it is there already
        with store.database.read() as conn:
            assert version(conn) == len(MIGRATIONS) + 1
        assert store.tasks.list() == [task]


def added(conn: Connection) -> None:
    conn.exec_driver_sql("CREATE TABLE added (a INTEGER)")
