import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.cli.app import main
from shoal.cli.figures import moment, money, one_line, percent, printable, short_moment
from shoal.cli.printing import Column, Row, show_json, show_log, show_table

COLUMNS = (Column("NAME", shrinks=True), Column("N", right=True))


def test_money() -> None:
    assert [money(x) for x in (None, 0.0, 0.000412, 0.01, 1234.5)] == [
        "unknown",
        "$0.00",
        "$0.000412",
        "$0.01",
        "$1,234.50",
    ]


def test_percent() -> None:
    assert [percent(0.05), percent(1, 3), percent(0, 0)] == ["5 %", "33.3 %", "-"]


def test_moments_are_utc() -> None:
    assert moment(1735689600.0) == "2025-01-01 00:00:00"
    assert short_moment(1735689600.0) == "25-01-01"


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x07", "\x9b1m", "\u202eabc", "\u2028", "a\rb", "\ud83d"]
)
def test_what_steers_a_terminal_is_shown_instead(text: str) -> None:
    assert printable(text).isprintable()


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[2J\x9b1m\u202e\x7f ça"
    show_json({"name": text})
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert "ça" in printed
    assert json.loads(printed) == {"name": text}


def test_errors_steer_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shoal.toml").touch()
    Path("calls.jsonl").write_text('{"custom_id":"a","url":"\\u001b[31m/x","body":{}}')
    monkeypatch.setattr("sys.argv", ["shoal", "calls", "import", "calls.jsonl"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert r"line 1: url: \x1b[31m/x is no chat completion" in said
    assert "\x1b" not in said


def test_what_is_logged_steers_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    show_log()
    logging.getLogger("x").warning("task %s", "\x1b[31m")
    assert capsys.readouterr().err == "WARNING x: task \\x1b[31m\n"


def test_ordinary_text_stays() -> None:
    assert printable("Größe:\t5\nça va\u00a0? 😬") == "Größe:\t5\nça va\u00a0? 😬"
    assert one_line(" a\n b ") == "a b"


def test_a_table_is_plain_and_uncut_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(COLUMNS, [Row(("x" * 200, "7"), "y " * 100), Row(("日本", "1,000"))])
    head, first, note, second = capsys.readouterr().out.splitlines()
    assert first == f"{'x' * 200}      7"
    assert head.endswith("    N")
    assert note == "  " + " ".join("y" * 100)
    assert second == f"日本{' ' * 196}  1,000"


def test_a_table_is_cut_and_wrapped_at_a_terminal(
    capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    terminal(40)
    show_table(COLUMNS, [Row(("x" * 200, "7"), "y " * 100)])
    head, first, *note = capsys.readouterr().out.splitlines()
    assert first == f"{'x' * 36}…  7"
    assert head == f"NAME{' ' * 35}N"
    assert all(part.startswith("  y") and len(part) <= 40 for part in note)
    assert " ".join(note).split() == ["y"] * 100


def test_a_terminal_too_narrow_still_gets_its_columns(
    capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    terminal(5)
    show_table(COLUMNS, [Row(("x" * 20, "7"))])
    assert "xxxxx" in capsys.readouterr().out
