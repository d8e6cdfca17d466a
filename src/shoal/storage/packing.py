"""JSON bytes as they lie in a column: as they are, or deflated where that is clearly smaller.

No JSON text begins with ``x`` and every zlib stream of the default window does, so a column needs
no flag to say which it is.
"""

import zlib

from shoal.errors import StoreDamaged

_WORTH_TRYING = 512  # bytes; shorter texts shrink too little to pay for the CPU
_LEVEL = 1  # measured on prompts, code and receipts: 2 to 12 % longer than by level 6


def pack(text: bytes) -> bytes:
    """``text`` for a column, at most as long as it came."""
    if len(text) < _WORTH_TRYING:
        return text
    packed = zlib.compress(text, _LEVEL)
    return packed if len(packed) < len(text) else text


def unpack(column: bytes) -> bytes:
    """The text that ``pack`` was given.

    Raises:
        StoreDamaged: the column holds a broken stream.
    """
    if column[:1] != b"x":
        return column
    try:
        return zlib.decompress(column)
    except zlib.error as error:
        raise StoreDamaged(
            f"a stored text cannot be inflated ({error}); it was left as it is"
        ) from error
