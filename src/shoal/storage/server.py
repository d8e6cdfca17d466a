"""The Postgres server that a store's URL leads to, and connections to it."""

import os
from collections.abc import Mapping
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.string import StrDumperUnknown

from shoal.errors import StoreError
from shoal.storage.options import StoreOptions

# So that a server that is gone is noticed in seconds, not in the hours that a system takes.
_PARAMETERS = {
    "application_name": "shoal",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # ms
}
# So that a machine that is gone keeps no lock: seconds until the server notices.
_SETTINGS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "5s",  # how long to wait for somebody else's transaction, as for a file
}


class Server(Struct, frozen=True):
    """Where to connect to; ``place`` says so to people, without what is secret."""

    place: str
    parameters: dict[str, Any]

    def connect(self, settings: Mapping[str, str] | None = None) -> "psycopg.Connection[Any]":
        """A new connection, each statement a transaction of its own.

        Raises:
            psycopg.OperationalError: the server cannot be reached, or lets nobody in.
        """
        conn = psycopg.connect(**self.parameters, autocommit=True)
        conn.adapters.register_dumper(str, _Text)
        chosen = _SETTINGS | dict(settings or {})
        calls = ", ".join(["set_config(%s, %s, false)"] * len(chosen))
        conn.execute(f"SELECT {calls}", [part for pair in chosen.items() for part in pair])
        return conn


class _Text(StrDumperUnknown):
    """A text; Postgres cannot store its NUL characters, and a call must not be lost for one."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


def server_of(options: StoreOptions) -> Server:
    """The server that the options name.

    Raises:
        StoreError: the URL is not understood, or the variable for the password is not set.
    """
    assert options.url is not None
    try:
        given = conninfo_to_dict(options.url)
    except psycopg.ProgrammingError as error:
        raise StoreError(f"store.url: not understood: {' '.join(str(error).split())}") from error
    parameters = _PARAMETERS | given
    if options.password_env is not None:
        parameters["password"] = _password(options.password_env)
    return Server(_place(given), parameters)


def _password(variable: str) -> str:
    password = os.environ.get(variable, "")
    if not password:
        raise StoreError(
            f"store.password_env: the environment variable {variable} is not set; export "
            f"{variable}=… or leave password_env out"
        )
    return password


def _place(given: Mapping[str, Any]) -> str:
    """As in ``postgresql://shoal@db.example:5432/shoal``, without parameters."""

    def part(name: str, variable: str) -> str:
        return str(given.get(name) or os.environ.get(variable, ""))

    user, port = part("user", "PGUSER"), part("port", "PGPORT")
    host = part("hostaddr", "PGHOSTADDR") or part("host", "PGHOST") or "localhost"
    start = f"{user}@{host}" if user else host
    return f"postgresql://{start}{port and f':{port}'}/{part('dbname', 'PGDATABASE') or user}"
