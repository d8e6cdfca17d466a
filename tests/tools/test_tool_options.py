"""``[tools.NAME]``: what it makes, and what it says of mistakes."""

import json
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ConfigDict, RootModel, ValidationError

from shoal.errors import ConfigError, MissingExtra
from shoal.tools.options import ToolOptions, build_tools
from shoal.tools.tool import ToolUse
from shoal.tools.toolbox import Toolbox


class Settings(RootModel[dict[str, ToolOptions]]):
    """As whoever reads them: what was wrong is not shown."""

    model_config = ConfigDict(hide_input_in_errors=True)


USE = ToolUse("key", 5.0)

EVERYTHING = """
[orders]
kind = "sql"
database = "sqlite"
path = "shop.db"
description = "The shop's database."
tables = ["orders"]

[order]
kind = "sql"
database = "sqlite"
path = "shop.db"
query = "SELECT price FROM orders WHERE id = :id"
params.id = { type = "integer" }

[weather]
kind = "http"
url = "http://127.0.0.1:9/{city}"
params.city = { type = "string" }
params.lang = { type = "string" }
headers = ["lang"]
permit = ["127.0.0.1/32"]

[shop]
kind = "openapi"
document = "shop.json"
operations = ["getOrder"]
url = "https://shop.example"
secrets.Authorization = "SHOP_KEY"

[notes]
kind = "files"
root = "notes"
writes = true
description = "Notes of the shop."

[sum]
kind = "calculator"

[twice]
kind = "python"
function = "functions_of_tests:double"
effects = "none"

[triple]
kind = "python"
function = "functions_of_tests:triple"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as conn:
        conn.execute("CREATE TABLE orders (id INTEGER, price REAL)")
        conn.execute("INSERT INTO orders VALUES (1, 9.5)")
    conn.close()
    (tmp_path / "notes").mkdir()
    get = {"operationId": "getOrder", "responses": {}}
    document = {"openapi": "3.1.0", "paths": {"/orders": {"get": get}}}
    (tmp_path / "shop.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setenv("SHOP_KEY", "Bearer swordfish")
    return tmp_path


def built(text: str, folder: Path) -> Toolbox:
    return build_tools(Settings.model_validate(tomllib.loads(text)).root, folder)


async def test_every_kind_is_made(folder: Path) -> None:
    box = built(EVERYTHING, folder)
    assert box.names == (
        "notes_list", "notes_read", "notes_search", "notes_write", "order", "orders",
        "shop_getOrder", "sum", "triple", "twice", "weather",
    )  # fmt: skip
    specs = {spec.name: spec for spec in box.specs(None)}
    assert "orders(id INTEGER, price REAL)" in specs["orders"].description
    assert specs["notes_read"].description.startswith("Notes of the shop.")
    assert json.loads(specs["weather"].takes)["required"] == ["city"]
    assert (await box.call("order", {"id": 1}, USE, None)).value == {
        "columns": ["price"], "rows": [[9.5]], "more": False,
    }  # fmt: skip
    assert (await box.call("twice", {"n": 4}, USE, None)).value == 8
    assert (await box.call("triple", {"n": 4}, USE, None)).value == 12
    await box.aclose()


async def test_a_function_may_lie_in_a_file_beside_the_settings(folder: Path) -> None:
    (folder / "prices.py").write_text(
        "from datetime import date\n"
        "def due(ordered: date, days: int = 14) -> str:\n"
        '    """When it is to be paid."""\n'
        "    return date.fromordinal(ordered.toordinal() + days).isoformat()\n",
        encoding="utf-8",
    )
    box = built('[due]\nkind = "python"\nfunction = "prices.py:due"\neffects = "none"', folder)
    found = await box.call("due", {"ordered": "2026-11-20"}, USE, None)
    assert found.value == "2026-12-04"
    (folder / "broken.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    for name, said in (("lost.py:due", "no such file"), ("broken.py:due", "nothing_of_this_name")):
        with pytest.raises(ConfigError, match=said):
            built(f'[due]\nkind = "python"\nfunction = "{name}"', folder)


def test_the_settings_that_the_docs_show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    shown = tomllib.loads(page.split("```toml\n")[1].split("```")[0])["tools"]
    found = Settings.model_validate(shown).root
    assert {each.kind for each in found.values()} == {
        "sql", "http", "openapi", "files", "calculator", "python",
    }  # fmt: skip
    monkeypatch.setenv("WEATHER_KEY", "sunny-and-warm")
    some = {name: found[name] for name in ("notes", "sum", "weather")}
    assert len(build_tools(some, folder).names) == 5


SQL = '[t]\nkind = "sql"\ndatabase = "sqlite"\npath = "shop.db"\n'
POSTGRES = '[t]\nkind = "sql"\ndatabase = "postgres"\n'
HTTP = '[t]\nkind = "http"\nurl = "https://shop.example/{id}"\nparams.id = {}\n'
OPENAPI = '[t]\nkind = "openapi"\noperations = ["getOrder"]\n'
PYTHON = '[t]\nkind = "python"\nfunction = '


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SQL.replace("shop.db", "none.db"), "tools.t.path: no such file 'none.db' (relative to"),
        (SQL + 'query = "DELETE FROM orders"', "tools.t.query: DELETE may not be run here"),
        (SQL + 'query = "SELECT 1"\nparams.id = {}', "tools.t.query: the query has no place :id"),
        (SQL + 'tables = ["orders"]\nquery = "SELECT * FROM other"', "no table other"),
        (POSTGRES + 'url_env = "NOT_SET_X"', "tools.t.url_env: the environment variable NOT_SET_X"),
        (POSTGRES + 'url = "postgresql://["', "tools.t: this is no URL of Postgres"),
        (HTTP + 'secrets.Authorization = "NOT_SET_X"', "tools.t: the environment variable NOT_SET"),
        (HTTP.replace("{id}", "{id}/{x}"), "tools.t: url: {x}"),
        (HTTP.replace("https://shop.example", "http://["), "tools.t: "),
        (HTTP.replace("id = {}", 'id = { type = "nonsense" }'), "tools.t: a schema of t is no"),
        (HTTP.replace("id = {}", 'id."$ref" = "http://a.example/x"'), "tools.t: a schema of t is"),
        (PYTHON + '"functions_that_break:f"', "tools.t.function: not today"),
        (OPENAPI + 'document = "none.json"', "tools.t.document: no such file"),
        (OPENAPI + 'document = "shop.db"', "tools.t.document: cannot be read as JSON"),
        (OPENAPI + 'document = "shop.json"', "tools.t: servers:"),
        ('[t]\nkind = "files"\nroot = "none"', "tools.t.root: no such folder 'none'"),
        (PYTHON + '"no_such_module_x:f"', "tools.t.function: No module named"),
        (PYTHON + '"functions_of_tests:nothing"', "function: functions_of_tests has no 'nothing'"),
        (PYTHON + '"functions_of_tests:NUMBER"', "is no function"),
        (PYTHON + '"functions_of_tests:unhinted"', "tools.t.function: unhinted: the parameter n"),
        (PYTHON + '"functions_of_tests:triple"', "tools.t: this tool calls itself triple"),
        (EVERYTHING + '[notes_read]\nkind = "calculator"', "two tools with the name notes_read"),
    ],
)
def test_what_cannot_be_made_is_told_by_its_key(text: str, said: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        built(text, folder)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[t]\nkind = "shell"', "kind"),
        (SQL + 'url = "postgresql://x"', "path"),
        (POSTGRES, "url"),
        (POSTGRES + 'url = "a"\nurl_env = "B"', "url_env"),
        (SQL.replace("sqlite", "duckdb") + "writes = true", "writes"),
        (SQL + "once = true", "once"),
        (SQL + "params.x = {}", "params"),
        (SQL + "rows = 0", "rows"),
        (SQL + "timeout_s = 1e9", "timeout_s"),
        (HTTP + 'permit = ["everything"]', "permit"),
        (HTTP + 'method = "TRACE"', "method"),
        (HTTP + 'secrets."X Y" = "KEY"', "secrets"),
        (OPENAPI + 'document = "shop.json"\nsecrets.X = "KEY"', "url"),
        (PYTHON + '"os.system"', "function"),
        ('[t]\nkind = "calculator"\nkey = "swordfish"', "key"),
    ],
)
def test_settings_that_go_wrong(text: str, key: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(tomllib.loads(text))
    assert key in str(error.value)
    assert "swordfish" not in str(error.value)


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    heavy = ("sqlglot", "duckdb", "psycopg", "mcp", "torch")
    code = f"import sys, shoal.tools.options; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "text", "extra"),
    [
        ("sqlglot", SQL, "sql"),
        ("duckdb", SQL.replace("sqlite", "duckdb"), "sql"),
        ("psycopg", POSTGRES + 'url = "postgresql://x"', "postgres"),
    ],
)
def test_a_missing_part_is_told_by_its_extra(
    module: str, text: str, extra: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as error:
        built(text, folder)
    assert error.value.extra == extra
