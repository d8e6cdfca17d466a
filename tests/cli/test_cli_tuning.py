"""``shoal collections tune``: a file of known answers, taken, refused, or told what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Desk

from tiny_encoder import TinyEncoder

TOPICS = 12


@pytest.fixture
def manual(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A collection of twelve pages, in an encoder that needs no weights."""
    for module in ("collections", "tuning"):
        monkeypatch.setattr(f"shoal.cli.{module}.Encoder", lambda threads=1: TinyEncoder())
    pages = desk.folder / "pages"
    pages.mkdir()
    for topic in range(TOPICS):
        (pages / f"page{topic}.txt").write_text(f"proper{topic} proper{topic} proper{topic}")
    desk.printed("collections", "add", "manual", str(pages))
    return desk


@pytest.fixture
def write(desk: Desk) -> Callable[..., Path]:
    def written(*lines: object) -> Path:
        path = desk.folder / "known.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        return path

    return written


def known(n: int) -> list[dict[str, str]]:
    said = "slang{0} slang{0} slang{0} ask{1}"
    return [
        {"question": said.format(at % TOPICS, at), "document": f"page{at % TOPICS}.txt"}
        for at in range(n)
    ]


def first(desk: Desk) -> str:
    found = json.loads(desk.printed("collections", "search", "manual", "slang7 slang7", "--json"))
    return Path(found[0]["document"]["name"]).name


def test_what_was_learned_is_proven_and_used(manual: Desk, write: Callable[..., Path]) -> None:
    file = write(*known(200))
    said = manual.printed("collections", "tune", "manual", str(file))
    assert "makes the search of manual better, with 95 % confidence" in said
    assert "Not promised:" in said
    assert first(manual) == "page7.txt"
    assert said.startswith(f"From {file}: 200 questions.\nFrom feedback: 0 questions of 0 calls.")
    shown = manual.printed("collections", "tune", "manual", "--show")
    assert said.endswith(shown)
    assert shown.startswith("Certificate: the adapter")
    assert "searched with: adapter; `shoal" in manual.printed("collections", "show", "manual")
    assert "adapter" in manual.printed("collections", "list")
    assert "as before" in manual.printed("collections", "tune", "manual", "--drop")
    assert "was not tuned" in manual.printed("collections", "tune", "manual", "--drop")


def test_a_refusal_has_a_status_of_its_own(manual: Desk, write: Callable[..., Path]) -> None:
    result = manual.run("collections", "tune", "manual", str(write(*known(4))))
    assert result.exit_code == 2
    assert "more would show it" in result.stdout


def test_bad_lines_are_told_and_left_out_when_asked(
    manual: Desk, write: Callable[..., Path]
) -> None:
    lost = {"question": "where?", "document": "page99.txt"}
    file = write(*known(200), {"question": "what?"}, lost)
    said = manual.refused("collections", "tune", "manual", str(file))
    assert "known.jsonl, line 201: expected either" in said
    assert "1 more lines; nothing was learned" in said.replace("(and ", "").replace(")", "")
    result = manual.run("collections", "tune", "manual", str(file), "--skip-bad")
    assert result.exit_code == 0
    assert "line 202: there is no document 'page99.txt'" in result.stderr


def test_no_file_and_no_collection(manual: Desk, write: Callable[..., Path]) -> None:
    result = manual.run("collections", "tune", "manual")
    assert result.exit_code == 2
    assert "no answer was called right" in result.stdout
    result = manual.run("collections", "tune", "manual", "--show")
    assert result.exit_code == 2
    assert "not tuned" in result.stdout
    assert "no such file" in manual.refused("collections", "tune", "manual", "nowhere.jsonl")
    said = manual.refused("collections", "tune", "nothing", str(write(*known(3))))
    assert "there are: manual" in said
