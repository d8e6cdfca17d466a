"""What shoal.toml may say of an engine."""

import pytest
from pydantic import TypeAdapter, ValidationError

from shoal.assembly import tariff_of
from shoal.chat import Usage
from shoal.engines import EchoOptions, EngineOptions, RecordedOptions, RemoteOptions

READ: TypeAdapter[RemoteOptions | RecordedOptions | EchoOptions] = TypeAdapter(EngineOptions)


def test_the_engine_decides_the_options() -> None:
    remote = READ.validate_python({"engine": "remote", "base_url": "https://api.openai.com/v1/"})
    assert isinstance(remote, RemoteOptions)
    assert remote.base_url == "https://api.openai.com/v1"
    assert (remote.timeout_s, remote.connect_timeout_s, remote.max_reply_mb) == (120, 5, 32)
    assert isinstance(READ.validate_python({"engine": "echo", "input_price": 0}), EchoOptions)
    recorded = READ.validate_python({"engine": "recorded", "path": "calls.jsonl"})
    assert isinstance(recorded, RecordedOptions)
    assert recorded.latency == "none"


def test_reasoning_may_have_a_price_of_its_own() -> None:
    prices = {"engine": "echo", "input_price": 1, "output_price": 2}
    usage = Usage(1_000_000, 1_000_000, reasoning_tokens=250_000)
    assert tariff_of("m", READ.validate_python(prices)).cost(usage) == 3.0
    dearer = READ.validate_python({**prices, "reasoning_price": 6})
    assert tariff_of("m", dearer).cost(usage) == 4.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"engine": "magic"}, "'remote', 'recorded', 'echo'"),
        ({"engine": "remote"}, "base_url"),
        ({"engine": "remote", "base_url": "api.openai.com"}, "http or https address"),
        ({"engine": "remote", "base_url": "ftp://x"}, "http or https address"),
        ({"engine": "remote", "base_url": "https://:sk-secret@x"}, "key_env"),
        ({"engine": "remote", "base_url": "https://x/v1?key=sk-secret"}, "must not hold '?'"),
        ({"engine": "remote", "base_url": "http://x/v1/chat/completions"}, "Shoal adds it"),
        ({"engine": "remote", "base_url": "http://x", "key": "sk-secret"}, "key"),
        ({"engine": "remote", "base_url": "http://x", "key_env": "sk-secret"}, "key_env"),
        ({"engine": "remote", "base_url": "http://x", "timeout_s": 0}, "timeout_s"),
        ({"engine": "echo", "input_price": -1}, "input_price"),
        ({"engine": "echo", "input_price": float("nan")}, "input_price"),
        ({"engine": "recorded", "path": "x", "latency": "half"}, "latency"),
    ],
)
def test_what_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        READ.validate_python(fields)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "https://:sk-secret@x"},
        {"base_url": "https://x/v1?key=sk-secret"},
        {"base_url": "http://x", "key": "sk-secret"},
        {"base_url": "http://x", "key_env": "sk-secret"},
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        RemoteOptions.model_validate({"engine": "remote", **fields})
    assert "sk-secret" not in str(caught.value)
