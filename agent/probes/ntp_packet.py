"""NTP packets and the arithmetic of their four time stamps (RFC 5905), without a socket or a clock.

Time stamps are whole numbers of 2^-32 s since 1900, modulo 2^64: they begin anew on 7 February
2036. Only differences of them are ever taken, so that it does not matter in which of the eras a
stamp lies, as long as both clocks are less than 68 years apart.
"""

import ipaddress
import struct
from typing import NamedTuple

from agent.wire import Failure

PACKET = struct.Struct("!BBbbII4sQ8sQQ")
REQUEST = bytes([0 << 6 | 4 << 3 | 3])  # leap 0, version 4, mode 3 (client)
SERVER = 4
ALARM = 3
SECOND = 1 << 32
SECONDS_1900_TO_1970 = 2_208_988_800
UNSYNCHRONISED_CODES = {"INIT", "STEP"}  # kiss codes by name, but no refusals: RFC 5905 7.4
COARSE_SECONDS = 0.02  # some servers' clocks tick in 1/64 s
FINE_SECONDS = 1e-6


class Packet(NamedTuple):
    """An NTP header as it came; whether it makes sense has not been looked at."""

    leap: int
    mode: int
    stratum: int
    root_delay_seconds: float
    root_dispersion_seconds: float
    reference: bytes
    origin: bytes
    """What the request had as its transmit stamp."""
    received: int
    transmitted: int


class Clocks(NamedTuple):
    """What one exchange says of two clocks."""

    offset_seconds: float
    """The server's clock less ours: positive where ours is behind."""
    rtt_seconds: float
    """The way there and back, without the time the server took."""


def write_request(nonce: bytes) -> bytes:
    """Return a client's request that tells nothing of this PC; the server echoes the nonce of 8 bytes."""
    return REQUEST + bytes(PACKET.size - 9) + nonce


def read_packet(data: bytes) -> Packet | None:
    """Read a header; None where there is none. Extensions and signatures after it are passed over."""
    if len(data) < PACKET.size:
        return None
    flags, stratum, _, _, delay, dispersion, reference, _, origin, received, transmitted = (
        PACKET.unpack_from(data)
    )
    return Packet(
        leap=flags >> 6,
        mode=flags & 7,
        stratum=stratum,
        root_delay_seconds=delay / 65536,
        root_dispersion_seconds=dispersion / 65536,
        reference=reference,
        origin=origin,
        received=received,
        transmitted=transmitted,
    )


def refuse_packet(packet: Packet) -> tuple[Failure, str] | None:
    """Return why no time can be taken from an answer; None where it can (RFC 4330, section 5)."""
    if packet.mode != SERVER:
        return Failure.MALFORMED, f"found mode {packet.mode}, expected {SERVER}"
    code = name_reference(packet) if packet.stratum == 0 else ""
    if code.isalnum() and code not in UNSYNCHRONISED_CODES:
        return Failure.STATUS, f"kiss code {code}"
    if packet.leap == ALARM or not 1 <= packet.stratum <= 15:
        return Failure.UNSYNCHRONISED, f"leap {packet.leap}, stratum {packet.stratum}"
    if not packet.received or not packet.transmitted:
        return Failure.MALFORMED, "a time stamp of the server's is missing"
    return None


def name_reference(packet: Packet) -> str:
    """Return what the server follows: four letters at stratum 0 and 1, else an IPv4 address.

    Where that server is known by an IPv6 address, the four numbers are of a digest of it.
    """
    text = packet.reference.rstrip(b"\0")
    if packet.stratum < 2 and text.isalnum():
        return text.decode("ascii")
    return str(ipaddress.IPv4Address(packet.reference))


def compare_clocks(sent: int, packet: Packet, arrived: int) -> Clocks | None:
    """Return offset and round trip (RFC 5905, section 8); None where the server's stamps are untrue.

    `sent` and `arrived` are our own stamps. The server cannot have held a request for longer than
    we waited; as much as a coarse clock makes of it is let pass.
    """
    there = _difference(packet.received, sent)
    back = _difference(packet.transmitted, arrived)
    rtt = (there - back) / SECOND
    held = _difference(packet.transmitted, packet.received) / SECOND
    if rtt < -COARSE_SECONDS or held < -COARSE_SECONDS:
        return None
    return Clocks((there + back) / 2 / SECOND, max(rtt, FINE_SECONDS))


def stamp(wall_seconds: float, later_ns: int = 0) -> int:
    """Return Unix seconds, and some nanoseconds later, as a time stamp."""
    nanoseconds = round(wall_seconds * 1e9) + later_ns
    return (SECONDS_1900_TO_1970 * SECOND + nanoseconds * SECOND // 1_000_000_000) % (1 << 64)


def _difference(later: int, earlier: int) -> int:
    """Return a difference across eras, in units of 2^-32 s."""
    return (later - earlier + (1 << 63)) % (1 << 64) - (1 << 63)
