"""Visitors: from which address a request really comes, and whether it may look."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from collector.config import CollectorConfig, Network

Address = IPv4Address | IPv6Address
VISITOR = web.RequestKey("visitor", str)
"""A request's: the address it was let in by."""


def address_of(
    peer: str | None, forwarded: Sequence[str], config: CollectorConfig
) -> Address | None:
    """Return the address behind a request; None where it cannot be known.

    Only what a proxy of collector.yml itself added last to X-Forwarded-For is believed: everything
    before it came from outside. A proxy that adds nothing leaves the visitor unknown, and unknown
    visitors may come nowhere: else the proxy's own loopback address would let in everybody.
    """
    address = _parse(peer or "")
    if address is None or not may_come(address, config.proxies):
        return address
    return _parse(",".join(forwarded).rpartition(",")[2].strip())


def may_come(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return address is not None and any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address  # ::ffff:10.0.0.5 is how a socket for both families says 10.0.0.5
