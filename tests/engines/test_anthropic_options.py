"""What shoal.toml may say of Anthropic's endpoint."""

import pytest
from pydantic import TypeAdapter, ValidationError

from shoal.assembly.models import tariff_of
from shoal.chat import Usage
from shoal.engines import AnthropicOptions, EngineOptions, RemoteOptions

READ: TypeAdapter[EngineOptions] = TypeAdapter(EngineOptions)


def options(**fields: object) -> AnthropicOptions:
    read = READ.validate_python({"engine": "anthropic", **fields})
    assert isinstance(read, AnthropicOptions)
    return read


def test_nothing_needs_to_be_said() -> None:
    read = options()
    assert read.base_url == "https://api.anthropic.com/v1"
    assert (read.formats, read.output_tokens, read.timeout_s) == (("messages",), 8_192, 120)


def test_each_engine_shows_its_key_in_its_own_way() -> None:
    assert options().headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert options(version="2027-01-01").headers("") == {"anthropic-version": "2027-01-01"}
    remote = RemoteOptions(engine="remote", base_url="http://x")
    assert remote.headers("k") == {"Authorization": "Bearer k"}
    assert remote.headers("") == {}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_url": "https://x/v1/messages"}, "leave '/messages' out, Shoal adds it"),
        ({"base_url": "https://:sk-secret@x"}, "key_env"),
        ({"formats": ["chat"]}, "formats"),
        ({"ask_usage": True}, "ask_usage"),
        ({"output_tokens": 0}, "output_tokens"),
        ({"version": "2023-06-01\r\nx: y"}, "version"),
        ({"key": "sk-secret"}, "key"),
    ],
)
def test_what_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AnthropicOptions.model_validate({"engine": "anthropic", **fields})
    assert said in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_what_it_costs_is_looked_up_in_anthropics_list() -> None:
    tariff = tariff_of("claude", options(model="claude-sonnet-4-5", cache_write_price=4.0))
    assert (tariff.model, tariff.provider) == ("claude-sonnet-4-5", "anthropic")
    assert tariff.cost(Usage(1_000, 0)) == pytest.approx(0.003)
    own = tariff_of("c", options(input_price=1, output_price=1, cache_write_price=4))
    assert own.cost(Usage(1_000_000, 0, cache_write_tokens=1_000_000)) == pytest.approx(4.0)
