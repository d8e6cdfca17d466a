"""Cards, certificates and attempts at certifying: what was learned, and what was proven of it."""

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, func, select

from shoal.errors import NotFound, StoreError
from shoal.guarantees.watching import Watch
from shoal.storage import eprocesses
from shoal.storage.database import AnyRow, Database
from shoal.storage.packing import pack, unpack
from shoal.storage.revision import bump
from shoal.storage.schema import attempts, cards, certificates


class CardRow(Struct, frozen=True, kw_only=True):
    """A trained specialist: what ``spec`` (JSON) says of it. Immutable."""

    id: str
    task: str
    spec: bytes
    created_at: float


class CertificateRow(Struct, frozen=True, kw_only=True):
    """The proof for one card: risk at most ``alpha`` as ``spec`` (JSON) states it. Immutable."""

    id: str
    task: str
    card: str
    alpha: float
    spec: bytes
    issued_at: float


class Attempt(Struct, frozen=True, kw_only=True):
    """The ``nth`` (from 1) attempt to certify a task; ``outcome`` is JSON, refusals included."""

    task: str
    nth: int
    at: float
    outcome: bytes


class Cards:
    """The cards of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, card: CardRow) -> None:
        """Add a card.

        Raises:
            StoreError: there is one of that id.
        """
        if conn.execute(select(cards.c.id).where(cards.c.id == card.id)).scalar() is not None:
            raise StoreError(f"card {card.id} is stored already, and cards never change")
        conn.execute(cards.insert(), asdict(card) | {"spec": pack(card.spec)})
        bump(conn)

    def get(self, card_id: str) -> CardRow:
        """The card of that id.

        Raises:
            NotFound: no such card.
        """
        with self._database.read() as conn:
            row = conn.execute(select(cards).where(cards.c.id == card_id)).one_or_none()
        if row is None:
            raise NotFound(f"no card of id {card_id!r}")
        return CardRow(**_fields(row))

    def list(self, task: str | None = None) -> list[CardRow]:
        """The cards of ``task``, or of all tasks, newest first."""
        query = select(cards).order_by(cards.c.created_at.desc(), cards.c.id.desc())
        if task is not None:
            query = query.where(cards.c.task == task)
        with self._database.read() as conn:
            return [CardRow(**_fields(row)) for row in conn.execute(query)]


class Certificates:
    """The certificates of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(
        self, conn: Connection, certificate: CertificateRow, labels: tuple[str, ...] = ()
    ) -> None:
        """Add a certificate, and the e-processes that watch it: one, and one for each of the
        ``labels`` that it promises by itself.

        Raises:
            StoreError: there is one of that id.
            ValueError: ``alpha`` outside (0, 1).
        """
        known = select(certificates.c.id).where(certificates.c.id == certificate.id)
        if conn.execute(known).scalar() is not None:
            raise StoreError(
                f"certificate {certificate.id} is stored already, and certificates never change"
            )
        row = asdict(certificate) | {"spec": pack(certificate.spec)}
        conn.execute(certificates.insert(), row)
        eprocesses.start(conn, certificate.id, Watch.start(certificate.alpha, labels))
        bump(conn)

    def get(self, certificate_id: str) -> CertificateRow:
        """The certificate of that id.

        Raises:
            NotFound: no such certificate.
        """
        query = select(certificates).where(certificates.c.id == certificate_id)
        with self._database.read() as conn:
            row = conn.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"no certificate of id {certificate_id!r}")
        return CertificateRow(**_fields(row))

    def list(self, task: str | None = None) -> list[CertificateRow]:
        """The certificates of ``task``, or of all tasks, newest first."""
        order = certificates.c.issued_at.desc(), certificates.c.id.desc()
        query = select(certificates).order_by(*order)
        if task is not None:
            query = query.where(certificates.c.task == task)
        with self._database.read() as conn:
            return [CertificateRow(**_fields(row)) for row in conn.execute(query)]


class Attempts:
    """Every attempt to certify, so that looking again is paid for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, task: str, at: float, outcome: bytes) -> int:
        """Add an attempt; returns which of the task's it is, from 1."""
        last = select(func.max(attempts.c.nth)).where(attempts.c.task == task)
        nth: int = (conn.execute(last).scalar() or 0) + 1
        row = {"task": task, "nth": nth, "at": at, "outcome": pack(outcome)}
        conn.execute(attempts.insert(), row)
        return nth

    def list(self, task: str) -> list[Attempt]:
        """The attempts of ``task``, first to last."""
        query = select(attempts).where(attempts.c.task == task).order_by(attempts.c.nth)
        with self._database.read() as conn:
            rows = conn.execute(query).all()
        return [
            Attempt(task=row.task, nth=row.nth, at=row.at, outcome=unpack(row.outcome))
            for row in rows
        ]


def _fields(row: AnyRow) -> dict[str, Any]:
    fields = dict(row._mapping)
    return fields | {"spec": unpack(fields["spec"])}
