"""The address of an endpoint, as ``shoal.toml`` may state it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from yarl import URL


def checked_address(value: str, like: str, instead: str, added: Sequence[str]) -> str:
    """An http address, without a slash at its end.

    ``like`` is an example, ``instead`` what to do with a key that is written into it, and ``added``
    are the paths that Shoal adds.

    Raises:
        ValueError: it is none, or holds more than it should.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an http or https address, like {like}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"holds a name or a key; {instead}")
    if parts.query or parts.fragment:
        raise ValueError("must not hold '?' or '#'")
    for path in added:
        if parts.path.rstrip("/").endswith(path):
            raise ValueError(f"leave '{path}' out, Shoal adds it")
    try:
        URL(value)
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from None
    return value.rstrip("/")
