"""``examples/process_control``, learned and run for real."""

import json
from typing import Any

import pytest
from ready_pipeline import ReadyPipeline

GIVEN: dict[str, Any] = {
    "most_pressure": 2.9,
    "most_temperature": 95,
    "least_level": 10,
    "most_level": 180,
}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> ReadyPipeline:
    """As its README says, on fewer answers and so with a weaker promise."""
    plant = ReadyPipeline("process_control", tmp_path_factory.mktemp("process"))
    settings = plant.folder / "shoal.toml"
    weaker = settings.read_text(encoding="utf-8").replace("alpha = 0.03", "alpha = 0.1")
    settings.write_text(weaker, encoding="utf-8")
    plant.prepare("--past", "600")
    assert plant.command("calls", "import", str(plant.folder / "history.jsonl")).exit_code == 0
    assert plant.command("learn", "--once").exit_code == 0
    name = plant.json("tasks", "list")[0]["name"]
    assert plant.command("tasks", "rename", name, "operate").exit_code == 0
    assert plant.command("promote", "operate", "--to", "serve").exit_code == 0
    return plant


@pytest.fixture
def plant(learned: ReadyPipeline) -> ReadyPipeline:
    """As it was at first."""
    learned.prepare("--past", "600")
    return learned


def log_of(plant: ReadyPipeline) -> list[dict[str, Any]]:
    file = plant.folder / "actions.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def now(plant: ReadyPipeline) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((plant.folder / "plant.json").read_text())["now"]
    return found


def alter(plant: ReadyPipeline, **to: Any) -> None:
    """Have the plant be another all at once."""
    file = plant.folder / "plant.json"
    kept = json.loads(file.read_text())
    kept["now"] |= to
    kept["before"] |= to
    file.write_text(json.dumps(kept))


def to_its_end(plant: ReadyPipeline, outcome: dict[str, Any], *args: str) -> dict[str, Any]:
    """Say the same to all that is asked."""
    for _ in range(30):
        if outcome["state"] != "waiting":
            return outcome
        outcome = plant.outcome("approve", outcome["run"], *args)
    raise AssertionError("it asks for ever")


def test_it_is_brought_back_step_by_step(plant: ReadyPipeline) -> None:
    waiting = plant.run(GIVEN)
    assert waiting["state"] == "waiting"
    assert log_of(plant) == []  # nothing is changed before a person agreed
    ended = to_its_end(plant, waiting)
    assert ended["state"] == "done"
    assert ended["value"]["last"]["did"] == "nothing"
    assert abs(ended["value"]["now"]["temperature"] - 60) < 4
    assert abs(ended["value"]["now"]["level"] - 80) < 10
    keys = [one["key"] for one in log_of(plant)]
    assert 1 <= len(keys) == len(set(keys)) <= 12


def test_who_says_no_leaves_the_plant_as_it_is(plant: ReadyPipeline) -> None:
    before = now(plant)
    ended = to_its_end(plant, plant.run(GIVEN), "--no")
    assert log_of(plant) == []
    assert (now(plant)["heater"], now(plant)["valve"]) == (before["heater"], before["valve"])
    assert ended["state"] == "done"  # after its last round, at the latest


@pytest.mark.parametrize(
    "to", [{"temperature": 99.0}, {"level": 200.0}, {"level": 1.0}, {"temperature": 140.0}]
)
def test_a_broken_limit_stops_the_plant_at_once(plant: ReadyPipeline, to: dict[str, Any]) -> None:
    alter(plant, **to)
    ended = plant.run(GIVEN)
    assert ended["state"] == "done"
    assert ended["value"]["last"]["did"] == "stopped"
    assert not now(plant)["runs"]
    assert len(log_of(plant)) == 1


def test_an_approval_that_comes_too_late_sets_nothing(plant: ReadyPipeline) -> None:
    run = plant.run(GIVEN)["run"]
    alter(plant, minute=60)
    again = plant.outcome("approve", run)
    assert log_of(plant) == []
    assert again["state"] == "waiting"  # a new reading, a new proposal
    assert plant.outcome("approve", run)["state"] in ("waiting", "done")
    assert [one["minute"] for one in log_of(plant)] == [65]


@pytest.mark.parametrize("done", [False, True])
def test_what_was_killed_while_it_set_something_is_done_once(
    plant: ReadyPipeline, done: bool
) -> None:
    run = plant.run(GIVEN)["run"]
    plant.killed_at("actuate", ("runs", "approve", run), code="plant.py", done=done)
    assert len(log_of(plant)) == done
    ended = to_its_end(plant, plant.outcome("resume", run))
    assert ended["state"] == "done"
    started = [one for one in plant.records(run) if one["kind"] == "started"]
    places = {one["step"] for one in started if one["step"].endswith(".change")}
    assert len(log_of(plant)) == len(places)
    assert len(plant.finished(run)) == len(set(plant.finished(run)))


@pytest.mark.parametrize("text", ["", "[]", '{"now": {"temperature": "hot"}}', "\x00"])
def test_sensors_that_cannot_be_read_end_it_with_nothing_changed(
    plant: ReadyPipeline, text: str
) -> None:
    (plant.folder / "plant.json").write_text(text)
    ended = plant.run(GIVEN)
    assert ended["state"] == "failed"
    assert ended["step"] == "watch#1.seen"
    assert log_of(plant) == []


def test_a_limit_that_is_missing_is_told_before_anything_runs(plant: ReadyPipeline) -> None:
    refused = plant.command("run", "plan.json", "--quiet", "--input", '{"most_pressure": 2}')
    assert refused.exit_code == 1
    assert "input" in refused.output + str(refused.exception)
