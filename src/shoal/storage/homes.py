"""Where a store lies: in a file, or in a Postgres database."""

from shoal.errors import MissingExtra
from shoal.storage.database import Database
from shoal.storage.options import StoreOptions
from shoal.storage.sqlite import SqliteDatabase


def open_database(options: StoreOptions) -> Database:
    """Open the database that the options name, or make its tables.

    Raises:
        MissingExtra: it is in Postgres, and the driver for that is not installed.
        StoreDamaged: the database is damaged. It was left as it is.
        StoreError: it is not Shoal's or a newer Shoal's, or cannot be reached, read or written.
    """
    if options.url is None:
        return SqliteDatabase.open(options)
    try:
        from shoal.storage.postgres import PostgresDatabase
    except ImportError as error:  # also where psycopg is there without the library that it needs
        raise MissingExtra("postgres", "a store in Postgres (store.url)") from error
    return PostgresDatabase.open(options)
