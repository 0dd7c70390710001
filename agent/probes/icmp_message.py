"""ICMP messages as sockets hand them over: bytes in, replies and refusals out."""

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from icmplib import ICMPError, ICMPReply

from agent.wire import Failure

SO_TIMESTAMPNS = 64  # the variant with 64-bit seconds on every machine; Linux 5.1
TIMESPEC = struct.Struct("=qq")
EXTENDED_ERR = struct.Struct(
    "=IBBBBII"
)  # struct sock_extended_err; the offender's sockaddr follows
ORIGIN_ICMP = {2, 3}  # SO_EE_ORIGIN_ICMP, _ICMP6: not an error of this machine
HEADER_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What differs between the two IP versions."""

    number: int
    family: int
    level: int
    receive_hops: int
    """Socket option: IP_RECVTTL, IPV6_RECVHOPLIMIT."""
    hops: int
    """Ancillary message: IP_TTL, IPV6_HOPLIMIT."""
    receive_errors: int
    """Both option and message: IP_RECVERR, IPV6_RECVERR."""
    discover_mtu: int
    """Socket option: IP_MTU_DISCOVER, IPV6_MTU_DISCOVER."""
    protocol: int
    request: int
    reply: int
    unreachable: int
    exceeded: int
    too_big: tuple[int, int]
    """Type and code of a router's word that a packet does not fit its next link."""
    mtu_at: int
    """Of that link's MTU within the message, up to byte 8."""
    ip_header_bytes: int
    """Of the IP header an error quotes: our requests have no options."""
    protocol_at: int
    destination_at: int
    offender_at: int
    """Of the address within EXTENDED_ERR and sockaddr."""
    address_bytes: int


V4 = Version(
    number=4,
    family=socket.AF_INET,
    level=socket.IPPROTO_IP,
    receive_hops=12,
    hops=2,
    receive_errors=11,
    discover_mtu=10,
    protocol=socket.IPPROTO_ICMP,
    request=8,
    reply=0,
    unreachable=3,
    exceeded=11,
    too_big=(3, 4),
    mtu_at=6,
    ip_header_bytes=20,
    protocol_at=9,
    destination_at=16,
    offender_at=20,
    address_bytes=4,
)
V6 = Version(
    number=6,
    family=socket.AF_INET6,
    level=socket.IPPROTO_IPV6,
    receive_hops=51,
    hops=52,
    receive_errors=25,
    discover_mtu=23,
    protocol=socket.IPPROTO_ICMPV6,
    request=128,
    reply=129,
    unreachable=1,
    exceeded=3,
    too_big=(2, 0),
    mtu_at=4,
    ip_header_bytes=40,
    protocol_at=6,
    destination_at=24,
    offender_at=24,
    address_bytes=16,
)

_NETWORK, _HOST = Failure.NETWORK_UNREACHABLE, Failure.HOST_UNREACHABLE
# (IP version, type, code) of RFC 792, 1122, 1812 and 4443. What is not here says nothing about the
# target.
FAILURES = {
    **{(4, 3, code): _NETWORK for code in (0, 6, 11)},
    **{(4, 3, code): _HOST for code in (1, 5, 7, 8, 12)},
    **{(4, 3, code): Failure.REFUSED for code in (2, 3)},
    **{(4, 3, code): Failure.PROHIBITED for code in (9, 10, 13, 14, 15)},
    (4, 11, 0): Failure.TTL_EXCEEDED,
    **{(6, 1, code): _NETWORK for code in (0, 2, 6)},
    (6, 1, 3): _HOST,
    (6, 1, 4): Failure.REFUSED,
    **{(6, 1, code): Failure.PROHIBITED for code in (1, 5)},
    (6, 3, 0): Failure.TTL_EXCEEDED,
}


class Reply(NamedTuple):
    """An echo reply as it came in; whose it is has not been looked at."""

    sequence: int
    payload: bytes
    hop_limit: int | None = None
    stamp: float | None = None
    """CLOCK_REALTIME seconds at which the kernel took the packet in."""


