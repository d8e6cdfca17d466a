"""What shoal.toml may say of the gateway."""

import pytest
from pydantic import ValidationError

from shoal.errors import ConfigError
from shoal.gateway import GatewayOptions, TracingOptions
from shoal.gateway.server import listen


def test_the_defaults() -> None:
    options = GatewayOptions()
    assert (options.host, options.port, options.max_body_mb) == ("127.0.0.1", 8400, 8)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_loopback_hosts(host: str) -> None:
    assert GatewayOptions(host=host).host == host.strip("[]")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": ""}, "an address or a name"),
        ({"host": "http://localhost"}, "an address or a name"),
        ({"port": 70000}, "port"),
        ({"unknown_price": "guess"}, "unknown_price"),
        ({"max_body_mb": 0}, "max_body_mb"),
        ({"allowed_hosts": ["*"]}, "a plain name"),
        ({"allowed_hosts": ["a.example:80"]}, "a plain name"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GatewayOptions.model_validate(fields)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "Example.org"])
def test_other_addresses_need_a_key(host: str) -> None:
    options = GatewayOptions(host=host)
    with pytest.raises(
        ConfigError, match=r"gateway\.host: .*`shoal keys create NAME`.*127\.0\.0\.1"
    ):
        options.require_keys(0)
    options.require_keys(1)


def test_loopback_needs_none() -> None:
    GatewayOptions().require_keys(0)


def test_a_taken_port_is_a_clear_error() -> None:
    taken = listen(GatewayOptions(port=0))
    port = taken.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*gateway\.port"):
        listen(GatewayOptions(port=port))
    taken.close()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sample": 1.1}, "sample"),
        ({"sample": -0.1}, "sample"),
        ({"sample": "often"}, "sample"),
        ({"endpoint": ""}, "an http or https address"),
        ({"endpoint": "localhost:4318"}, "an http or https address"),
        ({"endpoint": "grpc://localhost:4317"}, "an http or https address"),
        ({"endpoint": "http://localhost:4318/v1/traces"}, "leave '/v1/traces' out"),
        ({"endpoint": "https://me:hunter2@collector"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"endpoint": "https://collector/?key=hunter2"}, "must not hold"),
        ({"endpoint": "http://collector:99999999"}, "is no address"),
        ({"rate": 1}, "rate"),
    ],
)
def test_what_is_refused_of_tracing(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        TracingOptions.model_validate(fields)
    assert "hunter2" not in str(refused.value)


def test_nothing_is_traced_unless_asked_for() -> None:
    options = TracingOptions(endpoint="https://collector.example/otlp/")
    assert (options.sample, options.endpoint) == (0, "https://collector.example/otlp")
