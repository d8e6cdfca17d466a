"""Keys: how they are made, and the ring in memory that they are checked against.

A key is 256 random bits, so what is stored of it is one SHA-256: nobody can guess their way back
from that, and a slow hash, which is for passwords that people choose, would only slow down every
call. Looking up the digest of what was sent tells nothing by its timing, because one cannot choose
the first bytes of a digest.
"""

import re
import secrets
from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

from shoal.errors import InvalidKey, StoreDamaged
from shoal.routing.caller import Caller, KeySpec
from shoal.storage import KeyRow

PREFIX = "sk-shoal-"
_BYTES = 32
_ID_BYTES = 6
_ID = re.compile(rf"key-[0-9a-f]{{{2 * _ID_BYTES}}}")
_LONGEST = 200  # characters of what is sent that are looked at

_decode = msgspec.json.Decoder(KeySpec).decode
_HOW = "send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"


class NewKey(Struct, frozen=True):
    """A key as it is shown once, and the row of it that is kept."""

    key: str
    row: KeyRow


class _Held(Struct, frozen=True):
    caller: Caller
    expires_at: float
    revoked: bool


def new_secret() -> str:
    """A key: ``sk-shoal-`` and 43 characters that are safe in URLs, 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(key: str) -> bytes:
    """What is stored of a key."""
    return sha256(key.encode(errors="replace")).digest()


def hint_of(key: str) -> str:
    """What is shown of a key, for people to tell theirs by."""
    return key[-4:]


def is_key_id(text: str) -> bool:
    """Whether a key could have that id.

    >>> is_key_id("key-0123456789ab"), is_key_id("key-1")
    (True, False)
    """
    return _ID.fullmatch(text) is not None


def new_key(name: str, spec: KeySpec, now: float, expires_at: float | None = None) -> NewKey:
    """A key of that name; times are unix seconds."""
    key = new_secret()
    row = KeyRow(
        id=f"key-{secrets.token_hex(_ID_BYTES)}",
        name=name,
        digest=digest_of(key),
        hint=hint_of(key),
        spec=msgspec.json.encode(spec),
        created_at=now,
        expires_at=expires_at,
    )
    return NewKey(key, row)


def spec_of(row: KeyRow) -> KeySpec:
    """What a stored key may do.

    Raises:
        StoreDamaged: what is stored cannot be read.
    """
    try:
        return _decode(row.spec)
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"the key {row.name!r} cannot be read ({error})") from error


class KeyRing:
    """The keys as of one revision of the store; it never changes, a new one is made instead."""

    def __init__(self, rows: Iterable[KeyRow] = (), revision: int = -1) -> None:
        self.revision = revision
        self._held = {row.digest: _held(row) for row in rows}

    def __len__(self) -> int:
        """How many keys were ever made, those included that are expired or revoked: once there is
        one, nobody gets in without."""
        return len(self._held)

    def find(self, key: str, now: float) -> Caller:
        """Whose key it is; ``now`` is unix seconds.

        Raises:
            InvalidKey: nobody's, or one that is expired or revoked. The message does not hold it.
        """
        if not key:
            raise InvalidKey(f"this gateway needs a key: {_HOW}")
        held = self._held.get(digest_of(key[:_LONGEST]))
        if held is None:
            raise InvalidKey(f"no such key: {_HOW}, whole and as it was shown")
        if held.revoked:
            raise InvalidKey(f"the key {held.caller.name!r} is revoked")
        if now >= held.expires_at:
            raise InvalidKey(f"the key {held.caller.name!r} has expired")
        return held.caller


def _held(row: KeyRow) -> _Held:
    caller = Caller(key=row.id, name=row.name, spec=spec_of(row))
    expires_at = float("inf") if row.expires_at is None else row.expires_at
    return _Held(caller, expires_at, row.revoked_at is not None)
