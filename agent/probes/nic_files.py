"""Linux's files about routes, neighbours, resolvers and DHCP leases: texts in, values out."""

import re
import socket
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

UP, REJECT = 0x1, 0x200
ARP_COMPLETE = 0x2
LINK_LOCAL = 0x20
SERVER_IDENTIFIER, LEASE_TIME = 54, 51  # RFC 2132
OPTIONS_AT = 240
COOKIE = bytes([99, 130, 83, 99])


class Route(NamedTuple):
    """One default route."""

    metric: int
    interface: str
    gateway: str
    """"" where the other end of a line is the gateway (PPP, mobile)."""


class Lease(NamedTuple):
    """What a DHCP client has written down; "" where it has not."""

    server: str = ""
    seconds: str = ""


def read_routes(ipv4: str, ipv6: str) -> list[Route]:
    """Return the default routes of /proc/net/route and ipv6_route, the one in use first.

    An IPv4 one is before any IPv6 one: the systems of the office are reached over IPv4.
    """
    found: list[tuple[int, Route]] = []
    for row in (line.split() for line in ipv4.splitlines()[1:]):
        if len(row) >= 8 and _is_default(row[1], row[7], int(row[3], 16)):
            number = int.from_bytes(bytes.fromhex(row[2]), sys.byteorder)
            gateway = str(IPv4Address(number)) if number else ""
            found.append((4, Route(int(row[6]), row[0], gateway)))
    for row in (line.split() for line in ipv6.splitlines()):
        if len(row) >= 10 and _is_default(row[0], row[1], int(row[8], 16)) and row[9] != "lo":
            address = IPv6Address(bytes.fromhex(row[4]))
            gateway = "" if address.is_unspecified else str(address)
            found.append((6, Route(int(row[5], 16), row[9], gateway)))
    return [route for _, route in sorted(found)]


def _is_default(destination: str, mask: str, flags: int) -> bool:
    return not int(destination, 16) and not int(mask, 16) and flags & (UP | REJECT) == UP


def read_neighbour(arp: str, address: str, interface: str) -> str:
    """Return the hardware address of a neighbour by /proc/net/arp; "" while it is not known."""
    for row in (line.split() for line in arp.splitlines()[1:]):
        if len(row) >= 6 and (row[0], row[5]) == (address, interface):
            return row[3] if int(row[2], 16) & ARP_COMPLETE else ""
    return ""


def read_ipv6_addresses(if_inet6: str, interface: str) -> list[str]:
    """Return an interface's addresses by /proc/net/if_inet6, as `address/prefix`; no link-local."""
    rows = [line.split() for line in if_inet6.splitlines()]
    return [
        f"{IPv6Address(bytes.fromhex(row[0]))}/{int(row[2], 16)}"
        for row in rows
        if len(row) >= 6 and row[5] == interface and int(row[3], 16) != LINK_LOCAL
    ]


def read_nameservers(resolv_conf: str) -> list[str]:
    """Return the resolvers of a resolv.conf(5), in its order."""
    rows = [line.split() for line in resolv_conf.splitlines()]
    return [row[1] for row in rows if row[:1] == ["nameserver"] and len(row) > 1]


def read_lease(data: bytes, interface: str) -> Lease:
    """Return what a lease file says; an empty Lease where it cannot be understood.

    systemd-networkd and NetworkManager write KEY=VALUE, dhclient blocks of which the last of the
    interface counts, dhcpcd the server's message itself (RFC 2131).
    """
    if data[OPTIONS_AT - 4 : OPTIONS_AT] == COOKIE:
        return _read_message(data[OPTIONS_AT:])
    text = data.decode("utf-8", "replace")
    pairs = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    if pairs:
        return Lease(pairs.get("SERVER_ADDRESS", ""), pairs.get("LIFETIME", ""))
    blocks = re.findall(r"^lease \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    ours = [block for block in blocks if f'interface "{interface}"' in block]
    options = (
        dict(re.findall(r"^\s*option ([\w-]+) (.*?);", ours[-1], re.MULTILINE)) if ours else {}
    )
    return Lease(options.get("dhcp-server-identifier", ""), options.get("dhcp-lease-time", ""))


def _read_message(options: bytes) -> Lease:
    found: dict[int, bytes] = {}
    while options and options[0] != 255:
        if options[0] == 0:  # padding has no length
            options = options[1:]
            continue
        length = options[1] if len(options) > 1 else 0
        found[options[0]] = options[2 : 2 + length]
        options = options[2 + length :]
    server, seconds = found.get(SERVER_IDENTIFIER, b""), found.get(LEASE_TIME, b"")
    return Lease(
        socket.inet_ntoa(server) if len(server) == 4 else "",
        str(int.from_bytes(seconds, "big")) if len(seconds) == 4 else "",
    )


def read_text(file: Path) -> str:
    """Return a file's text; "" where it cannot be read."""
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
