"""Newcomers: how far the calls since each certificate were looked at for answers of a new kind."""

from msgspec import Struct
from sqlalchemy import select, update

from shoal.storage.database import Database
from shoal.storage.schema import newcomers


class NewcomersRow(Struct, frozen=True):
    """The ``state`` (JSON) of the count for a certificate, after the call of number ``mark``."""

    mark: int
    state: bytes


class NewcomerCounts:
    """The counts of one store; only the learner writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, certificate: str) -> NewcomersRow | None:
        """The count for a certificate; None before the first look."""
        query = select(newcomers).where(newcomers.c.certificate == certificate)
        with self._database.read() as conn:
            row = conn.execute(query).one_or_none()
        return None if row is None else NewcomersRow(row.mark, row.state)

    def put(self, certificate: str, mark: int, state: bytes) -> None:
        """Keep a count.

        Raises:
            StoreError: the store cannot be written.
        """
        here = newcomers.c.certificate == certificate
        values = {"mark": mark, "state": state}
        with self._database.transaction() as conn:
            if conn.execute(update(newcomers).where(here).values(values)).rowcount == 0:
                conn.execute(newcomers.insert(), {"certificate": certificate, **values})
