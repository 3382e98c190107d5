"""Decide which addresses may be connected to, for hosts that a server has named; pure functions."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

MayConnect = Callable[[str, int, str], bool]
"""Whether a connection to a host and port may go to an address."""

# Not public according to IANA's registries, which versions of Python know in part.
_SPECIAL: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_6TO4: Final = IPv6Network("2002::/16")


class AddressRefusedError(Exception):
    """A host has no address that may be connected to.

    Attributes:
        addresses: What it resolves to.
    """

    def __init__(self, host: str, addresses: list[str]) -> None:
        super().__init__(f"{host[:80]!r} resolves to {', '.join(addresses[:3])[:100]}, which is not public")
        self.addresses = addresses


def is_public(address: str) -> bool:
    """Whether an address is a public unicast address.

    Loopback, private, link-local, shared (CGNAT), multicast, unspecified and reserved addresses are not, nor are IPv6
    addresses that embed such an IPv4 address.

    Raises:
        ValueError: It is not an IP address.
    """
    parsed = ip_address(address.partition("%")[0])
    if any(parsed in network for network in _SPECIAL):
        return False
    if isinstance(parsed, IPv6Address):
        embedded = _embedded(parsed)
        if embedded is None:
            return parsed in _GLOBAL_UNICAST and parsed.is_global and not parsed.is_multicast
        return is_public(str(embedded))
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address embeds, or None."""
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv4Address((int(address) >> 80) & 0xFFFFFFFF) if address in _6TO4 else None
