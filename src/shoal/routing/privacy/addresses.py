"""IP addresses, versions 4 and 6, that may lead to somebody."""

import ipaddress
import re
from collections.abc import Iterator

from shoal.routing.privacy.kinds import Finding

_V4 = re.compile(
    r"[0-9](?<![\w.][0-9])[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?!\w|[.-][A-Za-z_]|\.[0-9])"
)
_V6 = re.compile(
    r"[23fF](?<![\w:.][23fF])[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}"
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:])"
)
_MAPPED = re.compile(r"::[fF]{4}:(?<![\w:]::....:)(?=[0-9])")
_VERSION = re.compile(
    r"(?:version|release|build|firmware|ver|rev|v)\.?['\"]?\s{0,2}[:=]?\s{0,2}['\"]?\Z|"
    r"[=<>~!^]=\s?\Z|[~^]\Z|[A-Za-z][/-]\Z",
    re.IGNORECASE,
)
_BEFORE = 16  # characters looked back at for a word that says "version"
_NOBODY = tuple(
    ipaddress.ip_network(network) for network in ("0.0.0.0/8", "127.0.0.0/8", "255.255.255.255/32")
)


def addresses(text: str) -> Iterator[Finding]:
    """Addresses that are no version number and not this machine itself (loopback, unspecified)."""
    if text.count(".") >= 3:
        for match in _V4.finditer(text):
            if _is_v4(match[0]) and not _is_version(text, match.start()):
                mapped = _MAPPED.match(text, match.start() - 7) if match.start() >= 7 else None
                yield Finding("ip", mapped.start() if mapped else match.start(), match.end())
    if text.count(":") >= 2:
        for match in _V6.finditer(text):
            found = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
            if _is_v6(found):
                yield Finding("ip", match.start(), match.start() + len(found))


def _is_v4(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not any(address in network for network in _NOBODY)


def _is_v6(text: str) -> bool:
    """Addresses in use begin with 2, 3 (global) or f (local); C++ and Rust names rarely do."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(character.isdigit() for character in text)


def _is_version(text: str, start: int) -> bool:
    return _VERSION.search(text[max(0, start - _BEFORE) : start]) is not None
