"""The validation part: examples of the training part that only say when to stop.

It is never the calibration part: what calibrates is kept away from all of this.
"""

import hashlib
from collections.abc import Sequence

FEW = 2_000  # below, every example trains, for a number of epochs fixed beforehand
_MOST = 1_500  # no more validate than that


def validation_rows(texts: Sequence[str], one_in: int = 20, few: int = FEW) -> list[int]:
    """Row numbers of about one in so many of n texts, drawn by text: equal texts are on one side.
    None of fewer than ``few``."""
    if len(texts) < few:
        return []
    drawn = [row for row, text in enumerate(texts) if _number(text) % one_in == 0]
    return drawn[:_MOST]


def _number(text: str) -> int:
    # Its own salt: the flywheel draws calibration examples by the digest of the bare text.
    content = b"validation\0" + text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
