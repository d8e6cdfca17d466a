"""Audits, and the e-processes that each one moves in the transaction that records it."""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, select

from shoal.chat import Answer
from shoal.guarantees.sequential import EProcess
from shoal.guarantees.watching import Broken, Watch
from shoal.storage import eprocesses
from shoal.storage.calls import unpack_answer
from shoal.storage.database import AnyRow, Database, in_slices
from shoal.storage.packing import pack
from shoal.storage.schema import audits
from shoal.storage.spend import Spending, add_spending
from shoal.storage.standings import Event, Standing, set_standing, standing_of

_encode = msgspec.json.Encoder().encode


class Audit(Struct, frozen=True, kw_only=True):
    """A call whose small answer was compared with the reference's.

    ``kind`` is "audit" for a call that was served, "shadow" for one that only would have been,
    "review" for one that was served and judged by a person, whose answer is "" if not given;
    ``label`` is the small answer's, where the certificate promises each label by itself.
    """

    call_id: str
    at: float
    task: str
    certificate: str
    kind: Literal["audit", "shadow", "review"]
    agrees: bool
    reference: Answer
    label: str | None = None


class Audits:
    """The audits of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, conn: Connection, audit: Audit, delta: float, spent: Spending | None = None
    ) -> bool:
        """Insert ``audit``, move its certificate's e-processes and add what was ``spent`` on it,
        as one.

        If an e-process crosses what its part of ``delta`` allows (``Watch``) and the certificate is
        what stands for the task, the task goes back to observing, an event says so, and the return
        value is true. A call that was audited before changes nothing.

        Raises:
            NotFound: no such certificate.
        """
        before = eprocesses.load(conn, audit.certificate)
        if not _insert(conn, audit):
            return False
        if spent is not None:
            add_spending(conn, spent)
        watch = before.update(not audit.agrees, audit.label)
        eprocesses.save(conn, audit.certificate, watch, audit.label)
        standing = standing_of(conn, audit.task)
        if standing is None or standing.certificate != audit.certificate:
            return False
        broken = watch.broken(delta)
        if standing.stage == "observe" or broken is None:
            return False
        _demote(conn, audit, standing.card, broken, delta)
        return True

    def of_calls(self, call_ids: Iterable[str]) -> dict[str, Audit]:
        """The audit of each of these calls that has one."""
        with self._database.read() as conn:
            return audits_of(conn, call_ids)

    def of_certificate(self, certificate: str, limit: int = 1000) -> list[Audit]:
        """The audits of a certificate, newest first."""
        query = select(audits).where(audits.c.certificate == certificate)
        with self._database.read() as conn:
            rows = conn.execute(query.order_by(audits.c.at.desc()).limit(limit)).all()
        return [_audit(row) for row in rows]

    def process(self, certificate: str) -> EProcess:
        """Where the e-process of a certificate stands, over all its answers.

        Raises:
            NotFound: no such certificate.
        """
        return self.watch(certificate).average

    def watch(self, certificate: str) -> Watch:
        """As ``process``, and where those of its labels stand.

        Raises:
            NotFound: no such certificate.
        """
        with self._database.read() as conn:
            return eprocesses.load(conn, certificate)


def audits_of(conn: Connection, call_ids: Iterable[str]) -> dict[str, Audit]:
    """As ``Audits.of_calls``, within a transaction."""
    found: dict[str, Audit] = {}
    for ids in in_slices(call_ids):
        for row in conn.execute(select(audits).where(audits.c.call_id.in_(ids))):
            found[row.call_id] = _audit(row)
    return found


def _insert(conn: Connection, audit: Audit) -> bool:
    if conn.execute(select(audits.c.at).where(audits.c.call_id == audit.call_id)).first():
        return False
    reference = replace(audit.reference, body=b"")
    row = asdict(audit) | {"reference": pack(_encode(reference))}
    conn.execute(audits.insert(), row)
    return True


def _demote(conn: Connection, audit: Audit, card: str, broken: Broken, delta: float) -> None:
    process, label = broken.process, broken.label
    detail: dict[str, object] = {
        "certificate": audit.certificate,
        "card": card,
        "n": process.n,
        "errors": process.errors,
        "e_value": process.e_value,
        "alpha": process.alpha,
        "delta": broken.delta,
    }
    said, promised = "", ""
    if label is not None:
        detail["label"] = label
        said, promised = f" that said {label!r}", " for each label"
    event = Event(
        at=audit.at,
        task=audit.task,
        kind="demoted",
        by="audit",
        reason=f"{process.errors} of {process.n} audited answers{said} were wrong: more than the "
        f"certified {process.alpha:.1%}{promised}, with confidence {1 - delta:.0%}",
        detail=_encode(detail),
    )
    set_standing(conn, Standing(task=audit.task, stage="observe", since=audit.at), event)


def _audit(row: AnyRow) -> Audit:
    return Audit(
        call_id=row.call_id,
        at=row.at,
        task=row.task,
        certificate=row.certificate,
        kind=row.kind,
        agrees=row.agrees,
        reference=unpack_answer(row.reference),
        label=row.label,
    )
