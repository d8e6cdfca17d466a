"""``examples/fraud_triage``, learned and run for real."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ready_pipeline import ReadyPipeline

GIVEN: dict[str, Any] = {"day": "2026-03-02", "small_eur": 10, "most_tries": 6}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> ReadyPipeline:
    """As its README says, on fewer answers and so with a weaker promise."""
    bank = ReadyPipeline("fraud_triage", tmp_path_factory.mktemp("fraud"))
    bank.prepare("--past", "700", "--today", "30")
    settings = bank.folder / "shoal.toml"
    weaker = settings.read_text(encoding="utf-8").replace("alpha = 0.02", "alpha = 0.05")
    settings.write_text(weaker, encoding="utf-8")
    assert bank.command("calls", "import", str(bank.folder / "history.jsonl")).exit_code == 0
    assert bank.command("learn", "--once").exit_code == 0
    name = bank.json("tasks", "list")[0]["name"]
    assert bank.command("tasks", "rename", name, "fraud").exit_code == 0
    assert bank.command("promote", "fraud", "--to", "serve").exit_code == 0
    return bank


@pytest.fixture
def bank(learned: ReadyPipeline) -> Iterator[ReadyPipeline]:
    """With nothing decided."""
    with closing(sqlite3.connect(learned.folder / "bank.db")) as there:
        before = list(there.execute("SELECT * FROM transactions ORDER BY id"))
        yield learned
        with there:
            there.execute("DELETE FROM decisions")
            there.execute("DELETE FROM transactions")
            marks = ", ".join("?" * len(before[0]))
            there.executemany(f"INSERT INTO transactions VALUES ({marks})", before)


def rows(bank: ReadyPipeline, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(bank.folder / "bank.db")) as there:
        return list(there.execute(sql))


def questions(bank: ReadyPipeline, run: str) -> dict[str, Any]:
    """What is asked, by step."""
    return {
        one["step"]: one["body"]["show"] for one in bank.records(run) if one["kind"] == "waiting"
    }


def test_each_is_decided_once_by_rule_specialist_or_person(bank: ReadyPipeline) -> None:
    run = bank.run(GIVEN)["run"]
    asked = questions(bank, run)
    by = dict(rows(bank, "SELECT decided_by, count(*) FROM decisions GROUP BY decided_by"))
    assert by["model"] > 5
    assert by["rule"] > 0
    assert len(asked) + by["model"] + by["rule"] == 30
    assert len(asked) > 0
    for shown in asked.values():
        assert shown["specialist"]["leans_to"] in ("legitimate", "fraud")
        assert shown["specialist"]["because"]
    for at, step in enumerate(asked):
        outcome = bank.outcome("approve", run, step, *(["--no"] if at % 2 else []))
    assert outcome["state"] == "done"
    assert rows(bank, "SELECT count(*), count(DISTINCT id) FROM decisions") == [(30, 30)]
    found = {one["id"]: one for one in outcome["value"]["decided"]}
    told = rows(bank, "SELECT id, decision, decided_by FROM decisions")
    assert {id: (one["decision"], one["by"]) for id, one in found.items()} == {
        id: (decision, by) for id, decision, by in told
    }
    assert bank.run(GIVEN)["value"]["decided"] == []  # nothing is left of the day


def test_the_certified_threshold_decides_who_is_asked(bank: ReadyPipeline) -> None:
    run = bank.run(GIVEN)["run"]
    signals = [one["specialist"]["signal"] for one in questions(bank, run).values()]
    answered = [
        one["body"]["why"]
        for one in bank.records(run)
        if one["kind"] == "finished" and one["step"].endswith(".model")
    ]
    threshold = float(answered[0].split("threshold ")[1].split()[0].rstrip(").,"))
    assert all("reaches the certified threshold" in why for why in answered)
    assert max(signals) < threshold


def test_a_broken_row_is_held_and_the_others_go_on(bank: ReadyPipeline) -> None:
    with closing(sqlite3.connect(bank.folder / "bank.db")) as there, there:
        there.execute("UPDATE transactions SET amount = -5 WHERE id = 'T-002'")
        there.execute("UPDATE transactions SET hour = 'noon', country = NULL WHERE id = 'T-003'")
    bank.run(GIVEN)
    held = dict(rows(bank, "SELECT id, reasons FROM decisions WHERE decision = 'held'"))
    assert set(held) == {"T-002", "T-003"}
    assert "amount" in held["T-002"]
    assert "hour" in held["T-003"]
    assert "country" in held["T-003"]


def test_a_killed_run_decides_nothing_twice(bank: ReadyPipeline) -> None:
    run = bank.killed_run("signs", GIVEN)
    assert bank.outcome("resume", run)["state"] == "waiting"
    decided = rows(bank, "SELECT count(*), count(DISTINCT id) FROM decisions")[0]
    assert decided == (30 - len(questions(bank, run)),) * 2
    assert len(bank.finished(run)) == len(set(bank.finished(run)))


def test_without_a_specialist_people_decide(tmp_path: Path) -> None:
    bank = ReadyPipeline("fraud_triage", tmp_path)
    bank.prepare("--past", "40", "--today", "5")
    refused = bank.command("run", "plan.json", "--quiet", "--input", '{"day": "2026-03-02"}')
    assert "there is no 'fraud'" in str(refused.exception)
