"""The e-process of each certificate: the live evidence against its promise."""

import msgspec
from sqlalchemy import Connection, select, update

from shoal.errors import NotFound, StoreDamaged
from shoal.guarantees.sequential import EProcess
from shoal.storage.schema import eprocesses

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EProcess).decode


def start(conn: Connection, certificate: str, alpha: float) -> None:
    """Begin to watch a new certificate.

    Raises:
        ValueError: ``alpha`` outside (0, 1).
    """
    row = {"certificate": certificate, "state": _encode(EProcess.start(alpha))}
    conn.execute(eprocesses.insert(), row)


def load(conn: Connection, certificate: str) -> EProcess:
    """The evidence so far.

    Raises:
        NotFound: no such certificate.
        StoreDamaged: what is stored is no e-process.
    """
    query = select(eprocesses.c.state).where(eprocesses.c.certificate == certificate)
    state = conn.execute(query).scalar()
    if state is None:
        raise NotFound(f"no certificate of id {certificate!r}")
    try:
        return _decode(state)
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"the evidence on {certificate} cannot be read ({error})") from error


def save(conn: Connection, certificate: str, process: EProcess) -> None:
    """Replace the evidence; the transaction must be the one that loaded it."""
    here = eprocesses.c.certificate == certificate
    conn.execute(update(eprocesses).where(here).values(state=_encode(process)))
