"""Headers of a caller that an upstream of the same wire format is to see: an explicit list.

Nothing else that a caller sends in headers ever goes on. Keys, organisations, projects, workspaces
and cookies are of the caller's own account; Shoal asks with its own key.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from shoal.chat import Request
from shoal.errors import MalformedRequest

_LONGEST = 4_096  # characters of a value: ten times what all betas of an agent take


def with_headers(
    request: Request, names: Sequence[str], sent: Iterable[tuple[bytes, bytes]]
) -> Request:
    """The request with those of the headers ``sent`` (lower-case names) that are among ``names``.

    Values of a header that came several times are joined by commas, which means the same (RFC 9110,
    section 5.3).

    Raises:
        MalformedRequest: a value holds more than printable ASCII, or is absurdly long.
    """
    found: dict[str, list[str]] = {}
    for name, value in sent:
        known = name.decode("latin-1")
        if known in names:
            found.setdefault(known, []).append(value.decode("latin-1").strip(" \t"))
    headers = [(name, _checked(name, ",".join(filter(None, found[name])))) for name in found]
    carried = tuple(sorted(header for header in headers if header[1]))
    return replace(request, headers=carried) if carried else request


def _checked(name: str, value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise MalformedRequest(f"{name}: expected printable ASCII characters only", name)
    if len(value) > _LONGEST:
        raise MalformedRequest(
            f"{name}: {len(value):,} characters, at most {_LONGEST:,} are passed on", name
        )
    return value
