"""The demonstration: its traffic, its pictures, and the whole of it."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from shoal.cli.demo import demo
from shoal.demo.board import Board, tasks_table
from shoal.demo.player import Tally
from shoal.demo.scene import Row, Scene
from shoal.demo.traffic import DRIFTING, MODEL, calls_about, read_messages, write_recording
from shoal.engines import RecordedOptions, open_engine
from shoal.errors import ConfigError

ROW = Row("order", "order-id", "serve", 100, 80, 2, "certified: [bold]at most 5%[/] differ")
SCENE = Scene((ROW,), 100, 80, 9, 1, 0.25, 6.5)


def test_the_traffic_is_the_data_as_it_was_written() -> None:
    messages = read_messages()
    assert len(messages) == 1_680
    assert all(message.answers[DRIFTING] in ("yes", "no") for message in messages)
    for message in messages:
        for value in json.loads(message.answers["order"]).values():
            assert value in message.text


def test_drift_turns_one_kind_of_answer_round_from_one_message_on() -> None:
    messages = read_messages()[:20]
    plain, drifted = calls_about(messages, 20), calls_about(messages, 10)
    changed = {
        (number, call.kind)
        for number, (a, b) in enumerate(zip(plain, drifted, strict=True))
        for call, other in zip(a, b, strict=True)
        if call.answer != other.answer
    }
    assert changed == {(number, DRIFTING) for number in range(10, 20)}


async def test_the_recording_is_one_that_the_engine_plays(tmp_path: Path) -> None:
    calls = calls_about(read_messages()[:5], 5)
    write_recording(calls, tmp_path / "r.jsonl")
    engine = open_engine(MODEL, RecordedOptions(engine="recorded", path=tmp_path / "r.jsonl"))
    from shoal.formats.chat_completions import decode_request

    for call in calls[3]:
        asked = decode_request(json.dumps(call.recorded()["request"]).encode())
        assert (await engine.answer(asked)).text == call.answer


def test_plain_lines_without_a_terminal_are_said_once() -> None:
    out = io.StringIO()
    with Board(Console(file=out, width=200)) as board:
        board.act("Something happens")
        board.show(SCENE)
        board.show(SCENE)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "order-id: serve; certified: [bold]at most 5%[/] differ" in lines[1]


def test_the_picture_fits_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    with Board(console) as board:
        board.act("Something happens")
        board.show(SCENE)
    console.print(tasks_table(SCENE))
    assert "80 served small" in out.getvalue() or "80% served small" in out.getvalue()
    assert max(len(line) for line in re.split(r"[\r\n]", out.getvalue())) < 120


def test_the_tally_counts_small_answers_and_agreement() -> None:
    call = calls_about(read_messages()[:1], 1)[0][0]
    tally = Tally()
    tally.add(call, call.answer, {"x-shoal-task": "t", "x-shoal-answered-by": MODEL}, 1.0)
    small = {"x-shoal-task": "t", "x-shoal-answered-by": "specialist/t"}
    tally.add(call, call.answer, small, 5.0)
    tally.add(call, "something else", small, 7.0)
    assert (tally.calls[call.kind], tally.small[call.kind], tally.agreed[call.kind]) == (3, 2, 1)
    assert tally.median_ms() == 6.0


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="holds something else"):
        demo(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_the_data_in_the_package_is_the_projects_own() -> None:
    shared = Path(os.environ.get("SHOAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    original = shared / "demo" / "calls.jsonl.gz"
    if not original.exists():
        pytest.skip("SHOAL_DATA is absent")
    packed = Path(sys.modules["shoal.demo.traffic"].__file__ or "").with_name("calls.jsonl.gz")
    assert gzip.decompress(packed.read_bytes()) == gzip.decompress(original.read_bytes())


@pytest.mark.slow
def test_the_whole_demonstration(tmp_path: Path) -> None:
    """As `make demo` runs it, without a terminal: certifies, refuses, serves, demotes, says so."""
    command = [sys.executable, "-m", "shoal", "demo", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "The LLM is recorded" in said
    assert "(assumed)" in said
    assert re.search(r"task \S+: serve; certified: at most 5% differ", said)
    assert re.search(r"task topic: observe; refused: ", said)
    assert "no specialist learns that yet" in said
    assert "then demoted by audits" in said
    assert "shoal certificate" in said
