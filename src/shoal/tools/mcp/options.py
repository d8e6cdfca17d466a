"""Where an MCP server is, what it is trusted with, and how much is taken from it."""

import os
import re
from collections.abc import Mapping

from msgspec import Struct

from shoal.errors import ConfigError
from shoal.tools.tool import Effects

_NAME = re.compile(r"[a-zA-Z0-9-](_?[a-zA-Z0-9-]){0,29}")
_SECRET = re.compile("KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|PRIVATE")
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")


class Command(Struct, frozen=True, kw_only=True):
    """A program that speaks MCP over its standard input and output. No shell is between. Of the
    environment it gets what programs need to run, and the variables that ``env`` names."""

    program: str
    arguments: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    folder: str = ""

    def environment(self) -> dict[str, str]:
        """The variables it gets, with their values.

        Raises:
            ConfigError: one that ``env`` names is not set.
        """
        asked = {name: _value(name, "env") for name in self.env}
        return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | asked

    def secrets(self) -> tuple[str, ...]:
        """Values that it gets and nobody else is told, of the variables that are set: those whose
        names say so, as a folder or an address may well stand in its replies."""
        names = (name for name in self.env if _SECRET.search(name.upper()))
        return tuple(os.environ[name] for name in names if name in os.environ)


class Address(Struct, frozen=True, kw_only=True):
    """A server that speaks MCP over streamable HTTP at ``url``. ``headers`` maps names of headers
    to the environment variables that hold their values, keys mostly."""

    url: str
    headers: Mapping[str, str] = {}

    def sent(self) -> dict[str, str]:
        """The headers with their values.

        Raises:
            ConfigError: a variable is not set.
        """
        return {header: _value(name, f"headers.{header}") for header, name in self.headers.items()}

    def secrets(self) -> tuple[str, ...]:
        """Values that it gets and nobody else is told, of the variables that are set."""
        return tuple(os.environ[name] for name in self.headers.values() if name in os.environ)


class Limits(Struct, frozen=True, kw_only=True):
    """How much is taken from a server.

    It has ``start_s`` seconds to start and tell its tools, ``call_s`` for a call. One message may
    have ``message_bytes``, beyond which the connection ends, a result ``result_bytes``, beyond
    which it is an error. Of ``notices``, whatever it sends that answers nothing, as many may come
    between two replies. Of its tools the first ``tools`` are known, each with a description of so
    many characters and schemas of ``schema_bytes``. Their list is asked for again when it is
    ``relist_s`` seconds old, and when the server says that it changed.
    """

    start_s: float = 20.0
    call_s: float = 30.0
    message_bytes: int = 4_000_000
    result_bytes: int = 1_000_000
    notices: int = 10_000
    tools: int = 500
    description: int = 2_000
    schema_bytes: int = 32_000
    relist_s: float = 60.0


class McpOptions(Struct, frozen=True, kw_only=True):
    """One server. ``name`` begins the names of its tools.

    Each of its tools may write, and must not be repeated, unless ``effects`` says of it, by the
    server's own name for it, what it does, or the server is ``trusted`` to say so itself.
    """

    name: str
    place: Command | Address
    trusted: bool = False
    effects: Mapping[str, Effects] = {}
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"MCP server {self.name!r}: expected a name of at most 30 letters, digits, - and "
                "single _"
            )
        if isinstance(self.place, Address) and not self.place.url.startswith(
            ("http://", "https://")
        ):
            raise ConfigError(
                f"MCP server {self.name}: url: expected http:// or https://, found "
                f"{self.place.url!r}"
            )


def _value(name: str, place: str) -> str:
    if (value := os.environ.get(name)) is None:
        raise ConfigError(f"{place}: the environment variable {name} is not set; export {name}=…")
    return value
