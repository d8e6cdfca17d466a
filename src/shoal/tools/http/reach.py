"""How far tools over HTTP reach, as settings say it: known without what speaks HTTP."""

from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

from msgspec import Struct

Network: TypeAlias = IPv4Network | IPv6Network


class Reach(Struct, frozen=True, kw_only=True):
    """How far a tool reaches: the ``hosts`` it may go to ("api.example.com", or with a port), and
    the networks ``permitted`` though they are not public. ``secrets`` maps headers to the
    environment variables that hold their values."""

    hosts: tuple[str, ...]
    permitted: tuple[Network, ...] = ()
    secrets: dict[str, str] = {}
    reply_bytes: int = 1_000_000
    timeout_s: float = 30.0
    repeatable: bool = False
