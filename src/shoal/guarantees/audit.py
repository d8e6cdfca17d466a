"""Which served calls are audited: a draw that the answer cannot influence.

The draw hashes the call's id with a secret key and nothing else. The id is fixed before anybody
answers, so the audited calls are a fair sample of what was served; every process that holds the
secret draws alike, so a draw can be repeated and checked later; and a caller, who does not hold it,
cannot tell which of its calls will be looked at.

This module does not know what an answer is, on purpose.
"""

import hashlib

_PERSON = b"shoal audit"  # keeps this use of the secret apart from any other (BLAKE2, RFC 7693)
_BITS = 64


def draw(call_id: str, rate: float, secret: bytes) -> bool:
    """Whether the call is audited; true for a share ``rate`` of all ids.

    A call that is audited at some rate is audited at every higher one.

    Args:
        call_id: the id the call was given before it was answered.
        rate: share of calls to audit, from 0 (none) to 1 (all).
        secret: 16 to 64 bytes that callers do not know.

    Raises:
        ValueError: ``rate`` outside [0, 1], or a secret of another length.
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"the audit rate must lie between 0 and 1, got {rate!r}")
    if not 16 <= len(secret) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ValueError(f"the audit secret must have 16 to 64 bytes, got {len(secret)}")
    digest = hashlib.blake2b(
        call_id.encode(), digest_size=_BITS // 8, key=secret, person=_PERSON
    ).digest()
    return int.from_bytes(digest) < rate * 2.0**_BITS
