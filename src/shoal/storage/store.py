"""The store: everything Shoal remembers, in one data folder, or in one and a Postgres database."""

from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType

from shoal.storage.artifacts import Artifacts
from shoal.storage.audits import Audits
from shoal.storage.calls import CallRecord, Calls, call_bytes
from shoal.storage.certificates import Attempts, Cards, Certificates
from shoal.storage.checkpointer import Checkpointer
from shoal.storage.database import Database
from shoal.storage.evidence import Evidence
from shoal.storage.examples import Examples
from shoal.storage.expiry import expire
from shoal.storage.feedback import FeedbackLog
from shoal.storage.homes import open_database
from shoal.storage.keys import Keys
from shoal.storage.newcomers import NewcomerCounts
from shoal.storage.options import StoreOptions
from shoal.storage.reviews import Asking, Reviews
from shoal.storage.runs import Runs
from shoal.storage.spend import Spend
from shoal.storage.sqlite import SqliteDatabase
from shoal.storage.standings import Events, Standings
from shoal.storage.tasks import Tasks
from shoal.storage.tries import Tries
from shoal.storage.writer import Writer


class Store:
    """A data folder, open, and with it the database of the store.

    Reading is done by the methods of the parts. Everything that writes takes a connection, so that
    what belongs together is one transaction::

        store.writer.submit(lambda conn: store.tasks.put(conn, task))  # soon, from an event loop

        with store.database.transaction() as conn:                     # now
            store.certificates.insert(conn, certificate)
            store.standings.set(conn, standing, event)
    """

    def __init__(self, options: StoreOptions, database: Database) -> None:
        self.options = options
        self.database = database
        self.writer = Writer(database, options.durable)
        self.calls = Calls(database)
        self.feedback = FeedbackLog(database)
        self.reviews = Reviews(database)
        self.examples = Examples(database)
        self.tasks = Tasks(database)
        self.cards = Cards(database)
        self.certificates = Certificates(database)
        self.attempts = Attempts(database)
        self.evidence = Evidence(database)
        self.newcomers = NewcomerCounts(database)
        self.standings = Standings(database)
        self.events = Events(database)
        self.audits = Audits(database)
        self.tries = Tries(database)
        self.keys = Keys(database)
        self.spend = Spend(database)
        self.runs = Runs(database)
        self.artifacts = Artifacts(options.path / "artifacts")
        self._checkpointer = (
            Checkpointer(database) if isinstance(database, SqliteDatabase) else None
        )

    @classmethod
    def open(cls, options: StoreOptions) -> "Store":
        """Open a data folder, or make one.

        Raises:
            MissingExtra: the database is in Postgres, and the driver for that is not installed.
            StoreDamaged: the database is damaged. It was left as it is.
            StoreError: the database is something else's, or cannot be reached or written.
        """
        return cls(options, open_database(options))

    def record(self, call: CallRecord, held: float = 0.0) -> Future[bool]:
        """Have a call written soon; with the option ``durable``, the future resolves when it is on
        the disk. ``held`` is as for ``Calls.insert``."""
        insert = partial(self.calls.insert, call=call, held=held)
        return self.writer.submit(insert, size=call_bytes(call))

    def expire(self, now: float, asked: Mapping[str, Asking] | None = None) -> int:
        """Remove old calls and runs as the options say; returns how many. ``asked`` is as for
        ``expiry.expire``. Takes long: not for event loops.

        Raises:
            StoreError: the database cannot be written.
        """
        return expire(self.database, now, self.options.keep_days, self.options.max_gb, asked)

    def close(self) -> None:
        """Write what waits, and close the database."""
        self.writer.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
        self.database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
