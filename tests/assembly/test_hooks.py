"""Comparators and validators of one's own, as shoal.toml names them."""

import re
import sqlite3
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from shoal.assembly.hooks import register_hooks
from shoal.chat import Answer, Message, Request
from shoal.cli.reloading import regime_of
from shoal.config import read_config
from shoal.errors import ConfigError
from shoal.routing.judging import JudgingOptions
from shoal.routing.signals.command import CommandPasses
from shoal.routing.signals.registry import validators_of
from shoal.tasks import TextContract, same

ASKED = Request("llm", (Message("user", "How many?"),))
CHECKS = """
def same_length(a, b):
    return len(a.text) == len(b.text)

def short(request, answer):
    return "" if len(answer.text) < 10 else "too long"

def broken(request, answer):
    raise ValueError("no idea")

not_callable = 3

def of_one(answer):
    return ""
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checks.py").write_text(CHECKS, encoding="utf-8")
    with sqlite3.connect(tmp_path / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE item (price INTEGER)")
        shop.execute("INSERT INTO item VALUES (3), (4)")
    shop.close()
    return tmp_path


def complaint(name: str, text: str) -> str:
    return validators_of([name])[0].complaint(ASKED, Answer(text=text))


def test_functions_of_a_file_beside_the_settings(folder: Path) -> None:
    own = JudgingOptions(comparator="checks.py:same_length", validators=("checks.py:short",))
    register_hooks({"haiku": own}, folder)
    contract = own.applied(TextContract())
    assert same(contract, Answer("pond"), Answer("frog"))
    assert not same(contract, Answer("pond"), Answer("frogs"))
    assert complaint("checks.py:short", "a frog") == ""
    assert complaint("checks.py:short", "a frog leaps in") == "too long"


def test_functions_of_an_installed_module(folder: Path) -> None:
    register_hooks({"haiku": JudgingOptions(comparator="operator:eq")}, folder)
    contract = replace(TextContract(), comparator="operator:eq")
    assert same(contract, Answer("pond"), Answer("pond"))
    assert not same(contract, Answer("pond"), Answer("Pond"))


def test_rows_and_queries_of_a_database(folder: Path) -> None:
    own = JudgingOptions(comparator="rows:shop.sqlite", validators=("sql:shop.sqlite",))
    register_hooks({"haiku": own}, folder)
    contract = own.applied(TextContract())
    both = Answer("SELECT price FROM item"), Answer("SELECT price FROM item ORDER BY 1 DESC;")
    assert same(contract, *both)
    assert not same(contract, both[0], Answer("SELECT max(price) FROM item"))
    assert complaint("sql:shop.sqlite", both[0].text) == ""
    assert "does not run" in complaint("sql:shop.sqlite", "DELETE FROM item")


TESTS = """
import json, sys
call = json.load(sys.stdin)
space = {}
exec(call["answer"], space)
if space["double"](3) != 6:
    print("double(3) is", space["double"](3))
    sys.exit(1)
"""


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("def double(n): return 2 * n", ""),
        ("def double(n): return n", r"double\(3\) is 3"),
        ("import os\nos.kill(0, 9)", "status"),
        ("open('big', 'wb').write(b'0' * 99_000_000)", "status|Error"),
        ("x = bytearray(10 ** 10)", "Error"),
    ],
)
def test_programs_that_run_tests(folder: Path, answer: str, found: str) -> None:
    (folder / "tests.py").write_text(TESTS, encoding="utf-8")
    name = f"command:{sys.executable} tests.py"
    register_hooks({"haiku": JudgingOptions(validators=(name,))}, folder)
    said = complaint(name, answer)
    assert re.search(found, said) if found else said == ""


def test_a_program_that_does_not_end_is_ended(folder: Path) -> None:
    (folder / "tests.py").write_text(TESTS, encoding="utf-8")
    check = CommandPasses(f"{sys.executable} tests.py", folder, cpu_s=1)
    said = check.complaint(ASKED, Answer("def double(n):\n    while True: pass"))
    assert re.search("status -9|status -24", said)


def test_a_program_sees_nothing_of_the_environment_and_no_shell(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    looks = "import os, sys; sys.exit(repr((sys.argv[1:], dict(os.environ))))"
    (folder / "look.py").write_text(looks, encoding="utf-8")
    name = f"command:{sys.executable} look.py '$HOME; true'"
    register_hooks({"haiku": JudgingOptions(validators=(name,))}, folder)
    said = complaint(name, "x")
    assert "'$HOME; true'" in said
    assert "s3cret" not in said


def test_a_validator_that_raises_has_found_a_fault(folder: Path) -> None:
    register_hooks({"haiku": JudgingOptions(validators=("checks.py:broken",))}, folder)
    assert "no idea" in complaint("checks.py:broken", "4")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (JudgingOptions(comparator="nowhere.py:f"), "no such file"),
        (JudgingOptions(comparator="rows:nowhere.sqlite"), "no such database"),
        (JudgingOptions(comparator="checks.py:f"), "has no function 'f'"),
        (JudgingOptions(validators=("checks.py:not_callable",)), "is no function"),
        (JudgingOptions(validators=("checks.py:of_one",)), "take two arguments"),
        (
            JudgingOptions(comparator="checks.py:of_one"),
            "tasks.haiku.comparator: 'checks.py:of_one'",
        ),
        (JudgingOptions(validators=("command:no_such_program at all",)), "no program"),
        (JudgingOptions(validators=("command: ",)), "is no command"),
        (JudgingOptions(validators=("no_such_package_at_all:f",)), "cannot be loaded"),
    ],
)
def test_what_is_not_there_is_told_at_the_start(
    folder: Path, own: JudgingOptions, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        register_hooks({"haiku": own}, folder)


def test_a_validator_that_the_settings_name_no_more_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no validator 'gone\.py:f' here"):
        validators_of(["gone.py:f"])


async def test_the_settings_are_enough(folder: Path) -> None:
    path = folder / "shoal.toml"
    path.write_text(
        '[tasks.haiku]\ncomparator = "checks.py:same_length"\nvalidators = ["citations"]\n'
    )
    regime = regime_of(read_config(path))
    assert regime.judging("haiku").validators == ("citations",)
    contract = regime.judging("haiku").applied(TextContract())
    assert same(contract, Answer("pond"), Answer("frog"))
    assert regime.judging("another").applied(TextContract()) == TextContract()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('comparator = "alike"', "a comparator should be like"),
        ('validators = ["alike"]', 'a validator should be "schema"'),
    ],
)
def test_settings_that_name_nothing_are_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "shoal.toml"
    path.write_text(f"[tasks.haiku]\n{line}\n")
    with pytest.raises(ConfigError, match=said):
        read_config(path)
