"""Keys of callers: never the key itself, only its digest."""

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, or_, select, update

from shoal.errors import Conflict, NotFound
from shoal.storage.database import Database
from shoal.storage.revision import bump
from shoal.storage.schema import keys


class KeyRow(Struct, frozen=True, kw_only=True):
    """A key's row: ``digest`` is the SHA-256 of the key, ``hint`` its last four characters, and
    ``spec`` JSON: what it may do. Times are unix seconds; None: it does not expire, is in force."""

    id: str
    name: str
    digest: bytes
    hint: str
    spec: bytes
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class Keys:
    """The keys of one store. None is ever removed: what was spent with it is told by its name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, key: KeyRow) -> None:
        """Add a key.

        Raises:
            Conflict: there is one of that name, perhaps revoked.
        """
        found = conn.execute(select(keys.c.revoked_at).where(keys.c.name == key.name)).one_or_none()
        if found is not None:
            revoked = "" if found.revoked_at is None else ", revoked"
            raise Conflict(f"there is a key named {key.name!r} already{revoked}; choose another")
        conn.execute(keys.insert(), asdict(key))
        bump(conn)

    def revoke(self, conn: Connection, which: str, at: float) -> KeyRow:
        """Take a key, by id or name, out of force for good; one that is already stays as it was.

        Raises:
            NotFound: no such key.
        """
        key = _find(conn, which)
        if key.revoked_at is None:
            conn.execute(update(keys).where(keys.c.id == key.id).values(revoked_at=at))
            bump(conn)
        return _find(conn, key.id)

    def replace(self, conn: Connection, which: str, digest: bytes, hint: str) -> KeyRow:
        """Give a key, by id or name, another secret: the earlier one is in force no longer.

        Raises:
            NotFound: no such key.
            Conflict: it is revoked.
        """
        key = _find(conn, which)
        if key.revoked_at is not None:
            raise Conflict(f"the key {key.name!r} is revoked, for good; make another one")
        change = update(keys).where(keys.c.id == key.id).values(digest=digest, hint=hint)
        conn.execute(change)
        bump(conn)
        return _find(conn, key.id)

    def get(self, which: str) -> KeyRow:
        """The key of that id or name.

        Raises:
            NotFound: no such key.
        """
        with self._database.read() as conn:
            return _find(conn, which)

    def list(self) -> list[KeyRow]:
        """Every key, in the order they were made."""
        query = select(keys).order_by(keys.c.created_at, keys.c.id)
        with self._database.read() as conn:
            return [KeyRow(**row._mapping) for row in conn.execute(query)]


def _find(conn: Connection, which: str) -> KeyRow:
    query = select(keys).where(or_(keys.c.id == which, keys.c.name == which))
    rows = [KeyRow(**row._mapping) for row in conn.execute(query)]
    if not rows:
        raise NotFound(f"no key of id or name {which!r}; `shoal keys list` shows those there are")
    return next((row for row in rows if row.id == which), rows[0])
