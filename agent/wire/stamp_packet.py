"""Test packets of the media test: STAMP (RFC 8762) with its extensions (RFC 8972), both ends.

Unauthenticated mode with a session identifier. Two types of the private range are ours: the lease
that opens a session, and the reflector's totals that close it; both are proven by the HMAC TLV.
"""

import hmac
from collections.abc import Iterator
from hashlib import sha256
from struct import Struct as Layout

from msgspec import Struct

BASE_BYTES = 44
REQUEST = Layout("!IQHH28x")
"""Sequence number, T1, error estimate, session identifier."""
REPLY = Layout("!IQHHQIQHHB3x")
"""Sequence number, T3, error estimate, identifier, T2, the sender's number, T1 and error, 0, TTL."""
TLV = Layout("!BBH")
TLV_BYTES = 4
UNRECOGNISED = 0x80
"""Set by the sender, cleared by a reflector that understood (RFC 8972, 4)."""
PADDING, CLASS_OF_SERVICE, HMAC = 1, 4, 8
LEASE, TOTALS = 252, 253
HMAC_BYTES = 16
ERROR_ESTIMATE = 0x0001
"""NTP format, no claim to be synchronised: one-way delays are nobody's to read off these stamps."""
_UNIX_TO_NTP = 2_208_988_800
_TOTALS = Layout("!IIII")
_COS_BYTES = 4


class Totals(Struct, frozen=True):
    """What the reflector counted in a session."""

    unique: int
    """Different sequence numbers that arrived."""
    duplicates: int
    reflected: int
    """Replies sent, duplicates' replies too."""
    drops: int
    """Packets that the reflector's own socket lost meanwhile, of whatever session."""


class Path(Struct, frozen=True):
    """What a reflector saw of a request."""

    t2: int
    """NTP's 64 bits as it arrived."""
    t3: int
    """And as its reply leaves."""
    tos: int
    ttl: int


class Reply(Struct, frozen=True):
    """One reply as read; stamps are NTP's 64 bits."""

    reflector_seq: int
    t3: int
    ssid: int
    t2: int
    seq: int
    t1: int
    ttl: int
    """As the sender's packet arrived at the reflector."""
    dscp: int | None
    """As the sender's packet arrived; None where the reflector does not say."""


def ntp(unix_ns: int) -> int:
    """Return a moment as NTP's 64 bits, which begin anew in 2036."""
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    return ((seconds + _UNIX_TO_NTP) & 0xFFFFFFFF) << 32 | (nanoseconds << 32) // 1_000_000_000


def ntp_difference_ns(later: int, earlier: int) -> int:
    """Return the nanoseconds between two stamps less than 68 years apart, whatever their era."""
    difference = (later - earlier) & 0xFFFFFFFFFFFFFFFF
    if difference >= 1 << 63:
        difference -= 1 << 64
    return (difference * 1_000_000_000 + (1 << 31)) >> 32


def request(seq: int, t1: int, ssid: int, tlvs: bytes) -> bytes:
    """Return a sender's packet."""
    return REQUEST.pack(seq, t1, ERROR_ESTIMATE, ssid) + tlvs


def media_tlvs(dscp: int, udp_bytes: int, filling: bytes = b"") -> bytes:
    """Return what makes a packet carry its own class of service and the size of real media.

    `filling` is what the padding begins with; zeros, the rest, shrink where a tunnel compresses.
    """
    cos = TLV.pack(UNRECOGNISED, CLASS_OF_SERVICE, _COS_BYTES) + bytes((dscp << 2, 0, 0, 0))
    return cos + padding(udp_bytes - BASE_BYTES - len(cos), filling)


def padding(length: int, filling: bytes = b"") -> bytes:
    """Return a padding TLV of a length, its own head included. It must be four or more."""
    size = length - TLV_BYTES
    return TLV.pack(UNRECOGNISED, PADDING, size) + filling[:size].ljust(size, b"\0")


def opening(t1: int, ssid: int, lease: bytes, key: bytes) -> bytes:
    """Return the packet that opens a session; sent again until it is answered."""
    return _proven(request(0, t1, ssid, _private(LEASE, lease)), key)


def closing(seq: int, t1: int, ssid: int, key: bytes) -> bytes:
    """Return the packet that asks for the totals; `seq` tells several of them apart."""
    return _proven(request(seq, t1, ssid, _private(TOTALS, bytes(_TOTALS.size))), key)


def _private(kind: int, value: bytes) -> bytes:
    return TLV.pack(UNRECOGNISED, kind, len(value)) + value


def _proven(packet: bytes, key: bytes) -> bytes:
    data = bytearray(packet + TLV.pack(UNRECOGNISED, HMAC, HMAC_BYTES) + bytes(HMAC_BYTES))
    seal(data, key)
    return bytes(data)


