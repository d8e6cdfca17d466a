import tomllib
from pathlib import Path

import pytest
from command_line import Desk
from pydantic import BaseModel

from shoal.config import Config, read_config
from shoal.engines import (
    AdapterOptions,
    AnthropicOptions,
    EchoOptions,
    LocalOptions,
    RecordedOptions,
    RemoteOptions,
)
from shoal.planning.options import AgentOptions
from shoal.routing.promise import PromiseOptions

SECTIONS = ("gateway", "tracing", "store", "learn", "promise")
ENGINES = (
    RemoteOptions,
    AnthropicOptions,
    RecordedOptions,
    EchoOptions,
    LocalOptions,
    AdapterOptions,
)
PRICES = {"input_price", "output_price", "cached_price", "cache_write_price", "reasoning_price"}


@pytest.fixture
def written(desk: Desk) -> Path:
    desk.printed("init", "new.toml")
    return desk.folder / "new.toml"


@pytest.fixture
def everything(written: Path) -> Path:
    """The file with every commented setting in force."""
    lines = written.read_text().splitlines()
    switched_on = [text[1:] if text[:1] == "#" and text[1:2] != " " else text for text in lines]
    written.write_text("\n".join(switched_on))
    return written


def test_the_file_works_as_it_is_and_changes_no_default(written: Path) -> None:
    config = read_config(written)
    assert isinstance(config.models.pop("echo"), EchoOptions)
    default = Config()
    assert config.models == {}
    for name in ("gateway", "tracing", "learn", "promise", "tasks"):
        assert getattr(config, name) == getattr(default, name)
    assert config.store.path == written.parent / default.store.path


def test_every_section_and_setting_is_there_with_its_true_default(everything: Path) -> None:
    document = tomllib.loads(everything.read_text())
    assert set(document) == set(Config.model_fields)
    for name in SECTIONS:
        fields = Config.model_fields[name].default.model_dump(mode="json")
        assert set(document[name]) == set(fields), name
        for field, value in fields.items():
            assert value is None or document[name][field] == value, (name, field)  # or an example


def test_every_setting_of_agents_is_there(everything: Path) -> None:
    agents = tomllib.loads(everything.read_text())["agents"]
    shown = {name: value for agent in agents.values() for name, value in agent.items()}
    assert set(shown) == set(AgentOptions.model_fields)
    for name in (
        "steps",
        "tokens",
        "usd",
        "seconds",
        "ask_before_writing",
        "begin_early",
        "replans",
    ):
        assert shown[name] == AgentOptions.model_fields[name].default


def test_every_setting_of_every_engine_is_there(everything: Path) -> None:
    models = tomllib.loads(everything.read_text())["models"]
    by_engine = {model["engine"]: model for model in models.values()}
    for options in ENGINES:
        name = options.model_fields["engine"].annotation.__args__[0]
        shared = PRICES if name == "echo" else set()
        assert set(by_engine[name]) == set(options.model_fields) - shared
        for field, value in _defaults(options).items():
            assert by_engine[name].get(field, value) == value, (name, field)


def _defaults(options: type[BaseModel]) -> dict[str, object]:
    """Defaults that can be written in TOML, which has no null; of endpoints it shows one."""
    fields = options.model_fields.items()
    return {
        name: list(field.default) if isinstance(field.default, tuple) else field.default
        for name, field in fields
        if not field.is_required() and field.default is not None and name != "endpoints"
    }


def test_the_whole_of_it_is_a_valid_file(everything: Path) -> None:
    config = read_config(everything)
    remote, recorded = (config.models[name] for name in ("gpt-4o-mini", "gpt-4o-mini-recorded"))
    assert isinstance(remote, RemoteOptions)
    assert remote.key_env == "OPENAI_API_KEY"
    assert isinstance(recorded, RecordedOptions)
    assert config.promises()["department"] == PromiseOptions(alpha=0.1)


def test_it_never_overwrites(desk: Desk) -> None:
    before = desk.config.read_text()
    assert "shoal.toml: exists already; it was left as it is" in desk.refused("init")
    assert desk.config.read_text() == before


def test_a_folder_gets_a_file_of_the_usual_name(desk: Desk) -> None:
    (desk.folder / "sub").mkdir()
    desk.printed("init", "sub")
    assert isinstance(read_config(desk.folder / "sub" / "shoal.toml"), Config)


def test_a_folder_that_is_not_there_is_an_error(desk: Desk) -> None:
    assert "cannot be written: No such file or directory" in desk.refused("init", "no/shoal.toml")
