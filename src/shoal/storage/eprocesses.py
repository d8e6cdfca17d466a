"""The e-processes of each certificate: the live evidence against its promise."""

import msgspec
from sqlalchemy import Connection, select, update

from shoal.errors import NotFound, StoreDamaged
from shoal.guarantees.sequential import EProcess
from shoal.guarantees.watching import Watch
from shoal.storage.schema import eprocesses, label_eprocesses

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EProcess).decode


def start(conn: Connection, certificate: str, watch: Watch) -> None:
    """Begin to watch a new certificate."""
    row = {"certificate": certificate, "state": _encode(watch.average)}
    conn.execute(eprocesses.insert(), row)
    rows = [
        {"certificate": certificate, "label": label, "state": _encode(process)}
        for label, process in watch.labels.items()
    ]
    if rows:
        conn.execute(label_eprocesses.insert(), rows)


def load(conn: Connection, certificate: str) -> Watch:
    """The evidence so far.

    Raises:
        NotFound: no such certificate.
        StoreDamaged: what is stored is no e-process.
    """
    query = select(eprocesses.c.state).where(eprocesses.c.certificate == certificate)
    state = conn.execute(query).scalar()
    if state is None:
        raise NotFound(f"no certificate of id {certificate!r}")
    parts = select(label_eprocesses.c.label, label_eprocesses.c.state)
    parts = parts.where(label_eprocesses.c.certificate == certificate)
    rows = conn.execute(parts.order_by(label_eprocesses.c.label)).all()
    try:
        return Watch(_decode(state), {row.label: _decode(row.state) for row in rows})
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"the evidence on {certificate} cannot be read ({error})") from error


def save(conn: Connection, certificate: str, watch: Watch, label: str | None) -> None:
    """Replace the evidence on the average and on this label; the transaction must be the one that
    loaded it."""
    here = eprocesses.c.certificate == certificate
    conn.execute(update(eprocesses).where(here).values(state=_encode(watch.average)))
    process = None if label is None else watch.labels.get(label)
    if process is not None:
        of_label = label_eprocesses.c.certificate == certificate, label_eprocesses.c.label == label
        conn.execute(update(label_eprocesses).where(*of_label).values(state=_encode(process)))
