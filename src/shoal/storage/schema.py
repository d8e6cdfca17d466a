"""The tables as queries see them; ``migrations`` is what makes them on disk.

Times are unix seconds, money is USD, and every ``LargeBinary`` column but ``digest``, ``secret``,
``head`` and ``hash`` holds JSON, compressed where that pays (see ``packing``). Days are dates in
UTC, like 2025-01-31.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, LargeBinary, MetaData, Table, Text

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("id", BigInteger, primary_key=True),
    # of tasks, cards, certificates, standings and keys
    Column("revision", BigInteger, nullable=False),
    Column("expiries", BigInteger, nullable=False),  # how often nodes were removed
    Column("secret", LargeBinary, nullable=False),  # 32 bytes, for drawing audits
    Column("expired_at", Float),  # the moment that ages were last counted from
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("parent", BigInteger),
    Column("body", LargeBinary, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("number", BigInteger, primary_key=True),  # order of arrival
    Column("id", Text, nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("episode", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("llm", Text, nullable=False),
    Column("sampled", Boolean, nullable=False),
    Column("cost", Float),
    Column("llm_cost", Float),
    Column("latency_ms", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("node", BigInteger, nullable=False),  # the last message; its chain is the conversation
    Column("model", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("answer", LargeBinary),
    Column("error", Text, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Column("key", Text, nullable=False),  # the id of the caller's, "" without one
    Column("answer_id", Text, nullable=False),  # what its provider keeps the answer under, or ""
)

feedback = Table(
    "feedback",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("answer", Text, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("spec", LargeBinary, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("ignored", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

cards = Table(
    "cards",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("card", Text, nullable=False),
    Column("alpha", Float, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("issued_at", Float, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("task", Text, primary_key=True),
    Column("nth", BigInteger, primary_key=True),
    Column("at", Float, nullable=False),
    Column("outcome", LargeBinary, nullable=False),
)

standings = Table(
    "standings",
    metadata,
    Column("task", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("card", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("since", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("at", Float, nullable=False),
    Column("task", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
)

audits = Table(
    "audits",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("task", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("reference", LargeBinary, nullable=False),
    Column("label", Text),  # of the small answer, where each label is promised by itself
)

tries = Table(
    "tries",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("after", Text, nullable=False),  # the card whose specialist passed the call on, or ""
    Column("at", Float, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("cost", Float),
    Column("latency_ms", Float, nullable=False),
    Column("signal", Float),  # of a specialist: how sure it was
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("certificate", Text, primary_key=True),
    Column("points", LargeBinary, nullable=False),
)

mistakes = Table(
    "mistakes",
    metadata,
    Column("certificate", Text, primary_key=True),
    Column("call_id", Text, primary_key=True),
    Column("signal", Float, nullable=False),
    Column("said", LargeBinary, nullable=False),
)

newcomers = Table(
    "newcomers",
    metadata,
    Column("certificate", Text, primary_key=True),
    Column("mark", BigInteger, nullable=False),  # the number of the last call looked at
    Column("state", LargeBinary, nullable=False),
)

eprocesses = Table(
    "eprocesses",
    metadata,
    Column("certificate", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

label_eprocesses = Table(
    "label_eprocesses",
    metadata,
    Column("certificate", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

review_starts = Table(
    "review_starts",
    metadata,
    Column("task", Text, primary_key=True),
    Column("at", Float, nullable=False),  # people are asked about calls made since
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the key
    Column("hint", Text, nullable=False),  # its last four characters
    Column("spec", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)

spend = Table(
    "spend",
    metadata,
    Column("day", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("model", Text, primary_key=True),  # who answered
    Column("task", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Column("llm_cost", Float, nullable=False),
    Column("unpriced", BigInteger, nullable=False),  # of the calls: a price is unknown
    Column("estimated", BigInteger, nullable=False),  # of the calls: the tokens are
    Column("held", Float, nullable=False),  # what budgets count for those of unknown cost
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),  # of the plan
    Column("goal", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("key", Text, nullable=False),  # the id of the key of who started it, "" without one
    Column("episode", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("head", LargeBinary, nullable=False),  # hash of the last record
    Column("records", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),  # who runs it, "" if nobody does
    Column("lease_until", Float, nullable=False),
    Column("left_to", Text, nullable=False),  # who goes on with it, "" if that was not kept
    Column("salt", LargeBinary),  # of the goal: see run_records
    Column("digest", LargeBinary),
    Column("seal", LargeBinary),
)

run_records = Table(
    "run_records",
    metadata,
    Column("run", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),  # of the run from here on, "" if it stays as it was
    Column("cost", Float, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("salt", LargeBinary),  # of the body's digest; null in old records, and once redacted
    Column("digest", LargeBinary),  # of the body as it was, once redacted
    Column("seal", LargeBinary),  # over the body as it is, once redacted
)

ledger = Table(
    "ledger",
    metadata,
    Column("number", BigInteger, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("records", BigInteger, nullable=False),  # that the run had
    Column("head", LargeBinary, nullable=False),  # of the run
    Column("hash", LargeBinary, nullable=False),
)
