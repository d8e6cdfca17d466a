"""``examples/invoice_check``, run for real."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ready_pipeline import ReadyPipeline

GIVEN: dict[str, Any] = {"folder": "", "tolerance_cents": 50, "report": "all.md"}


@pytest.fixture
def desk(tmp_path: Path) -> ReadyPipeline:
    desk = ReadyPipeline("invoice_check", tmp_path)
    desk.prepare("--invoices", "40", "--seed", "3")
    return desk


def verdicts(desk: ReadyPipeline, report: str = "all.md") -> dict[str, str]:
    """By file, what the table says."""
    lines = (desk.folder / "findings" / report).read_text(encoding="utf-8").splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    return {row[2]: row[1] for row in cells}


def test_each_fault_is_found_and_nothing_else_is_held_back(desk: ReadyPipeline) -> None:
    waiting = desk.run(GIVEN)
    assert waiting["state"] == "waiting"
    assert not list((desk.folder / "findings").iterdir())
    assert desk.outcome("approve", waiting["run"])["state"] == "done"
    found = verdicts(desk)
    at = {name.split(".")[0].removeprefix("2026-"): verdict for name, verdict in found.items()}
    assert at["0004"] == "wrong sum"
    assert at["0012"] == "differs from order"
    assert at["0020"] == "other account"
    assert at["0028"] == "no order"
    assert at["0036-B"] == "paid already"
    assert [at[name] for name in ("0006", "0019", "0032")] == ["paid already"] * 3
    assert [at[name] for name in ("scan", "note", "cut")] == ["unreadable"] * 3
    assert list(found.values()).count("pay") == 40 - 8


def test_who_says_no_has_nothing_written(desk: ReadyPipeline) -> None:
    run = desk.run(GIVEN)["run"]
    ended = desk.outcome("approve", run, "--no", "--note", "wrong month")
    assert ended["state"] == "failed"
    assert "wrong month" in ended["error"]
    assert not list((desk.folder / "findings").iterdir())


def test_a_killed_run_goes_on_where_it_was(desk: ReadyPipeline) -> None:
    run = desk.killed_run("table", GIVEN)
    before = desk.finished(run)
    assert before.count("files") == 1
    assert desk.outcome("resume", run)["state"] == "waiting"
    assert desk.outcome("approve", run)["state"] == "done"
    after = desk.finished(run)
    assert after[: len(before)] == before
    assert len(after) == len(set(after))
    assert list(verdicts(desk).values()).count("pay") == 40 - 8
    assert desk.command("audit", "verify").exit_code == 0


BROKEN = {
    "a list": "[]",
    "a number too many": '{"lines": [1]}',
    "infinite": '{"number": "1", "gross": Infinity}',
    "nested": "[" * 100_000,
    "another type": '{"number": {"a": 1}, "date": [], "lines": [{"quantity": true}]}',
    "a path": '{"number": "${input.folder}", "lines": []}',
}


def test_broken_files_are_findings(desk: ReadyPipeline) -> None:
    inbox = desk.folder / "inbox"
    for path in inbox.iterdir():
        path.unlink()
    for name, text in BROKEN.items():
        (inbox / f"{name}.json").write_text(text, encoding="utf-8")
    (inbox / "empty.csv").touch()
    (inbox / "letter.doc").write_text("?", encoding="utf-8")
    (inbox / "large.txt").write_text("x" * 300_000, encoding="utf-8")
    (inbox / "folder").mkdir()
    run = desk.run(GIVEN)["run"]
    assert desk.outcome("approve", run)["state"] == "done"
    found = verdicts(desk)
    assert len(found) == len(BROKEN) + 4
    assert set(found.values()) == {"unreadable"}


def test_of_two_invoices_for_one_order_the_second_is_not_paid(desk: ReadyPipeline) -> None:
    inbox = desk.folder / "inbox"
    text = (inbox / "2026-0001.json").read_text(encoding="utf-8")
    again = text.replace('"number": "2026-0001"', '"number": "2026-0001-copy"')
    assert again != text
    (inbox / "2026-0001-copy.json").write_text(again, encoding="utf-8")
    run = desk.run(GIVEN)["run"]
    assert desk.outcome("approve", run)["state"] == "done"
    found = verdicts(desk)
    assert sorted((found["2026-0001.json"], found["2026-0001-copy.json"])) == ["pay", "sent twice"]


def test_what_an_invoice_says_stays_in_its_cell(desk: ReadyPipeline) -> None:
    inbox = desk.folder / "inbox"
    kept = json.loads((inbox / "2026-0001.json").read_text(encoding="utf-8"))
    for path in inbox.iterdir():
        path.unlink()
    kept["number"] = "1 | pay | 2\n| pay | x"
    (inbox / "sly.json").write_text(json.dumps(kept), encoding="utf-8")
    run = desk.run(GIVEN)["run"]
    assert desk.outcome("approve", run)["state"] == "done"
    assert list(verdicts(desk)) == ["sly.json"]


def test_without_the_books_an_invoice_is_not_checked(desk: ReadyPipeline) -> None:
    with sqlite3.connect(desk.folder / "books.db") as books:
        books.execute("DROP TABLE payments")
    books.close()
    waiting = desk.run(GIVEN)
    assert desk.outcome("approve", waiting["run"])["state"] == "done"
    assert set(verdicts(desk).values()) == {"not checked", "unreadable"}
