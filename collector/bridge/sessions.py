"""The reflector's sessions, pure: what came from where and when -> what is answered, if anything.

Nothing is answered but a session that the centre has leased out, and never with more than came.
"""

import struct
from collections import Counter

from msgspec import Struct

from agent.wire.stamp_packet import (
    BASE_BYTES,
    LEASE,
    REQUEST,
    TLV_BYTES,
    TOTALS,
    Path,
    Totals,
    is_proven,
    ntp,
    pack_totals,
    reflect,
    seal,
    tlvs,
    value_of,
)
from collector.bridge.lease import Lease, key_of, read_lease

Address = tuple[str, int]
NEVER_FROM = frozenset({0, 53, 123, 862})
"""Ports that answer whatever comes: a reply sent there would come back."""
LEEWAY_SECONDS = 10.0
"""How far this machine's clock may be from the centre's."""
BURST_SECONDS = 1.0
"""How much of its rate a session may send at once: the packets of a key frame leave together."""
MAX_SESSIONS = 2_000
MAX_PROVEN_BYTES = 172
"""What opens and closes a session is no larger than the smallest stream's packets have to be."""
_FIRST_TYPE = BASE_BYTES + 1


class Datagram(Struct):
    """One packet as it arrived."""

    data: bytes
    address: Address
    arrived_ns: int
    """UTC, by the kernel."""
    now_ns: int
    """UTC, as the reply leaves."""
    tos: int
    ttl: int
    drops: int
    """What the socket has lost since it was opened."""


class Session(Struct, kw_only=True):
    """One media test."""

    lease: Lease
    key: bytes
    drops_before: int
    seen: bytearray
    """Of each sequence number whether it came."""
    allowance: float
    """Packets it may send now."""
    refilled_at: float
    unique: int = 0
    duplicates: int = 0
    reflected: int = 0


class _RefusedError(Exception):
    """Why a datagram is not answered, in one word."""


class Sessions:
    """Those that are open. `refused` counts what was not answered, by reason."""

    def __init__(self, secret: bytes, own_port: int) -> None:
        self.refused: Counter[str] = Counter()
        self.reflected = 0
        self._secret = secret
        self._never_from = NEVER_FROM | {own_port}
        self._open: dict[tuple[Address, int], Session] = {}
        self._used: dict[bytes, tuple[Address, float]] = {}
        """Nonce of a lease -> who opened it, and until when it must be remembered."""

    def __len__(self) -> int:
        """Return how many sessions are open."""
        return len(self._open)

    def answer(self, got: Datagram) -> bytearray | None:
        """Return the reply to a datagram, as long as it; None where it deserves none."""
        try:
            return self._reply(got)
        except (ValueError, struct.error):
            self.refused["malformed"] += 1
        except _RefusedError as refused:
            self.refused[str(refused)] += 1
        return None

    def expire(self, now: float) -> None:
        """Forget sessions and leases whose time is over; UTC seconds."""
        self._open = {key: one for key, one in self._open.items() if now <= _end(one.lease)}
        self._used = {nonce: one for nonce, one in self._used.items() if now <= one[1]}

    def _reply(self, got: Datagram) -> bytearray:
        ssid = REQUEST.unpack_from(got.data)[3]
        kind = got.data[_FIRST_TYPE] if len(got.data) > _FIRST_TYPE else 0
        if kind == LEASE:
            return self._open_session(got, ssid)
        session = self._open.get((got.address, ssid))
        if session is None:
            raise _RefusedError("unknown_session")
        return _close(session, got) if kind == TOTALS else self._reflect(session, got)

    def _open_session(self, got: Datagram, ssid: int) -> bytearray:
        shown = value_of(got.data, LEASE) or b""
        lease = read_lease(shown, self._secret)
        if lease is None or lease.session != ssid:
            raise _RefusedError("lease")
        key = key_of(shown, self._secret)
        if not is_proven(got.data, key) or len(got.data) > MAX_PROVEN_BYTES:
            raise _RefusedError("proof")
        now = got.now_ns / 1e9
        if not lease.not_before - LEEWAY_SECONDS <= now <= _end(lease):
            raise _RefusedError("time")
        if got.address[1] in self._never_from:
            raise _RefusedError("source_port")
        owner, _ = self._used.setdefault(lease.nonce, (got.address, _end(lease)))
        if owner != got.address:
            raise _RefusedError("used")
        if (got.address, ssid) not in self._open:  # else it is asked again: the reply was lost
            if len(self._open) >= MAX_SESSIONS:
                raise _RefusedError("too_many")
            self._open[got.address, ssid] = Session(
                lease=lease,
                key=key,
                drops_before=got.drops,
                seen=bytearray(lease.max_packets),
                allowance=lease.max_packets_per_second * BURST_SECONDS,
                refilled_at=now,
            )
        reply = reflect(got.data, 0, _path(got))
        seal(reply, key)
        return reply

    def _reflect(self, session: Session, got: Datagram) -> bytearray:
        lease = session.lease
        now = got.arrived_ns / 1e9
        seq = REQUEST.unpack_from(got.data)[0]
        if len(got.data) > lease.max_packet_bytes or seq >= lease.max_packets:
            raise _RefusedError("size")
        if now > _end(lease) or session.reflected >= 2 * lease.max_packets:
            raise _RefusedError("time")
        reply = reflect(got.data, session.reflected, _path(got))
        if session.seen[seq]:
            session.duplicates += 1
        else:
            session.seen[seq] = 1
            session.unique += 1  # it came, whether or not it may be answered
        most = lease.max_packets_per_second * BURST_SECONDS
        refill = (now - session.refilled_at) * lease.max_packets_per_second
        session.allowance = min(most, session.allowance + max(0.0, refill))
        session.refilled_at = now
        if session.allowance < 1:
            raise _RefusedError("rate")
        session.allowance -= 1
        session.reflected += 1
        self.reflected += 1
        return reply


def _close(session: Session, got: Datagram) -> bytearray:
    if not is_proven(got.data, session.key) or len(got.data) > MAX_PROVEN_BYTES:
        raise _RefusedError("proof")
    reply = reflect(got.data, 0, _path(got))
    totals = Totals(
        session.unique, session.duplicates, session.reflected, got.drops - session.drops_before
    )
    for kind, at, end in tlvs(reply):
        if kind == TOTALS:
            reply[at + TLV_BYTES : end] = pack_totals(totals)
    seal(reply, session.key)
    return reply


def _path(got: Datagram) -> Path:
    return Path(ntp(got.arrived_ns), ntp(got.now_ns), got.tos, got.ttl)


def _end(lease: Lease) -> float:
    return lease.not_after + LEEWAY_SECONDS
