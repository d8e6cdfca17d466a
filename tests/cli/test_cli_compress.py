"""``shoal compress``: what it refuses, and the table of a model's files."""

import json
from pathlib import Path

import pytest
from command_line import Desk
from support_desk import add_calls, add_tasks, make_call

from shoal.errors import ArtifactError, ConfigError, LearningError, NotFound
from tiny_gguf import write_model


def test_an_unknown_task(busy_desk: Desk) -> None:
    result = busy_desk.run("compress", "mood")
    assert isinstance(result.exception, NotFound)
    assert "department, reply" in str(result.exception)


def test_a_task_without_a_specialist_spends_nothing(desk: Desk) -> None:
    with desk.store() as store:
        add_tasks(store, "department")
        add_calls(store, *(make_call("department", number) for number in range(9)))
    result = desk.run("compress", "department")
    assert isinstance(result.exception, LearningError)
    assert "no specialist to compress: `shoal certify department` first" in str(result.exception)
    with desk.store() as store:
        assert not store.attempts.list("t-department")


@pytest.mark.parametrize(
    "option", ["--layers=0", "--heads=0", "--inner=2", "--to=q2", "--pieces=-1"]
)
def test_options_out_of_bounds(desk: Desk, option: str) -> None:
    assert desk.run("compress", "department", option).exit_code == 2


def test_a_models_files(desk: Desk) -> None:
    pytest.importorskip("xllamacpp")
    model, prompts = write_model(desk.folder / "model.gguf"), desk.folder / "prompts.txt"
    prompts.write_text("the other\n\nin and on\n")
    asked = ("compress", str(model), "--out", str(desk.folder / "small"), "--prompts", str(prompts))
    printed = desk.printed(*asked)
    assert "model-q8_0.gguf" in printed
    assert "2 of 2" in printed
    assert "* is on the Pareto front" in printed
    rows = json.loads(desk.printed(*asked, "--to", "q4_0", "--json"))
    assert [row["name"] for row in rows] == ["model.gguf", "model-q4_0.gguf"]
    for row in rows[1:]:
        assert Path(row["path"]).exists() == row["front"]


def test_without_prompts_sizes_alone_are_told(desk: Desk) -> None:
    pytest.importorskip("gguf")
    model = write_model(desk.folder / "model.gguf")
    assert "were not measured" in desk.printed("compress", str(model))
    assert {path.name for path in desk.folder.glob("*.gguf")} == {
        "model.gguf", "model-q8_0.gguf", "model-q4_0.gguf",
    }  # fmt: skip


def test_what_is_no_model(desk: Desk) -> None:
    pytest.importorskip("gguf")
    (desk.folder / "cut.gguf").write_bytes(b"GGUF" + bytes(9))
    empty = desk.folder / "empty.txt"
    empty.write_text("\n")
    assert isinstance(desk.run("compress", "none.gguf").exception, ArtifactError)
    path = str(desk.folder / "cut.gguf")
    assert "is no GGUF file" in str(desk.run("compress", path).exception)
    for prompts in (empty, desk.folder / "none.txt"):
        result = desk.run("compress", path, "--prompts", str(prompts))
        assert isinstance(result.exception, ConfigError)
        assert prompts.name in str(result.exception)
