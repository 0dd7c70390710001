"""Three namespaces for the ICMP probe: a site, its router, and what lies behind. Needs root."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.namespaces import inside, ip, namespaces, nft, sysctl

CAP_NET_RAW = 13
libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespaces:
    """`site` is 10.7.1.2 and 2001:db8:1::2, its router .1; beyond it 10.7.2.0/24 and :2::/64.

    From the router on: 10.7.3.9 is unreachable, 10.7.4.9 prohibited, 10.7.5.9 swallowed and the way
    to 10.7.6.9 a circle; 2001:db8:3::9 to :6::9 likewise. 10.7.2.2 and 2001:db8:2::2 answer.
    """

    site: str
    router: str
    far: str


@contextmanager
def three() -> Iterator[Namespaces]:
    """Make the three namespaces; they vanish with all that is in them."""
    with namespaces("site", "router", "far") as every:
        names = Namespaces(*every)
        for name in every:
            with inside(name):
                sysctl("ipv4/ip_forward", "1")
                sysctl("ipv6/conf/all/forwarding", "1")
        ip(
            f"link add wan netns {names.site} type veth peer name lan netns {names.router}\n"
            f"link add wan netns {names.router} type veth peer name lan netns {names.far}\n"
        )
        _addresses(names)
        yield names


def _addresses(names: Namespaces) -> None:
    ip(
        "link set wan up\n"
        "addr add 10.7.1.2/24 dev wan\naddr add 2001:db8:1::2/64 dev wan nodad\n"
        "route add default via 10.7.1.1\nroute add default via 2001:db8:1::1\n",
        names.site,
    )
    ip(
        "link set lan up\nlink set wan up\n"
        "addr add 10.7.1.1/24 dev lan\naddr add 2001:db8:1::1/64 dev lan nodad\n"
        "addr add 10.7.2.1/24 dev wan\naddr add 2001:db8:2::1/64 dev wan nodad\n"
        "route add default via 10.7.2.2\nroute add default via 2001:db8:2::2\n",
        names.router,
    )
    ip(
        "link set lan up\n"
        "addr add 10.7.2.2/24 dev lan\naddr add 2001:db8:2::2/64 dev lan nodad\n"
        "route add default via 10.7.2.1\nroute add default via 2001:db8:2::1\n",
        names.far,
    )
    nft(  # routes of these kinds would do, but their errors are limited to one a second
        "table inet r {\n chain c {\n type filter hook forward priority 0\n"
        "ip daddr 10.7.3.9 reject with icmp type host-unreachable\n"
        "ip daddr 10.7.4.9 reject with icmp type admin-prohibited\n"
        "ip daddr 10.7.5.9 drop\n"
        "ip6 daddr 2001:db8:3::9 reject with icmpv6 type addr-unreachable\n"
        "ip6 daddr 2001:db8:4::9 reject with icmpv6 type admin-prohibited\n"
        "ip6 daddr 2001:db8:5::9 drop\n }\n}\n",
        names.router,
    )


@contextmanager
def masquerade(names: Namespaces, how: str = "") -> Iterator[None]:
    """Let the router show 10.7.2.1 for whoever is behind it; "fully-random" varies the ports."""
    nft(
        "table ip nat {\n chain c {\n type nat hook postrouting priority 100\n"
        f' oifname "wan" masquerade {how}\n }}\n}}\n',
        names.router,
    )
    try:
        yield
    finally:
        nft("delete table ip nat\n", names.router)


@contextmanager
def without_net_raw() -> Iterator[None]:
    """Take CAP_NET_RAW from this thread for a while (capset(2), version 3)."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    had = ctypes.create_string_buffer(24)
    libc.capget(header, had)
    effective, *others = struct.unpack("=6I", had.raw)
    less = struct.pack("=6I", effective & ~(1 << CAP_NET_RAW), *others)
    libc.capset(header, ctypes.create_string_buffer(less))
    try:
        yield
    finally:
        libc.capset(header, had)


class Responder:
    """Answers pings in place of a namespace's kernel, as a test says; IPv4."""

    def __init__(
        self, namespace: str, act: Callable[[int, bytes], list[tuple[float, bytes]]]
    ) -> None:
        """`act` gets the number of the request and its data; returns (delay, data) per answer."""
        self._act = act
        self._seen = 0
        with inside(namespace):
            sysctl("ipv4/icmp_echo_ignore_all", "1")
            self._sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._namespace = namespace
        self._sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._answer)

    def _answer(self) -> None:
        packet, sender = self._sock.recvfrom(2048)
        message = packet[(packet[0] & 15) * 4 :]
        if message[0] != 8:
            return
        number, self._seen = self._seen, self._seen + 1
        for delay, data in self._act(number, message[8:]):
            reply = b"\0\0\0\0" + message[4:8] + data
            reply = reply[:2] + checksum(reply) + reply[4:]
            self._loop.call_later(delay, self._sock.sendto, reply, sender)

    def close(self) -> None:
        """Leave the answering to the kernel again."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        with inside(self._namespace):
            sysctl("ipv4/icmp_echo_ignore_all", "0")


def checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
