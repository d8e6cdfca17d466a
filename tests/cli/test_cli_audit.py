"""``shoal audit``."""

import json

from command_line import Desk
from sqlalchemy import delete, update

from shoal.storage import Run
from shoal.storage.schema import ledger, run_records, runs


def add_run(desk: Desk, name: str) -> None:
    with desk.store() as store, store.database.transaction() as conn:
        store.runs.start(conn, Run(id=name, started_at=1e9, owner="a", lease_until=2e9))
        store.runs.append(conn, name, "a", "finished", "each[0].price", b"{}", 1e9)
        store.runs.append(conn, name, "a", "ended", "", b"{}", 1e9, "done")


def test_all_as_recorded(desk: Desk) -> None:
    assert "runs: 0, " in desk.printed("audit", "verify")
    add_run(desk, "r1")
    head = desk.printed("audit", "head").strip()
    add_run(desk, "r2")
    text = desk.printed("audit", "verify", "--head", head.upper())
    assert "All as recorded: runs: 2, records: 6, entries of the ledger: 4; the head" in text
    assert json.loads(desk.printed("audit", "verify", "--json"))["findings"] == []
    assert json.loads(desk.printed("audit", "head", "--json"))["entries"] == 4


def test_what_was_changed_is_named(desk: Desk) -> None:
    add_run(desk, "r1")
    with desk.store() as store, store.database.transaction() as conn:
        second = (run_records.c.run == "r1") & (run_records.c.seq == 1)
        conn.execute(update(run_records).where(second).values(body=b'{"n":1}'))
    result = desk.run("audit", "verify")
    assert result.exit_code == 1
    assert "run r1: record 1: is not the record that was written\n" in result.stdout
    assert "1 finding. Looked at runs: 1, records: 3" in result.stdout
    assert desk.run("audit", "verify", "--json").exit_code == 1


def test_only_a_head_finds_the_newest_run_gone(desk: Desk) -> None:
    add_run(desk, "r1")
    add_run(desk, "r2")
    head = desk.printed("audit", "head").strip()
    with desk.store() as store, store.database.transaction() as conn:
        conn.execute(delete(runs).where(runs.c.id == "r2"))
        for table in (run_records, ledger):
            conn.execute(delete(table).where(table.c.run == "r2"))
    assert "All as recorded" in desk.printed("audit", "verify")
    result = desk.run("audit", "verify", "--head", head)
    assert result.exit_code == 1
    assert "no longer holds the head" in result.stdout


def test_what_is_no_head_is_refused(desk: Desk) -> None:
    result = desk.run("audit", "verify", "--head", "12ab")
    assert result.exit_code == 2
    assert "64 hexadecimal digits" in result.output


def test_what_was_redacted_is_named_and_is_no_finding(desk: Desk) -> None:
    add_run(desk, "r1")
    add_run(desk, "r2")
    with desk.store() as store, store.database.transaction() as conn:
        assert store.runs.redact(conn, "r1", "", {0: b'"[EMAIL]"', 1: b"{}"}, 1e9)
    told = desk.printed("audit", "verify")
    assert "All as recorded" in told
    assert "2 records of 1 runs that had ended" in told
    assert "run r1: records 0, 1" in told
    verdict = json.loads(desk.printed("audit", "verify", "--json"))
    assert verdict["redacted"] == [{"run": "r1", "records": [0, 1]}]
