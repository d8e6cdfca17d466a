"""Evidence: the calibration points that a certificate rests on, and the surest of its mistakes."""

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, select

from shoal.chat import Answer
from shoal.errors import StoreDamaged
from shoal.guarantees.calibration import Calibration
from shoal.storage.calls import unpack_answer
from shoal.storage.database import Database
from shoal.storage.packing import pack, unpack
from shoal.storage.schema import calibrations, mistakes

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Calibration).decode


class Mistake(Struct, frozen=True):
    """A calibration example that would have been served; ``said`` is not the reference's answer."""

    call_id: str
    signal: float
    said: Answer


class Evidence:
    """What the certificates of one store rest on. The points have no texts and stay; a mistake
    goes with its call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(
        self,
        conn: Connection,
        certificate: str,
        points: Calibration,
        wrong: tuple[Mistake, ...] = (),
    ) -> None:
        """Add what a new certificate rests on."""
        row = {"certificate": certificate, "points": pack(_encode(points))}
        conn.execute(calibrations.insert(), row)
        if wrong:
            rows = [
                asdict(one)
                | {
                    "certificate": certificate,
                    "said": pack(_encode(replace(one.said, body=b""))),
                }
                for one in {one.call_id: one for one in wrong}.values()
            ]
            conn.execute(mistakes.insert(), rows)

    def points(self, certificate: str) -> Calibration | None:
        """The points of a certificate; None for one issued before points were kept.

        Raises:
            StoreDamaged: what is stored are none.
        """
        query = select(calibrations.c.points).where(calibrations.c.certificate == certificate)
        with self._database.read() as conn:
            column = conn.execute(query).scalar()
        if column is None:
            return None
        try:
            return _decode(unpack(column))
        except msgspec.DecodeError as error:
            raise StoreDamaged(f"the points of {certificate} cannot be read ({error})") from error

    def mistakes(self, certificate: str) -> list[Mistake]:
        """The mistakes of a certificate whose calls are still kept, the surest first."""
        query = select(mistakes).where(mistakes.c.certificate == certificate)
        with self._database.read() as conn:
            rows = conn.execute(query.order_by(mistakes.c.signal.desc())).all()
        return [Mistake(row.call_id, row.signal, unpack_answer(row.said)) for row in rows]
