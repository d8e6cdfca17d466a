"""What each preset stands for."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from shoal.assembly import tariff_of
from shoal.chat import Usage
from shoal.config import read_config
from shoal.engines import RemoteOptions
from shoal.engines.presets import PRESETS, PresetName

HOSTED = [
    ("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", True),
    ("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", False),
    ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", True),
    ("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", True),
    ("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", True),
    ("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", True),
]
OWN = [("ollama", 11434), ("vllm", 8000), ("llama-server", 8080), ("lm-studio", 1234)]


def options(preset: str, **stated: object) -> RemoteOptions:
    return RemoteOptions.model_validate({"engine": "remote", "preset": preset, **stated})


def test_all_are_tested() -> None:
    tested = {name for name, *_ in (*HOSTED, *OWN)}
    assert tested == set(get_args(PresetName)) == set(PRESETS)


@pytest.mark.parametrize(("name", "base_url", "key_env", "ask_usage"), HOSTED)
def test_hosted(name: str, base_url: str, key_env: str, ask_usage: bool) -> None:
    found = options(name)
    assert (found.base_url, found.key_env, found.provider) == (base_url, key_env, name)
    assert (found.ask_usage, found.local) == (ask_usage, False)
    assert found.formats == (("chat", "responses") if name == "openai" else ("chat",))
    assert (found.input_price, found.output_price) == (None, None)


@pytest.mark.parametrize(("name", "port"), OWN)
def test_on_this_machine(name: str, port: int) -> None:
    found = options(name)
    assert found.base_url == f"http://127.0.0.1:{port}/v1"
    assert (found.key_env, found.provider) == (None, None)
    assert (found.ask_usage, found.local, found.formats) == (True, True, ("chat",))
    assert tariff_of("gpt-4o", found).cost(Usage(1_000, 1_000)) == 0.0


@pytest.mark.parametrize(
    "stated",
    [
        {"base_url": "http://gpu.example.com:8000/v1"},
        {"base_url": "http://127.0.0.1.example.com/v1"},
        {"endpoints": [{"base_url": "http://10.0.0.7:8000/v1"}]},
    ],
)
def test_elsewhere_it_is_neither_local_nor_free(stated: dict[str, object]) -> None:
    found = options("vllm", **stated)
    assert (found.local, found.input_price) == (False, None)
    assert options("vllm", **stated, local=True).local


def test_what_is_stated_wins() -> None:
    found = options(
        "openai", base_url="http://[::1]:9/v1/", key_env="MINE", formats=["chat"], provider="x"
    )
    assert (found.base_url, found.key_env) == ("http://[::1]:9/v1", "MINE")
    assert (found.formats, found.provider) == (("chat",), "x")
    local = options("ollama", base_url="http://localhost:1/v1", local=False, output_price=2)
    assert (local.local, local.output_price) == (False, 2)


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="'openai', 'mistral'"):
        options("azure")


def test_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MODELS__SMALL__BASE_URL", "http://127.0.0.1:7/v1")
    path = tmp_path / "shoal.toml"
    path.write_text('[models.small]\nengine = "remote"\npreset = "ollama"\nmodel = "qwen3"\n')
    small = read_config(path).models["small"]
    assert isinstance(small, RemoteOptions)
    assert (small.base_url, small.model, small.local) == ("http://127.0.0.1:7/v1", "qwen3", True)
