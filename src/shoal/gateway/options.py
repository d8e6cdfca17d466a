"""What ``shoal.toml`` says about the gateway."""

import ipaddress
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shoal.engines.address import checked_address
from shoal.errors import ConfigError


@lru_cache(maxsize=32)  # 10 µs, asked once or twice a call
def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    name = host.lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class GatewayOptions(BaseModel):
    """Where the gateway listens, and what it takes in.

    ``allowed_hosts`` are names, without port, by which callers may address it besides loopback
    names and ``host``: those of a proxy in front of it, for one. Other addresses than loopback
    need a key, which ``require_keys`` sees to. ``access_log`` writes a line of JSON for each call
    to standard error. Beyond ``max_in_flight`` requests under way, or ``max_in_flight_mb`` of their
    bodies, callers get a 503 and are told to come back. ``unknown_price`` says what becomes of
    calls whose price nobody knows where there is a budget, ``assumed_output`` how many tokens an
    answer is reckoned to take, beforehand, where its request sets no limit. An uploaded file may
    have ``max_file_mb``, all that are kept together ``max_files_gb``. ``workers`` processes share
    the address and the store. ``mcp``: what Shoal has to offer is told as tools at /mcp.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, le=65535)
    max_body_mb: float = Field(default=8, gt=0)
    max_file_mb: float = Field(default=512, gt=0, allow_inf_nan=False)
    max_files_gb: float = Field(default=10, gt=0, allow_inf_nan=False)
    max_messages: int = Field(default=10_000, ge=1)
    allowed_hosts: tuple[str, ...] = ()
    access_log: bool = False
    max_in_flight: int = Field(default=512, ge=1)
    max_in_flight_mb: float = Field(default=256, gt=0, allow_inf_nan=False)
    unknown_price: Literal["refuse", "allow"] = "refuse"
    assumed_output: int = Field(default=4096, ge=1)
    workers: int = Field(default=1, ge=1, le=64)
    mcp: bool = False

    @property
    def max_body(self) -> int:
        """``max_body_mb`` in bytes."""
        return int(self.max_body_mb * 1_000_000)

    @property
    def max_file(self) -> int:
        """``max_file_mb`` in bytes."""
        return int(self.max_file_mb * 1_000_000)

    @property
    def max_files(self) -> int:
        """``max_files_gb`` in bytes."""
        return int(self.max_files_gb * 1_000_000_000)

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        if not value or "/" in value or value != value.strip():
            raise ValueError("expected an address or a name, like '127.0.0.1'")
        try:
            value.encode("idna")  # as the socket does
        except UnicodeError:
            raise ValueError("expected an address or a name, like '127.0.0.1'") from None
        return value.strip("[]").lower()

    def require_keys(self, keys: int) -> None:
        """Refuse to listen beyond this machine for callers that need no key.

        Raises:
            ConfigError: ``host`` is no loopback address, and there are no ``keys``.
        """
        if not keys and not is_loopback(self.host):
            raise ConfigError(
                f"gateway.host: {self.host} can be reached from other machines, and nobody needs a "
                "key yet: make one with `shoal keys create NAME`, or listen on 127.0.0.1"
            )

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name or "/" in name or "*" in name or name.rpartition(":")[2].isdigit():
                raise ValueError(f"{name!r}: expected a plain name, like 'gateway.internal'")
        return tuple(name.lower() for name in value)


class TracingOptions(BaseModel):
    """Which calls are told of as OpenTelemetry's spans, and where to.

    ``sample`` is the share of calls; 0 is none at all, whatever their callers trace. ``endpoint``
    is the collector's address for OTLP over HTTP; None: as OpenTelemetry's own environment
    variables say.
    """

    # a key written into the address must not be shown by the error about it
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sample: float = Field(default=0, ge=0, le=1)
    endpoint: str | None = None

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        instead = "put it into OTEL_EXPORTER_OTLP_HEADERS"
        return checked_address(value, "http://localhost:4318", instead, ["/v1/traces"])
