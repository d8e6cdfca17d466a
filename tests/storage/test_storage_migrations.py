from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, inspect

from shoal.errors import StoreError
from shoal.storage import CallRecord, Store, StoreOptions, TaskRow, bodies
from shoal.storage.calls import _row
from shoal.storage.database import Database
from shoal.storage.migrations import MIGRATIONS, migrate, version
from shoal.storage.schema import calls, metadata


def columns(conn: Connection) -> dict[str, list[tuple[str, bool, bool]]]:
    """Table -> columns in order: name, may be null, part of the primary key."""
    found = {}
    for name in metadata.tables:
        rows = conn.exec_driver_sql(f"PRAGMA table_info({name})").all()
        found[name] = [(row[1], not row[3] and not row[5], bool(row[5])) for row in rows]
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
        assert set(inspect(conn).get_table_names()) == set(metadata.tables)
        assert version(conn) == len(MIGRATIONS)


def at_version(path: Path, number: int) -> None:
    """Make a database file as the Shoal of that schema version left it."""
    path.parent.mkdir()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        migrate(conn, MIGRATIONS[:number])
        assert version(conn) == number
    engine.dispose()


def test_a_file_of_version_1_keeps_its_calls(
    options: StoreOptions, make_call: Callable[..., CallRecord]
) -> None:
    path = options.path / "shoal.db"
    at_version(path, 1)
    old = Database(path, durable=False)
    with old.transaction() as conn:
        assert "tasks" not in inspect(conn).get_table_names()
        row = _row(make_call(1), bodies.save(conn, make_call(1).request))
        del row["key"]
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


def test_a_file_of_version_2_expires_what_is_old(
    options: StoreOptions, make_call: Callable[..., CallRecord]
) -> None:
    path = options.path / "shoal.db"
    at_version(path, 2)
    old = Database(path, durable=False)
    with old.transaction() as conn:
        row = _row(make_call(1, at=0.0), bodies.save(conn, make_call(1).request))
        del row["key"]
        conn.execute(calls.insert(), row)
    old.close()
    with Store.open(options) as store:
        assert store.expire(now=100 * 86_400.0) == 1


def test_a_migration_that_fails_undoes_all_of_them(tmp_path: Path) -> None:
    def broken(conn: Connection) -> None:
        conn.exec_driver_sql("CREATE TABLE half (a)")
        raise StoreError("no")

    options = StoreOptions(path=tmp_path / "data")
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
    conn.exec_driver_sql("CREATE TABLE added (a)")
