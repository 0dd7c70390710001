"""How the office, by hand or by DHCP, has set up a network interface of this PC."""

import fcntl
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from agent.probes.nic_files import (
    Lease,
    Route,
    read_ipv6_addresses,
    read_lease,
    read_nameservers,
    read_neighbour,
    read_text,
)

SIOCGIFADDR, SIOCGIFNETMASK = 0x8915, 0x891B
IFREQ_ADDRESS = slice(20, 24)
STUBS = {"127.0.0.53", "127.0.0.54"}  # systemd-resolved on this PC, not who it asks
LEASES = (
    "run/systemd/netif/leases/{index}",
    "var/lib/NetworkManager/*-{name}.lease",
    "var/lib/dhcp/dhclient.{name}.leases",
    "var/lib/dhcp/dhclient.leases",
    "var/lib/dhcpcd/{name}*.lease",
)


def nameservers_of(root: Path) -> list[str]:
    """Return whom this PC asks for names; behind systemd-resolved those that it asks in turn."""
    servers = read_nameservers(read_text(root / "etc/resolv.conf"))
    if servers and STUBS.issuperset(servers):
        real = read_nameservers(read_text(root / "run/systemd/resolve/resolv.conf"))
        return real or servers
    return servers


def read_setup(root: Path, name: str, routes: list[Route]) -> Iterator[tuple[str, str]]:
    """Yield facts about an interface; what cannot be read is left out."""
    proc = root / "proc/net"
    addresses = [
        *_ipv4_address(name),
        *read_ipv6_addresses(read_text(proc / "if_inet6"), name),
    ]
    if addresses:
        yield "addresses", ", ".join(addresses)
    gateways = [route.gateway for route in routes if route.interface == name and route.gateway]
    if gateways:
        yield "gateways", ", ".join(gateways)
        known = read_neighbour(read_text(proc / "arp"), gateways[0], name)
        if known:  # another one tomorrow is another router, or somebody who plays it
            yield "gateway_mac", known
    lease = _lease(root, name)
    if lease.server:
        yield "dhcp_server", lease.server
    if lease.seconds:
        yield "dhcp_lease_seconds", lease.seconds


def _ipv4_address(name: str) -> Iterator[str]:
    """Yield the interface's first IPv4 address; no file tells of it."""
    request = struct.pack("16s16x", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            address = fcntl.ioctl(sock, SIOCGIFADDR, request)[IFREQ_ADDRESS]
            mask = fcntl.ioctl(sock, SIOCGIFNETMASK, request)[IFREQ_ADDRESS]
        except OSError:  # it has none
            return
    yield f"{socket.inet_ntoa(address)}/{int.from_bytes(mask, 'big').bit_count()}"


def _lease(root: Path, name: str) -> Lease:
    """Return what the newest lease file says that may be read: some DHCP clients guard theirs."""
    index = read_text(root / "sys/class/net" / name / "ifindex").strip()
    newest, found = 0.0, Lease()
    for pattern in LEASES:
        for file in root.glob(pattern.format(name=name, index=index)):
            try:
                written, data = file.stat().st_mtime, file.read_bytes()
            except OSError:
                continue
            lease = read_lease(data, name)
            if lease != Lease() and written > newest:
                newest, found = written, lease
    return found
