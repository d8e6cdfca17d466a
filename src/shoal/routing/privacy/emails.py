"""E-mail addresses."""

import re
from collections.abc import Iterator

from shoal.routing.privacy.kinds import Finding

_DOMAIN = re.compile(r"@((?:\w[\w-]{0,62}\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59}))(?![\w@-])")
_LOCAL_BACKWARDS = re.compile(r"[\w.+%'~&-]{1,64}")
_REMOTE = re.compile(r":[~/A-Za-z]")  # git@host.example:project, which nobody writes to
_BEFORE = 200  # characters looked back at for the scheme of a URL


def emails(text: str) -> Iterator[Finding]:
    """Every address whose domain has a dot and a top level of letters.

    Reading backwards from the "@" keeps this linear in texts without blanks.
    """
    if "@" not in text:
        return
    for match in _DOMAIN.finditer(text):
        at = match.start()
        local = _LOCAL_BACKWARDS.match(text[max(0, at - 64) : at][::-1])
        if local is None:
            continue
        start = at - len(local[0].rstrip("'.-&~%"))
        if start < at and text[at - 1] != "." and not _is_login(text, start, match.end()):
            yield Finding("email", start, match.end())


def _is_login(text: str, start: int, end: int) -> bool:
    """Whether it is the login of a URL or of a remote repository."""
    if _REMOTE.match(text, end):
        return True
    if text[start - 1 : start] not in ("/", ":"):
        return False
    words = text[max(0, start - _BEFORE) : start].split()
    return "://" in words[-1]
