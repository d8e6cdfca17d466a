"""Names of tools that come from elsewhere, made such that models can call them."""

import re
from hashlib import sha256

_MOST = 64  # characters of a function tool's name, as models are told of it
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def tool_name(place: str, own: str) -> str:
    """The name under which a model may call what ``place`` calls ``own``. One that had to be
    changed ends in a digest of its own, so that no other tool can ever come by the same name.

    >>> tool_name("files", "read_file"), tool_name("files", "read.file")
    ('files__read_file', 'files__read_file_dd32cdf5')
    """
    plain = f"{place}__{_ODD.sub('_', own)}"
    if len(plain) <= _MOST and not _ODD.search(own):
        return plain
    mark = sha256(own.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: _MOST - 9]}_{mark}"
