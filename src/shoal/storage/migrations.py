"""How a database comes to have its tables: numbered plain functions, in order.

A database's version is how many of these it has been through. A function here is never changed once
released; what comes later is a new function at the end. Each works on both homes of a store: tables
and columns are written in the words that ``dialects.define`` knows, rows by SQLAlchemy.
"""

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from shoal.storage.dialects import define, set_version, version

Migration = Callable[[Connection], None]


def recording(conn: Connection) -> None:
    """1: calls, the conversations they were about, and what people said of their answers."""
    _run(
        conn,
        """CREATE TABLE meta (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            revision INTEGER NOT NULL,
            expiries INTEGER NOT NULL,
            secret BLOB NOT NULL)""",
        """CREATE TABLE nodes (
            id INTEGER PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE,
            parent INTEGER,
            body BLOB NOT NULL)""",
        "CREATE INDEX nodes_parent ON nodes (parent)",
        """CREATE TABLE calls (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            at REAL NOT NULL,
            episode TEXT NOT NULL,
            task TEXT NOT NULL,
            answered_by TEXT NOT NULL,
            reason TEXT NOT NULL,
            llm TEXT NOT NULL,
            sampled BOOLEAN NOT NULL,
            cost REAL,
            llm_cost REAL,
            latency_ms REAL NOT NULL,
            source TEXT NOT NULL,
            node INTEGER NOT NULL,
            model TEXT NOT NULL,
            params TEXT NOT NULL,
            stream BOOLEAN NOT NULL,
            answer BLOB,
            error TEXT NOT NULL,
            receipt BLOB NOT NULL)""",
        "CREATE INDEX calls_at ON calls (at)",
        "CREATE INDEX calls_task ON calls (task, at)",
        "CREATE INDEX calls_node ON calls (node)",
        """CREATE TABLE feedback (
            number INTEGER PRIMARY KEY,
            call_id TEXT NOT NULL,
            at REAL NOT NULL,
            verdict TEXT NOT NULL,
            answer TEXT NOT NULL)""",
        "CREATE INDEX feedback_call ON feedback (call_id)",
    )
    first = text("INSERT INTO meta (id, revision, expiries, secret) VALUES (1, 0, 0, :secret)")
    conn.execute(first, {"secret": secrets.token_bytes(32)})


def learning(conn: Connection) -> None:
    """2: tasks, what was learned and proven about them, and what was served because of it."""
    _run(
        conn,
        """CREATE TABLE tasks (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            spec BLOB NOT NULL,
            pinned BOOLEAN NOT NULL,
            ignored BOOLEAN NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL)""",
        """CREATE TABLE cards (
            id TEXT PRIMARY KEY,
            task TEXT NOT NULL,
            spec BLOB NOT NULL,
            created_at REAL NOT NULL)""",
        "CREATE INDEX cards_task ON cards (task)",
        """CREATE TABLE certificates (
            id TEXT PRIMARY KEY,
            task TEXT NOT NULL,
            card TEXT NOT NULL,
            alpha REAL NOT NULL,
            spec BLOB NOT NULL,
            issued_at REAL NOT NULL)""",
        "CREATE INDEX certificates_task ON certificates (task)",
        """CREATE TABLE attempts (
            task TEXT NOT NULL,
            nth INTEGER NOT NULL,
            at REAL NOT NULL,
            outcome BLOB NOT NULL,
            PRIMARY KEY (task, nth))""",
        """CREATE TABLE standings (
            task TEXT PRIMARY KEY,
            stage TEXT NOT NULL,
            card TEXT NOT NULL,
            certificate TEXT NOT NULL,
            since REAL NOT NULL)""",
        """CREATE TABLE events (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            task TEXT NOT NULL,
            kind TEXT NOT NULL,
            by TEXT NOT NULL,
            reason TEXT NOT NULL,
            detail BLOB NOT NULL)""",
        "CREATE INDEX events_task ON events (task)",
        """CREATE TABLE audits (
            call_id TEXT PRIMARY KEY,
            at REAL NOT NULL,
            task TEXT NOT NULL,
            certificate TEXT NOT NULL,
            kind TEXT NOT NULL,
            agrees BOOLEAN NOT NULL,
            reference BLOB NOT NULL)""",
        "CREATE INDEX audits_certificate ON audits (certificate)",
        "CREATE TABLE eprocesses (certificate TEXT PRIMARY KEY, state BLOB NOT NULL)",
    )


def ageing(conn: Connection) -> None:
    """3: the moment that the age of calls was last counted from."""
    _run(conn, "ALTER TABLE meta ADD COLUMN expired_at REAL")


def spending(conn: Connection) -> None:
    """4: keys, whose each call was, and what was spent by day, which outlives the calls."""
    _run(
        conn,
        "ALTER TABLE calls ADD COLUMN key TEXT NOT NULL DEFAULT ''",
        """CREATE TABLE keys (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            digest BLOB NOT NULL UNIQUE,
            hint TEXT NOT NULL,
            spec BLOB NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL,
            revoked_at REAL)""",
        """CREATE TABLE spend (
            day TEXT NOT NULL,
            key TEXT NOT NULL,
            model TEXT NOT NULL,
            task TEXT NOT NULL,
            purpose TEXT NOT NULL,
            calls INTEGER NOT NULL,
            input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            cost REAL NOT NULL,
            llm_cost REAL NOT NULL,
            unpriced INTEGER NOT NULL,
            estimated INTEGER NOT NULL,
            PRIMARY KEY (day, key, model, task, purpose)) WITHOUT ROWID""",
    )


