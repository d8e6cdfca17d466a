"""Postgres for tests: a schema for each, on the server that SHOAL_TEST_POSTGRES names."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shoal.storage import Store

VARIABLE = "SHOAL_TEST_POSTGRES"


@contextmanager
def postgres_url() -> Iterator[str]:
    """The URL of an empty place for a store, gone afterwards; skips where there is no server."""
    server = os.environ.get(VARIABLE)
    if not server:
        pytest.skip(f"no Postgres: {VARIABLE} names no server (see .ci/postgres)")
    import psycopg

    schema = f"t{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE SCHEMA {schema}")
        try:
            joint = "&" if "?" in server else "?"
            yield f"{server}{joint}options=-csearch_path%3D{schema}"
        finally:
            conn.execute("SET client_min_messages = warning")
            conn.execute(f"DROP SCHEMA {schema} CASCADE")


def revision_of(store: Store) -> int:
    """The revision as gateways know it well within 100 ms."""
    if store.options.url is not None:
        time.sleep(0.08)
    return store.database.revision()
