"""Every setting with every odd value: read and usable, or refused in a line that names it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from shoal.assembly import Models
from shoal.config import Config, read_config
from shoal.engines import (
    AdapterOptions,
    EchoOptions,
    EncoderDecoderOptions,
    LocalOptions,
    MixtureOptions,
    RecordedOptions,
    RemoteOptions,
)
from shoal.errors import ConfigError
from shoal.routing.promise import PromiseOptions

ENGINES: dict[str, tuple[type[BaseModel], dict[str, str]]] = {
    "remote": (RemoteOptions, {"engine": '"remote"', "base_url": '"http://x/v1"'}),
    "recorded": (RecordedOptions, {"engine": '"recorded"', "path": '"calls.jsonl"'}),
    "echo": (EchoOptions, {"engine": '"echo"'}),
    "local": (LocalOptions, {"engine": '"local"', "path": '"m.gguf"'}),
    "encoder-decoder": (
        EncoderDecoderOptions,
        {"engine": '"encoder-decoder"', "path": '"t5"'},
    ),
    "mixture": (MixtureOptions, {"engine": '"mixture"', "of": '["a", "b"]'}),
    "adapter": (AdapterOptions, {"engine": '"adapter"', "base": '"m"', "path": '"a.gguf"'}),
}
SECTIONS = [
    name
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
]
NUMBERS = ["inf", "-inf", "nan", "-1", "0", "1e308", "5e-324", "9" * 400, "true", '"8"']
OTHERS = ['""', '"\\u0000"', '"\\u001b[31m"', "[]", "[[]]", "{}", "false", "1979-05-27", "9" * 5000]
TEXTS = [
    "inf",
    "nan",
    "-1",
    "1e308",
    "",
    "[",
    "[]",
    "{}",
    "true",
    "9" * 5000,
    '{"a":NaN}',
    "\udcff",
]
DEEP = "[" * 100_000


def settings() -> Iterator[tuple[str, dict[str, str], str]]:
    """Table, what it must hold, and the setting."""
    for section in SECTIONS:
        for name in Config.model_fields[section].annotation.model_fields:  # type: ignore[union-attr]
            yield section, {}, name
    for name in PromiseOptions.model_fields:
        yield "tasks.topic", {}, name
    for engine, (options, needed) in ENGINES.items():
        for name in options.model_fields:
            yield f"models.{engine}", needed, name


SETTINGS = list(settings())
NUMERIC = {
    f"{table}.{name}"
    for table, _, name in SETTINGS
    if name.endswith(("_s", "_mb", "_gb", "_days", "_price", "_calls", "_examples", "_rate"))
    or name
    in (
        "port",
        "max_messages",
        "max_in_flight",
        "retries",
        "queue",
        "beams",
        "scale",
        "growth",
        "alpha",
        "augment",
        "confidence",
        "sample",
        "risk",
        "worth",
    )
}


def read(file: Path, text: str) -> Config | str:
    """The settings, or the error."""
    file.write_text(text, encoding="utf-8")
    try:
        return read_config(file)
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize(("table", "needed", "name"), SETTINGS)
def test_in_the_file(tmp_path: Path, table: str, needed: dict[str, str], name: str) -> None:
    file = tmp_path / "shoal.toml"
    for odd in NUMBERS + OTHERS:
        lines = [f"{key} = {value}" for key, value in (needed | {name: odd}).items()]
        got = read(file, "\n".join([f"[{table}]", *lines]))
        if isinstance(got, str):
            assert all(line.startswith(f"{file}: ") for line in got.splitlines()), odd
            assert name in got or table in got or "cannot be read" in got, odd
        elif f"{table}.{name}" in NUMERIC:
            assert odd in ("0", "5e-324"), odd
        else:
            empty = ("{}",) if (table, name) == ("models.mixture", "tasks") else ()
            assert odd in ("true", "false", '""', '"8"', '"\\u001b[31m"', "[]", *empty), odd


@pytest.mark.parametrize(("table", "needed", "name"), SETTINGS)
def test_in_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    needed: dict[str, str],
    name: str,
) -> None:
    file = tmp_path / "shoal.toml"
    stated = "\n".join([f"[{table}]", *(f"{key} = {value}" for key, value in needed.items())])
    variable = f"SHOAL_{table.replace('.', '__')}__{name}".upper()
    for odd in TEXTS:
        monkeypatch.setenv(variable, odd)
        got = read(file, stated)
        if isinstance(got, str):
            assert got.startswith((variable, f"{file}: ", "the environment: ")), odd
            assert "\n" not in got, odd
        else:
            assert f"{table}.{name}" not in NUMERIC, odd


@pytest.mark.parametrize("variable", [*SECTIONS, "tasks", "models", "models__m", "tasks__t"])
def test_whole_tables_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    half = json.dumps({"\ud83d": {"engine": "echo", "alpha": 0.1}})
    for odd in (*TEXTS, half, DEEP, "1", '{"m":[]}', '{"timeout_s":1e999}', '{"alpha":1e999}'):
        monkeypatch.setenv(f"SHOAL_{variable.upper()}", odd)
        got = read(tmp_path / "shoal.toml", "")
        assert isinstance(got, str) or odd == "{}"


@pytest.mark.parametrize(
    "text", [f"a = {DEEP}", f"a = {'9' * 5000}", '["\\ud83d"]', "a = {a=" * 9999]
)
def test_a_file_that_no_parser_takes(tmp_path: Path, text: str) -> None:
    got = read(tmp_path / "shoal.toml", text)
    assert isinstance(got, str)
    assert got.startswith(f"{tmp_path}/shoal.toml: cannot be read: ")


@pytest.mark.parametrize(
    "url", ["http://x:99999/v1", "http://[::1/v1", "http://x:y/v1", "http://x\\u0000/v1", "http://"]
)
def test_addresses(tmp_path: Path, url: str) -> None:
    got = read(tmp_path / "shoal.toml", f'[models.m]\nengine = "remote"\nbase_url = "{url}"')
    assert isinstance(got, str)
    assert "models.m.base_url: " in got


@pytest.mark.parametrize(
    "host", ["a..localhost", f"{'a' * 64}.localhost", "a\\u0000.localhost", ""]
)
def test_hosts(tmp_path: Path, host: str) -> None:
    got = read(tmp_path / "shoal.toml", f'[gateway]\nhost = "{host}"')
    assert isinstance(got, str)
    assert "gateway.host: " in got


async def test_what_is_taken_can_be_opened(tmp_path: Path) -> None:
    odd = "timeout_s = 5e-324\nmax_reply_mb = 1e9\nconnect_timeout_s = 1e9\nmodel = ''\n"
    got = read(
        tmp_path / "shoal.toml",
        f"[models.m]\nengine = 'remote'\nbase_url = 'http://x/v1'\n{odd}",
    )
    assert isinstance(got, Config)
    await Models.open(got.models).aclose()


def test_a_wrong_file_is_not_blamed_on_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_GATEWAY__PORT", "9100")
    got = read(tmp_path / "shoal.toml", '[gateway]\nport = "9000"')
    assert isinstance(got, Config)
    assert got.gateway.port == 9100


def test_a_query_may_be_written_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "shoal.toml"
    tool = (
        '[tools.x]\nkind = "sql"\ndatabase = "sqlite"\npath = "x.db"\nquery = """\nSELECT{}1"""\n'
    )
    path.write_text(tool.format("\n"))
    assert read_config(path).tools["x"]
    path.write_text(tool.format("\\u001b"))
    with pytest.raises(ConfigError, match=r"tools\.x\.query"):
        read_config(path)
