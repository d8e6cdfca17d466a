"""A Python file as a module."""

from pathlib import Path

import pytest

from shoal.errors import ConfigError
from shoal.tools.module_file import module_of
from shoal.tools.options import PythonToolOptions, build_tools
from shoal.tools.tool import ToolUse

DOUBLE = '''from dataclasses import dataclass


@dataclass
class Found:
    """What it comes to."""

    value: "int"


def work(n: int) -> Found:
    """Some work."""
    return Found({many} * n)
'''


def options(function: str) -> dict[str, PythonToolOptions]:
    return {"work": PythonToolOptions(kind="python", function=function, effects="none")}


async def test_tools_of_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for many in (2, 3):
        folder = tmp_path / str(many)
        folder.mkdir()
        (folder / "steps.py").write_text(DOUBLE.format(many=many), encoding="utf-8")
    for many in (2, 3, 2):
        box = build_tools(options("steps.py:work"), tmp_path / str(many))
        found = await box.call("work", {"n": 4}, ToolUse("key", 5.0), None)
        assert found.value == {"value": 4 * many}


def test_a_file_runs_once_until_it_changes(tmp_path: Path) -> None:
    file, count = tmp_path / "steps.py", tmp_path / "count"
    code = f"with open({str(count)!r}, 'a') as file:\n    file.write('x')\n"
    file.write_text(code, encoding="utf-8")
    assert module_of(file) is module_of(file)
    assert count.read_text() == "x"
    file.write_text(code + "OTHER = 1\n", encoding="utf-8")
    assert module_of(file).OTHER == 1
    assert count.read_text() == "xx"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("none.py:work", "tools.work.function: no such file 'none.py'"),
        ("broken.py:work", "tools.work.function: not today"),
        ("steps.py:none", "tools.work.function: steps.py has no 'none'"),
        ("steps.py:Found.value", "tools.work.function: steps.py has no 'Found.value'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_by_the_key(
    function: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('not today')", encoding="utf-8")
    (tmp_path / "steps.py").write_text(DOUBLE.format(many=2), encoding="utf-8")
    for _ in range(2):  # what broke once is not remembered as a module
        with pytest.raises(ConfigError) as error:
            build_tools(options(function), tmp_path)
        assert said in str(error.value)
