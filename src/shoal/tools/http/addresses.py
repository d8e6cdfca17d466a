"""Which network addresses a tool may connect to: public ones, and those that the operator names.

They are checked where a connection is made, on what a name resolved to: a name that resolves to one
address when it is looked at and to another when it is used gains nothing.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from shoal.tools.http.reach import Network

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

REFUSED = "leads to an address that is not public"

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class NotPublic(OSError):
    """The address is private, and nobody has permitted it."""

    def __init__(self) -> None:
        super().__init__(REFUSED)


def may_reach(address: str, permitted: Sequence[Network]) -> bool:
    """Whether a tool may connect to an address, as text. Those that stand for an IPv4 address are
    judged as that one."""
    try:
        found = _meant(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(found in network for network in permitted):
        return True
    return found.is_global and not found.is_multicast and not found.is_reserved


def _meant(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


class PublicResolver(AbstractResolver):
    """Resolves names as the system does, to addresses that may be reached."""

    def __init__(self, permitted: Sequence[Network], inner: AbstractResolver | None = None) -> None:
        self._permitted = permitted
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises ``NotPublic`` where none of the addresses may be reached."""
        found = await self._inner.resolve(host, port, family)
        good = [each for each in found if may_reach(each["host"], self._permitted)]
        if not good:
            raise NotPublic
        return good

    async def close(self) -> None:
        """There is nothing to let go of but the inner one's."""
        await self._inner.close()


def public_sockets(permitted: Sequence[Network]) -> Callable[[Any], socket.socket]:
    """Makes the sockets of connections: those to addresses that were never resolved, as they stood
    in the URL, are caught here."""

    def made(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_reach(str(address[0]), permitted):
            raise NotPublic
        return socket.socket(family, kind, protocol)

    return made
