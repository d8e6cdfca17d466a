"""The real executable: exit statuses, errors on one line, never a traceback."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest
from command_line import Desk
from support_desk import line, lines

SHOAL = Path(sys.executable).with_name("shoal")


def shoal(*args: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SHOAL, *args], input=input, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_version(desk: Desk) -> None:
    said = f"shoal {metadata.version('shoal')}\n"
    assert desk.printed("--version") == desk.printed("version") == said
    assert shoal("--version").stdout == said


def test_calls_go_in_and_out_through_pipes(desk: Desk) -> None:
    text = lines(*(line("reply", number) for number in range(3)))
    assert shoal("calls", "import", "-", input=text).returncode == 0
    exported = shoal("calls", "export")
    assert len(exported.stdout.splitlines()) == 3
    assert exported.stderr == "shoal: 3 calls exported\n"


def test_a_reader_that_goes_away_is_no_crash(desk: Desk) -> None:
    text = lines(*(line("reply", number) for number in range(400)))
    desk.printed("calls", "import", "-", input=text)
    found = subprocess.run(
        ["sh", "-c", f"{SHOAL} calls export | head -n 1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(found.stdout.splitlines()) == 1
    assert "Traceback" not in found.stderr


def damage(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    database.write_bytes(content)


def make_newer(database: Path) -> None:
    with closing(sqlite3.connect(database)) as conn:
        conn.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(damage, "the database is damaged"), (make_newer, "was written by a newer Shoal")],
)
def test_a_store_that_cannot_be_used(desk: Desk, spoil: object, said: str) -> None:
    with desk.store() as store:
        path = store.database.path
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes()
    failed = shoal("tasks", "list")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("shoal: ")
    assert said in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert path.read_bytes() == before


COMMANDS = [
    ["calls", "list"],
    ["calls", "show", "x"],
    ["calls", "export"],
    ["calls", "import", "-"],
    ["tasks", "list"],
    ["tasks", "show", "x"],
    ["tasks", "rename", "x", "y"],
    ["tasks", "split", "x", "y"],
    ["tasks", "merge", "x", "y"],
    ["tasks", "pin", "x"],
    ["tasks", "ignore", "x"],
    ["certify", "x"],
    ["certificate", "x"],
    ["promote", "x"],
    ["demote", "x"],
    ["log"],
    ["serve"],
    ["learn"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_settings_every_command_says_what_to_do(desk: Desk, command: list[str]) -> None:
    desk.config.unlink()
    assert "shoal.toml: no such file; `shoal init` writes one" in desk.refused(*command)
    assert not (desk.folder / "shoal-data").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = 3", "models: input should be a valid dictionary"),
        ("[gateway]\nprot = 1", "gateway.prot: extra inputs are not permitted"),
        ("[tasks.reply]\naplha = 0.1", "tasks.reply.aplha: extra inputs are not permitted"),
        ("[tasks.reply]\nalpha = 7", "tasks.reply.alpha: input should be less than 0.5"),
        ("=", "cannot be read: Invalid"),
    ],
)
def test_wrong_settings_name_file_and_key(desk: Desk, text: str, said: str) -> None:
    desk.config.write_text(text)
    refused = desk.refused("tasks", "list")
    assert refused.startswith("shoal.toml: ")
    assert said in refused


def test_an_environment_that_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_GATEWAY", "{")
    assert "the environment: " in desk.refused("tasks", "list")