def holding(conn: Connection) -> None:
    """5: what budgets count for answers, and attempts, of which nobody knows what they cost."""
    _run(conn, "ALTER TABLE spend ADD COLUMN held REAL NOT NULL DEFAULT 0")


def keeping(conn: Connection) -> None:
    """6: the ids under which providers keep answers, so that callers may ask for them."""
    _run(
        conn,
        "ALTER TABLE calls ADD COLUMN answer_id TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX calls_answer ON calls (answer_id) WHERE answer_id <> ''",
    )


def trying(conn: Connection) -> None:
    """7: what cheaper models said to a sample of the calls of a task, beside the LLM."""
    _run(
        conn,
        """CREATE TABLE tries (
            call_id TEXT NOT NULL,
            model TEXT NOT NULL,
            after TEXT NOT NULL,
            at REAL NOT NULL,
            answer BLOB NOT NULL,
            cost REAL,
            latency_ms REAL NOT NULL,
            PRIMARY KEY (call_id, model))""",
    )


def proving(conn: Connection) -> None:
    """8: the calibration points that a certificate rests on, the surest of its mistakes, and what
    is new since it was issued."""
    _run(
        conn,
        "CREATE TABLE calibrations (certificate TEXT PRIMARY KEY, points BLOB NOT NULL)",
        """CREATE TABLE mistakes (
            certificate TEXT NOT NULL,
            call_id TEXT NOT NULL,
            signal REAL NOT NULL,
            said BLOB NOT NULL,
            PRIMARY KEY (certificate, call_id))""",
        "CREATE INDEX mistakes_call ON mistakes (call_id)",
        """CREATE TABLE newcomers (
            certificate TEXT PRIMARY KEY,
            mark INTEGER NOT NULL,
            state BLOB NOT NULL)""",
    )


def weighing(conn: Connection) -> None:
    """9: how sure a specialist was of what it would have said, beside what it would have said."""
    _run(conn, "ALTER TABLE tries ADD COLUMN signal REAL")


def watching(conn: Connection) -> None:
    """10: the e-process of each label, where a certificate promises each by itself."""
    _run(
        conn,
        "ALTER TABLE audits ADD COLUMN label TEXT",
        """CREATE TABLE label_eprocesses (
            certificate TEXT NOT NULL,
            label TEXT NOT NULL,
            state BLOB NOT NULL,
            PRIMARY KEY (certificate, label))""",
    )


def reviewing(conn: Connection) -> None:
    """11: since when people are asked to judge calls, if one expired that they left out; and the
    calls of a task in order of arrival."""
    _run(
        conn,
        "CREATE TABLE review_starts (task TEXT PRIMARY KEY, at REAL NOT NULL)",
        "CREATE INDEX calls_arrival ON calls (task, number)",
    )


def running(conn: Connection) -> None:
    """12: the journals of runs, each a chain of hashes, and the chain over all runs."""
    _run(
        conn,
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            goal TEXT NOT NULL,
            agent TEXT NOT NULL,
            key TEXT NOT NULL,
            episode TEXT NOT NULL,
            started_at REAL NOT NULL,
            state TEXT NOT NULL,
            updated_at REAL NOT NULL,
            head BLOB NOT NULL,
            records INTEGER NOT NULL,
            cost REAL NOT NULL,
            tokens INTEGER NOT NULL,
            owner TEXT NOT NULL,
            lease_until REAL NOT NULL)""",
        "CREATE INDEX runs_state ON runs (state, id)",
        "CREATE INDEX runs_updated ON runs (updated_at)",
        """CREATE TABLE run_records (
            run TEXT NOT NULL,
            seq INTEGER NOT NULL,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            step TEXT NOT NULL,
            body BLOB NOT NULL,
            state TEXT NOT NULL,
            cost REAL NOT NULL,
            tokens INTEGER NOT NULL,
            hash BLOB NOT NULL,
            PRIMARY KEY (run, seq))""",
        """CREATE TABLE ledger (
            number INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            run TEXT NOT NULL,
            records INTEGER NOT NULL,
            head BLOB NOT NULL,
            hash BLOB NOT NULL)""",
        "CREATE INDEX ledger_run ON ledger (run, number)",
    )


def resuming(conn: Connection) -> None:
    """13: who goes on with a run, so that runs which are left to people do not stand before those
    of gateways that have died."""
    _run(conn, "ALTER TABLE runs ADD COLUMN left_to TEXT NOT NULL DEFAULT ''")


def redacting(conn: Connection) -> None:
    """14: what stands for a value that is redacted when its run has ended. Records of before have
    no salt, and stay as they are."""
    parts = [(table, part) for table in ("runs", "run_records") for part in _REDACTED]
    _run(conn, *(f"ALTER TABLE {table} ADD COLUMN {part} BLOB" for table, part in parts))
    _run(conn, "CREATE INDEX runs_whole ON runs (id) WHERE salt IS NOT NULL")


_REDACTED = ("salt", "digest", "seal")

MIGRATIONS: tuple[Migration, ...] = (
    recording,
    learning,
    ageing,
    spending,
    holding,
    keeping,
    trying,
    proving,
    weighing,
    watching,
    reviewing,
    running,
    resuming,
    redacting,
)


def migrate(conn: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the database up to date, inside the transaction of ``conn``: all of it or nothing."""
    for number, migration in enumerate(migrations, start=1):
        if number > version(conn):
            migration(conn)
            set_version(conn, number)


def _run(conn: Connection, *statements: str) -> None:
    for statement in statements:
        define(conn, statement)