class Refusal(NamedTuple):
    """The word of a router or host that an echo request got no further."""

    sequence: int
    payload: bytes
    """As much of the request's as is quoted, maybe nothing."""
    destination: str
    failure: Failure
    detail: str
    router: str
    """Who said so."""


class TooBig(NamedTuple):
    """The word of a router that an echo request was too large for its next link."""

    sequence: int
    payload: bytes
    """As much of the request's as is quoted, maybe nothing."""
    destination: str
    router: str
    mtu_bytes: int
    """Of that link; 0 from routers that do not tell."""


Message = Reply | Refusal | TooBig


def read_message(version: Version, data: bytes, extras: list[Any], sender: str) -> Message | None:
    """Read an ICMP message, from its type on; None if it is of no use."""
    if len(data) < HEADER_BYTES:
        return None
    if data[0] == version.reply:
        hop_limit, stamp = _hop_limit_and_stamp(version, extras)
        return Reply(_sequence(data), data[HEADER_BYTES:], hop_limit, stamp)
    if data[0] not in {version.unreachable, version.exceeded, version.too_big[0]}:
        return None
    quoted = data[HEADER_BYTES:]
    if len(quoted) < version.ip_header_bytes or quoted[version.protocol_at] != version.protocol:
        return None
    destination = _address(version, quoted, version.destination_at)
    mtu_bytes = int.from_bytes(data[version.mtu_at : HEADER_BYTES], "big")
    echo = quoted[version.ip_header_bytes :]
    return _error(version, echo, destination, (sender, data[0], data[1], mtu_bytes))


def read_queued_error(
    version: Version, data: bytes, extras: list[Any], destination: str
) -> Refusal | TooBig | None:
    """Read an entry of a datagram socket's error queue: our own request, and what became of it."""
    error = read_queued_icmp(version, extras)
    return None if error is None else _error(version, data, destination, error)


def read_queued_icmp(version: Version, extras: list[Any]) -> tuple[str, int, int, int] | None:
    """Return what an entry of any socket's queue tells of an ICMP error: sender, type, code, MTU.

    None where it is an error of this machine. The MTU counts where the type is `too_big`.
    """
    for level, kind, value in extras:
        if (level, kind) == (version.level, version.receive_errors):
            _, origin, icmp_type, code, _, mtu_bytes, _ = EXTENDED_ERR.unpack_from(value)
            if origin in ORIGIN_ICMP:
                router = _address(version, value, version.offender_at)
                return router, icmp_type, code, mtu_bytes
    return None


def _error(
    version: Version, echo: bytes, destination: str, error: tuple[str, int, int, int]
) -> Refusal | TooBig | None:
    router, icmp_type, code, mtu_bytes = error
    if len(echo) < HEADER_BYTES or echo[0] != version.request:
        return None
    if (icmp_type, code) == version.too_big:
        return TooBig(_sequence(echo), echo[HEADER_BYTES:], destination, router, mtu_bytes)
    failure = FAILURES.get((version.number, icmp_type, code))
    if failure is None:
        return None
    named = ICMPReply(
        source=router,
        family=version.number,
        id=0,
        sequence=_sequence(echo),
        type=icmp_type,
        code=code,
        bytes_received=len(echo),
        time=0.0,
    )
    try:
        named.raise_for_status()
    except ICMPError as exc:
        detail = f"{router}: {exc}"
        return Refusal(_sequence(echo), echo[HEADER_BYTES:], destination, failure, detail, router)
    return None


def _sequence(data: bytes) -> int:
    return int.from_bytes(data[6:8], "big")


def _address(version: Version, data: bytes, at: int) -> str:
    return socket.inet_ntop(version.family, data[at : at + version.address_bytes])


def _hop_limit_and_stamp(version: Version, extras: list[Any]) -> tuple[int | None, float | None]:
    hop_limit = stamp = None
    for level, kind, value in extras:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(value)
            stamp = seconds + nanoseconds / 1e9
        elif level == version.level and kind == version.hops:
            hop_limit = int.from_bytes(value, sys.byteorder)
    return hop_limit, stamp
