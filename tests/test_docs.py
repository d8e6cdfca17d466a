"""What the docs show exists: commands, options, settings, modules, files, figures."""

import re
import tomllib
from pathlib import Path

import click
import pytest
import typer

from shoal.cli.app import app

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += EXAMPLES


def page_name(page: Path) -> str:
    """From the repository's folder on."""
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[str]:
    """Every line or piece of code that calls ``shoal``."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(shoal [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return inline + [line for line in lines if re.match(r"shoal [a-z-]", line)]


def known(command: str) -> bool:
    """Whether the command exists, and all of its options."""
    words = command.split("#")[0].split()[1:]
    found: click.Command = typer.main.get_command(app)
    while words and hasattr(found, "commands") and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    if hasattr(found, "commands"):
        return not words or words[0].startswith("--")
    options = {option for parameter in found.params for option in parameter.opts}
    options |= {option for parameter in found.params for option in parameter.secondary_opts}
    return all(word in options for word in words if word.startswith("--"))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_exist(page: Path) -> None:
    missing = [command for command in commands(page) if not known(command)]
    assert not missing


def test_the_check_of_commands_can_fail() -> None:
    assert known("shoal tasks show NAME --config x")
    assert not known("shoal tasks shew NAME")
    assert not known("shoal serve --nonsense")


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", EXAMPLES, ids=page_name)
def test_the_files_that_an_example_names_are_there(page: Path) -> None:
    """Those of its own that it tells to edit; what ``prepare.py`` makes is said there."""
    named = set(re.findall(r"`(\w+\.(?:py|toml|json|schema\.json))`", page.read_text("utf-8")))
    made = (page.parent / "prepare.py").read_text(encoding="utf-8")
    assert named
    assert not [one for one in named if not (page.parent / one).exists() and one not in made]
    assert (page.parent / "plan.json").exists()
    assert tomllib.loads((page.parent / "shoal.toml").read_text(encoding="utf-8"))


def test_the_settings_page_is_what_init_writes() -> None:
    starter = (ROOT / "src/shoal/cli/starter.toml").read_text(encoding="utf-8")
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert f"```toml\n{starter}```" in page
    assert tomllib.loads(starter)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(
            r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {"demo", "test"} <= named
    assert named <= targets


def test_every_measurement_has_a_module_and_a_row() -> None:
    results = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    named = set(re.findall(r"benchmarks\.([a-z_]+)", results))
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert named
    assert named <= modules


def test_the_figures_of_the_readme_stand_in_the_results() -> None:
    """Every row of the README's table of measurements is a row of RESULTS.md, word for word."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = readme.split("## Measured")[1].split("\n## ")[0]
    rows = [line for line in measured.splitlines() if line.startswith("| ")][1:]
    figures = [row.split("|")[2].strip() for row in rows]
    results = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    assert figures
    assert not [figure for figure in figures if figure not in results]


def test_the_readme_leads_to_every_page_and_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [page_name(page) for page in PAGES if page.name != "CONTRIBUTING.md"][1:]
    assert len(pages) > 20
    assert not [page for page in pages if f"]({page})" not in readme]
