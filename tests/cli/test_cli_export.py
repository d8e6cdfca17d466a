import gzip
import json
from pathlib import Path

import pytest
from command_line import Desk
from msgspec.structs import replace
from support_desk import BEGAN, add_calls, make_call, request_of

from shoal.chat import Answer, Usage
from shoal.engines import RecordedOptions, open_engine
from shoal.errors import ConfigError


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_call_is_a_line(busy_desk: Desk) -> None:
    found = rows(busy_desk.printed("calls", "export"))
    assert len(found) == 36
    first = found[0]
    assert list(first) == [
        "id",
        "at",
        "task",
        "request",
        "response",
        "latency_ms",
        "answered_by",
        "receipt",
    ]
    assert first["at"] == BEGAN
    assert [row["at"] for row in found] == sorted(row["at"] for row in found)  # type: ignore[type-var]
    request, response = first["request"], first["response"]
    assert isinstance(request, dict)
    assert isinstance(response, dict)
    assert request["messages"][0]["role"] == "system"
    assert response["object"] == "chat.completion"
    assert response["usage"]["prompt_tokens"] == 60


def test_one_task_only(busy_desk: Desk) -> None:
    found = rows(busy_desk.printed("calls", "export", "--task", "reply"))
    assert [row["task"] for row in found] == ["reply"] * 6


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
async def test_the_recorded_engine_plays_an_export(busy_desk: Desk, name: str) -> None:
    result = busy_desk.run("calls", "export", "-o", name)
    assert result.stdout == ""
    assert result.stderr == "shoal: 36 calls exported\n"
    path = busy_desk.folder / name
    assert (path.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")
    assert path.stat().st_mode & 0o777 == 0o600
    engine = open_engine("old", RecordedOptions(engine="recorded", path=path))
    for number in range(30):
        call = make_call("department", number)
        answer = await engine.answer(request_of("department", number))
        assert replace(answer, body=b"") == call.answer


def test_calls_without_a_whole_answer_are_left_out_and_counted(desk: Desk) -> None:
    broken = replace(make_call("reply", 2), answer=Answer("Dear", complete=False))
    with desk.store() as store:
        add_calls(store, make_call("reply", 1), broken)
        add_calls(store, make_call("reply", 3, answer=None, error="timed out"))
    result = desk.run("calls", "export")
    assert [row["id"] for row in rows(result.stdout)] == [make_call("reply", 1).id]
    assert result.stderr == ("shoal: 1 calls exported; 2 without a whole answer were left out\n")


def test_estimated_token_counts_do_not_become_counted_ones(desk: Desk) -> None:
    answer = Answer("hello", usage=Usage(60, 3, estimated=True))
    with desk.store() as store:
        add_calls(store, make_call("reply", 1, answer=answer))
    (row,) = rows(desk.printed("calls", "export"))
    assert "usage" not in row["response"]  # type: ignore[operator]


def test_a_failed_export_leaves_the_file_as_it_was(
    busy_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = busy_desk.folder / "out.jsonl"
    path.write_text("precious")

    def break_off(*_: object) -> bytes:
        raise ConfigError("broken off")

    monkeypatch.setattr("shoal.cli.calls.encode_line", break_off)
    assert busy_desk.refused("calls", "export", "-o", str(path)) == "broken off"
    assert path.read_text() == "precious"
    assert {p.name for p in busy_desk.folder.iterdir()} == {"out.jsonl", "shoal.toml", "shoal-data"}


def test_a_folder_that_is_not_there_is_an_error(busy_desk: Desk) -> None:
    said = busy_desk.refused("calls", "export", "-o", "no/out.jsonl")
    assert said == "no/out.jsonl: cannot be written: No such file or directory"


def test_a_device_is_written_to_and_not_replaced(busy_desk: Desk) -> None:
    busy_desk.printed("calls", "export", "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


def test_a_compressed_export_is_the_plain_one(busy_desk: Desk) -> None:
    plain = busy_desk.printed("calls", "export")
    busy_desk.printed("calls", "export", "-o", "out.gz")
    assert gzip.decompress((busy_desk.folder / "out.gz").read_bytes()).decode() == plain