def tlvs(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield (type, where its head stands, where its value ends). ValueError on an overrun."""
    at = BASE_BYTES
    while at < len(data):
        if at + TLV_BYTES > len(data):
            raise ValueError(f"{len(data) - at} bytes behind the last TLV")
        _, kind, length = TLV.unpack_from(data, at)
        end = at + TLV_BYTES + length
        if end > len(data):
            raise ValueError(f"a TLV of {length} bytes, {len(data) - at - TLV_BYTES} are left")
        yield kind, at, end
        at = end


def value_of(data: bytes | bytearray, kind: int) -> bytes | None:
    """Return the value of the first TLV of a type. ValueError on an overrun."""
    for found, at, end in tlvs(data):
        if found == kind:
            return bytes(data[at + TLV_BYTES : end])
    return None


def seal(data: bytearray, key: bytes) -> None:
    """Write the proof into the HMAC TLV, which is the last (RFC 8972, 4.8)."""
    data[-HMAC_BYTES:] = _proof(data, key)


def is_proven(data: bytes | bytearray, key: bytes) -> bool:
    """Whether the last TLV is a right HMAC over the sequence number and all TLVs before it."""
    last = TLV_BYTES + HMAC_BYTES
    if len(data) < BASE_BYTES + last:
        return False
    _, kind, length = TLV.unpack_from(data, len(data) - last)
    shown = (kind, length) == (HMAC, HMAC_BYTES)
    return shown and hmac.compare_digest(data[-HMAC_BYTES:], _proof(data, key))


def _proof(data: bytes | bytearray, key: bytes) -> bytes:
    covered = bytes(data[:4]) + bytes(data[BASE_BYTES : -TLV_BYTES - HMAC_BYTES])
    return hmac.digest(key, covered, sha256)[:HMAC_BYTES]


def proven_answer(data: bytes, kind: int, key: bytes) -> bytes | None:
    """Return the value of a type's TLV that the reflector proved; None where it did not.

    Our own proof thrown back at us is none: we set `UNRECOGNISED` under it, the reflector clears
    it. ValueError on an overrun.
    """
    if not is_proven(data, key):
        return None
    for found, at, end in tlvs(data):
        if found == kind:
            return None if data[at] & UNRECOGNISED else bytes(data[at + TLV_BYTES : end])
    return None


def pack_totals(totals: Totals) -> bytes:
    """Return the value of the TLV that closes a session."""
    return _TOTALS.pack(totals.unique, totals.duplicates, totals.reflected, totals.drops)


def read_totals(value: bytes) -> Totals:
    """Read them. ValueError on a wrong length."""
    if len(value) != _TOTALS.size:
        raise ValueError(f"totals of {len(value)} bytes, expected {_TOTALS.size}")
    return Totals(*_TOTALS.unpack(value))


def read_reply(data: bytes) -> Reply:
    """Read a reflector's packet. ValueError says why it is none."""
    if len(data) < BASE_BYTES:
        raise ValueError(f"{len(data)} bytes, expected {BASE_BYTES} or more")
    reflector_seq, t3, _, ssid, t2, seq, t1, _, _, ttl = REPLY.unpack_from(data)
    dscp = None
    for kind, at, end in tlvs(data):
        if kind == CLASS_OF_SERVICE and end - at == TLV_BYTES + _COS_BYTES:
            if not data[at] & UNRECOGNISED:
                both = int.from_bytes(data[at + TLV_BYTES : at + TLV_BYTES + 2])
                dscp = both >> 4 & 0x3F
            break  # it stands first in all of ours
    return Reply(reflector_seq, t3, ssid, t2, seq, t1, ttl, dscp)


def reflect(data: bytes | bytearray, reflector_seq: int, path: Path) -> bytearray:
    """Return the reply to a request: as long as it, its TLVs understood where we do.

    ValueError on what is no request.
    """
    if len(data) < BASE_BYTES:
        raise ValueError(f"{len(data)} bytes, expected {BASE_BYTES} or more")
    seq, t1, error, ssid = REQUEST.unpack_from(data)
    reply = bytearray(data)
    for kind, at, end in tlvs(data):
        if kind == CLASS_OF_SERVICE and end - at == TLV_BYTES + _COS_BYTES:
            both = data[at + TLV_BYTES] >> 2 << 10 | path.tos >> 2 << 4 | (path.tos & 3) << 2
            reply[at] = 0
            reply[at + TLV_BYTES : at + TLV_BYTES + 2] = both.to_bytes(2)
        elif kind in {PADDING, HMAC, LEASE, TOTALS}:
            reply[at] = 0
    answer = (reflector_seq, path.t3, ERROR_ESTIMATE, ssid, path.t2, seq, t1, error, 0, path.ttl)
    REPLY.pack_into(reply, 0, *answer)
    return reply


def asked_dscp(reply: bytearray) -> int:
    """Return the class of service in which a reply is to leave; 0 where none was asked for."""
    at = BASE_BYTES
    if len(reply) >= at + TLV_BYTES + _COS_BYTES and reply[at + 1] == CLASS_OF_SERVICE:
        return reply[at + TLV_BYTES] >> 2
    return 0
