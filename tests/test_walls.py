"""The walls of the design: who may import whom, how long a file may be, and what is banned.

Imports are read from the syntax trees, so those under ``TYPE_CHECKING`` and those inside functions
count like any other.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

import shoal

ROOT = Path(shoal.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

FLOORS = (
    ("errors", "chat", "encoder"),
    ("formats",),
    ("guarantees",),
    ("storage", "engines", "tools", "retrieval"),
    ("tasks", "specialists", "reasoning"),
    ("routing", "planning", "training", "evaluation"),
    ("flywheel",),
    ("assembly",),
    ("gateway", "web"),
    ("config",),
    ("demo",),
    ("cli", "__main__"),
)
"""From the ground up. A part imports only from its left, on its own floor too."""

ORDER = [part for floor in FLOORS for part in floor]
HEAVY = ("torch", "sklearn", "ctranslate2", "opentelemetry", "shoal.training", "shoal.flywheel")
BANNED_NAMES = {"utils", "common", "helpers", "base", "misc"}
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
BANNED_CALLS = {"eval", "exec"}
MOST_LINES, MOST_FUNCTION_LINES = 500, 80
MOST_PUBLIC = 15
IMPORT_SECONDS = 0.150


class Import(NamedTuple):
    """One imported module of Shoal, and where that is done."""

    importer: str
    imported: str
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {self.importer} imports {self.imported}"


def name_of(file: Path) -> str:
    parts = ("shoal", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    return tuple(ast.walk(tree))


def imported_names(node: ast.AST, importer: str, is_package: bool) -> Iterator[str]:
    """Full names of what an import statement may load; a name in a module counts as the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = node.module or ""
        if node.level:
            package = importer.split(".")[: None if is_package else -1]
            kept = package[: len(package) - node.level + 1]
            start = ".".join([*kept, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{start}.{alias.name}"
            yield inner if inner in MODULES else start


@cache
def imports() -> tuple[Import, ...]:
    found = []
    for importer, file in MODULES.items():
        for node in nodes_of(file):
            for name in imported_names(node, importer, file.name == "__init__.py"):
                if name == "shoal" or name.startswith("shoal."):
                    place = f"{file.relative_to(ROOT.parent)}:{getattr(node, 'lineno', 0)}"
                    found.append(Import(importer, name, place))
    return tuple(found)


def part_of(module: str) -> str:
    """The part a module belongs to; "" for the package ``shoal`` itself."""
    return module.split(".")[1] if "." in module else ""


def run_python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_importing_the_gateway_loads_nothing_heavy() -> None:
    asked = f"import sys, shoal.gateway; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(asked) == "[]"


def test_the_gateway_reaches_no_learning_through_any_import() -> None:
    """Not even by an import inside a function, which the test above cannot see."""
    reached, new = set[str](), {module for module in MODULES if part_of(module) == "gateway"}
    while new:
        reached |= new
        new = {i.imported for i in imports() if i.importer in reached} - reached
    assert not {module for module in reached if part_of(module) in ("flywheel", "training")}


def test_guarantees_import_nothing_of_shoal_but_errors() -> None:
    strangers = [
        str(i)
        for i in imports()
        if part_of(i.importer) == "guarantees"
        and part_of(i.imported) not in ("guarantees", "errors")
    ]
    assert strangers == []


def test_every_part_has_a_place_in_the_order() -> None:
    assert {part_of(module) for module in MODULES} - {""} <= set(ORDER)


def test_imports_go_to_the_left_only() -> None:
    against = [
        str(i)
        for i in imports()
        if part_of(i.importer)
        and part_of(i.imported)
        and ORDER.index(part_of(i.imported)) > ORDER.index(part_of(i.importer))
    ]
    assert against == []


@pytest.mark.parametrize("leaf", ["errors", "chat"])
def test_leaves_import_nothing_of_shoal(leaf: str) -> None:
    assert [str(i) for i in imports() if i.importer == f"shoal.{leaf}"] == []


def test_no_import_cycle() -> None:
    """Packages import from their own modules; beyond that, nothing leads back to where it began."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for i in imports():
        inside = i.importer.startswith(i.imported + ".")  # a module naming its own package
        if i.importer != i.imported and not inside:
            graph[i.importer].add(i.imported)
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> None:
        if module in path:
            pytest.fail(" -> ".join([*path[path.index(module) :], module]))
        if module in done:
            return
        path.append(module)
        for imported in sorted(graph.get(module, ())):
            visit(imported)
        path.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_no_module_imports_its_own_package() -> None:
    """That would be a cycle through the package's ``__init__``."""
    inside = [str(i) for i in imports() if i.importer.startswith(i.imported + ".")]
    assert [line for line in inside if not line.endswith("imports shoal")] == []


def test_no_file_is_too_long() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {str(f): n for f, n in lengths.items() if n > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    long = [
        f"{file}:{node.lineno} {node.name}"
        for file in FILES
        for node in nodes_of(file)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_FUNCTION_LINES
    ]
    assert long == []


def test_modules_are_named_for_what_they_hold() -> None:
    parts = {part for file in FILES for part in file.relative_to(ROOT).with_suffix("").parts}
    assert parts & BANNED_NAMES == set()


def test_public_names_are_sealed() -> None:
    assert sorted(shoal.__all__) == ["Answer", "Message", "Request", "ShoalError", "__version__"]
    assert len(shoal.__all__) <= MOST_PUBLIC
    found = run_python("import shoal; print(*(n for n in vars(shoal) if n[:1] != '_'))").split()
    modules = {part_of(module) for module in MODULES}
    assert set(found) - modules == set(shoal.__all__) - {"__version__"}
    assert shoal.__version__ == run_python(
        "import importlib.metadata as m; print(m.version('shoal'))"
    )


def test_every_imported_package_is_declared() -> None:
    """Not merely there because another package brought it, or an earlier install left it."""
    declared, owners = declared_distributions(), packages_distributions()
    strangers = {
        package
        for package in foreign_packages()
        if declared.isdisjoint(
            name.lower().replace("_", "-")
            for name in owners.get(package, (package,))  # an extra, not installed
        )
    }
    assert strangers == set()


def declared_distributions() -> set[str]:
    """Names of what ``pyproject.toml`` asks for, in the base install or in an extra."""
    project = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    return {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"] + extras}


def foreign_packages() -> set[str]:
    """Top-level names that any file of Shoal imports, those of the standard library aside."""
    found = {
        name.split(".")[0]
        for importer, file in MODULES.items()
        for node in nodes_of(file)
        for name in imported_names(node, importer, file.name == "__init__.py")
    }
    return found - sys.stdlib_module_names - {"shoal"}


def test_importing_shoal_is_quick() -> None:
    code = "import time; t = time.process_time(); import shoal; print(time.process_time() - t)"
    best = min(float(run_python(code)) for _ in range(5))
    assert best <= IMPORT_SECONDS


def test_nothing_is_unpickled_or_evaluated() -> None:
    found = []
    for file in FILES:
        for node in nodes_of(file):
            place = f"{file}:{getattr(node, 'lineno', 0)}"
            names = set(imported_names(node, name_of(file), file.name == "__init__.py"))
            if {name.split(".")[0] for name in names} & BANNED_MODULES:
                found.append(place)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found += [place] if node.func.id in BANNED_CALLS else []
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                found.append(place)
    assert found == []


def test_broad_excepts_say_why() -> None:
    silent = [place for file in FILES for place in broad_excepts_without_a_comment(file)]
    assert silent == [], "say in a comment why everything is caught there"


def broad_excepts_without_a_comment(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    for node in nodes_of(file):
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type):
            near = range(node.lineno - 1, node.body[0].lineno + 1)
            if not comments.intersection(near):
                yield f"{file}:{node.lineno}"


def is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(n, ast.Name) and n.id in ("Exception", "BaseException") for n in names)
