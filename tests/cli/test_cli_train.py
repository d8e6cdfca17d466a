"""``shoal train``: from recorded calls to a tuned model that answers, with nothing downloaded."""

import importlib.util
import re
import sys
from pathlib import Path

import msgspec
import pytest
from command_line import Desk
from support_desk import LABELS, add_calls, add_tasks, make_call, make_task, text_of

from shoal.assembly.loader import Loader
from shoal.chat import Answer
from shoal.specialists.card import Card
from shoal.specialists.generated import GeneratedSpecialist
from shoal.tasks import Input

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None, reason="the extra `train` is not installed"
    ),
]
TUNING = ("--epochs", "12", "--rate", "0.02", "--rank", "8", "--precision", "f16")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.append(str(Path(__file__).parents[1] / "training"))
    from tiny_models import tiny_model

    return tiny_model("llama3", tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def busy(desk: Desk) -> Desk:
    desk.add_settings("[promise]\nalpha = 0.2\nconfidence = 0.9\n")
    with desk.store() as store:
        add_tasks(store, "department")
        add_calls(store, *(make_call("department", number) for number in range(150)))
    return desk


def test_from_calls_to_a_model_that_answers(busy: Desk, checkpoint: Path) -> None:
    told = busy.printed("train", "department", "--base", str(checkpoint), "--dry-run")
    trains, judges = map(int, re.findall(r"(\d+) (?:examples would train|judge)", told))
    assert trains + judges == 150
    shown = busy.printed("train", "department", "--base", str(checkpoint), *TUNING)
    assert "at most 20 %" in shown
    busy.printed("promote", "department", "--to", "serve")
    with busy.store() as store:
        standing = store.standings.get(make_task("department").id)
        assert standing is not None
        card = msgspec.json.decode(store.cards.get(standing.card).spec, type=Card)
        assert (card.kind, card.recipe) == ("generated", "lora")
        specialist = Loader(store).load(card)
        assert isinstance(specialist, GeneratedSpecialist)
        said = [specialist.predict(Input(text_of(number))).output for number in range(900, 930)]
        specialist.close()
    right = sum(one == LABELS[n % 3] for n, one in zip(range(900, 930), said, strict=True))
    assert right >= 24
    assert not [*(busy.folder / "shoal-data" / "tuning").rglob("report.json")], "tidied up"


def test_what_cannot_be_learned_is_refused_and_costs_one_attempt(
    desk: Desk, checkpoint: Path
) -> None:
    desk.add_settings("[promise]\nalpha = 0.2\nconfidence = 0.9\n")
    with desk.store() as store:
        add_tasks(store, "department")
        calls = [
            make_call("department", number, answer=Answer(LABELS[(number * 7919 // 13) % 3]))
            for number in range(120)
        ]
        add_calls(store, *calls)
    quick = ("--epochs", "1", "--precision", "f16", "--merge")
    result = desk.run("train", "department", "--base", str(checkpoint), *quick)
    assert result.exit_code == 2
    assert "Refused" in result.stdout
    with desk.store() as store:
        assert len(store.attempts.list(make_task("department").id)) == 1


def test_too_few_examples_are_said_before_anything_is_trained(desk: Desk, checkpoint: Path) -> None:
    with desk.store() as store:
        add_tasks(store, "department")
        add_calls(store, *(make_call("department", number) for number in range(60)))
    said = desk.refused("train", "department", "--base", str(checkpoint))
    assert re.search(r"need about [\d,]+ more examples", said)
    with desk.store() as store:
        assert store.attempts.list(make_task("department").id) == []


@pytest.mark.parametrize("source", ["./nothing", "a/b/c", "nothing"])
def test_what_is_no_checkpoint(busy: Desk, source: str) -> None:
    assert "expected a folder" in busy.refused("train", "department", "--base", source)


def test_nothing_is_fetched_for_a_task_that_cannot_be_learned(busy: Desk) -> None:
    assert "no task named 'other'" in busy.refused("train", "other", "--base", "maker/model")


def test_one_tuning_of_a_task_at_a_time(busy: Desk, checkpoint: Path) -> None:
    import fcntl

    folder = busy.folder / "shoal-data" / "tuning"
    folder.mkdir()
    with (folder / f"{make_task('department').id}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = busy.refused("train", "department", "--base", str(checkpoint))
    assert "another `shoal train`" in said
