"""Recorded calls, played back."""

import gzip
import json
import time
from pathlib import Path

import pytest

from shoal.chat import Message, Request
from shoal.engines import RecordedOptions
from shoal.engines.recorded import RecordedEngine
from shoal.errors import ConfigError, NotRecorded


def call(asked: str, answered: str, **more: object) -> dict[str, object]:
    return {
        "request": {"model": "a", "messages": [{"role": "user", "content": asked}]},
        "response": {"choices": [{"message": {"content": answered}}]},
        **more,
    }


def written(path: Path, *calls: object) -> Path:
    text = "\n".join(json.dumps(call) for call in calls) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def engine(path: Path, latency: str = "none") -> RecordedEngine:
    options = RecordedOptions.model_validate(
        {"engine": "recorded", "path": path, "latency": latency}
    )
    return RecordedEngine("played", options)


def asking(text: str) -> Request:
    return Request("another model", (Message("user", text),))


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.jsonl.gz"])
async def test_answers_are_played_in_order_and_the_last_repeated(tmp_path: Path, name: str) -> None:
    calls = call("a", "1"), call("b", "x", ignored={}), call("a", "2")
    played = engine(written(tmp_path / name, *calls))
    texts = [(await played.answer(asking(text))).text for text in "aabaa"]
    assert texts == ["1", "2", "x", "2", "2"]


async def test_or_all_of_them_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "calls.jsonl", call("a", "1"), call("a", "2"), call("a", "3"))
    options = RecordedOptions(engine="recorded", path=path, again="all")
    played = RecordedEngine("recorded", options)
    texts = [(await played.answer(asking("a"))).text for _ in range(5)]
    assert texts == ["1", "2", "3", "1", "2"]


async def test_the_recorded_bytes_are_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    response = b'{"choices": [ {"message":{"content":"\\u00e9"}}],"odd":1.50}'
    path.write_bytes(
        b'{"request":{"model":"a","messages":[{"role":"user","content":"a"}]},"response":%s}\n'
        % response
    )
    answer = await engine(path).answer(asking("a"))
    assert (answer.text, answer.body) == ("é", response)


async def test_an_unknown_request_is_a_clear_error(tmp_path: Path) -> None:
    played = engine(written(tmp_path / "calls.jsonl", call("a", "1")))
    with pytest.raises(NotRecorded, match=r"calls\.jsonl holds no answer to this request .*'b'"):
        await played.answer(asking("b"))
    with pytest.raises(NotRecorded):
        await played.stream(asking("b"))


async def test_recorded_latency(tmp_path: Path) -> None:
    path = written(tmp_path / "calls.jsonl", call("a", "1", latency_ms=60), call("b", "1"))
    slow, fast = engine(path, "recorded"), engine(path)
    for played, asked, least, most in ((slow, "a", 0.06, 5), (slow, "b", 0, 5), (fast, "a", 0, 5)):
        started = time.perf_counter()
        await played.answer(asking(asked))
        assert least <= time.perf_counter() - started < most


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no recorded call"),
        ("[]", "is no recorded call"),
        ('{"request": {}}', "`response`"),
        ('{"request": {}, "response": {}}', "request: 'model' is missing"),
        (
            json.dumps(call("a", "1") | {"response": {"choices": []}}),
            "response: the reply is not a chat completion: it holds no choices",
        ),
        (json.dumps(call("a", "1", latency_ms="slow")), "latency_ms"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path / "calls.jsonl", call("a", "1"))
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(ConfigError) as caught:
        engine(path)
    assert f"{path}, line 3: " in str(caught.value)
    assert said in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        engine(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="cannot be read"):
        engine(tmp_path)
    whole = written(tmp_path / "calls.jsonl.gz", call("a", "1")).read_bytes()
    for damaged in (b"not gzip", whole[:-9], whole[:20] + b"\x00\x00\x00" + whole[23:]):
        (tmp_path / "calls.jsonl.gz").write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"cannot be read|is no recorded call"):
            engine(tmp_path / "calls.jsonl.gz")
