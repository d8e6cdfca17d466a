"""The count of changes to tasks, cards, certificates, standings and keys, which gateways poll."""

from sqlalchemy import Connection, update

from shoal.storage.dialects import announce
from shoal.storage.schema import meta


def bump(conn: Connection) -> None:
    """Tell every gateway, once this transaction commits, that there is something new to read."""
    conn.execute(update(meta).values(revision=meta.c.revision + 1))
    announce(conn)
