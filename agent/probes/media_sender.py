"""The sending half of the media test: one thread, one socket, an absolute schedule.

A thread of its own, because a packet that leaves late or is read late would be taken for the
network's doing; the event loop has others to serve. What it saw is handed on as values.
"""

import os
import select
import socket
import time
from bisect import bisect
from struct import Struct as Layout
from typing import Literal

from msgspec import Struct

from agent.probes.media_stats import Trip
from agent.wire import Slot, Stream
from agent.wire.stamp_packet import (
    LEASE,
    TOTALS,
    Totals,
    closing,
    media_tlvs,
    ntp,
    ntp_difference_ns,
    opening,
    proven_answer,
    read_reply,
    read_totals,
    request,
    value_of,
)

KEY_FRAME_SECONDS = 2
KEY_FRAME_SIZE = 8
"""Times a mean frame: what a camera sends anew from time to time."""
RAMP_SECONDS = 3
RAMP_DIVISOR = 4
"""Pictures begin with a quarter of their load: a line that cannot carry it shows that early."""
STANDSTILL_SECONDS = 1.0
"""Who is so far behind does not catch up: all of it would leave at once, perhaps after the slot."""
OPEN_TRIES = 4
OPEN_SECONDS = 0.3
UNANSWERED_SECONDS = 1.0
UNANSWERED_PACKETS = 10
CLOSE_EVERY_SECONDS = 0.5
CLOSE_TRIES = 3
STRAGGLER_SECONDS = 2.0
MAX_STRAGGLER_SECONDS = 5.0
MOST_AT_ONCE = 256
"""Packets read between two looks at the clock: a flood must not keep it from sending and ending."""
OVERLOAD_SECONDS = 2.0
OVERLOAD_RATIO = 0.1
BUFFER_BYTES = 1 << 20
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DONT = 0
NS = 1_000_000_000
_STAMP = Layout("@qq")
_MAX_BYTES = 2_048


def boot_ns() -> int:
    """Return nanoseconds since the machine started, sleep included: a slot goes by meanwhile."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def plan(stream: Stream, *, seconds: float, in_frames: bool, session: int = 0) -> list[int]:
    """Return when each packet leaves, nanoseconds from the start.

    In frames: 30 bursts a second, one in sixty of them eight times the size, the mean unchanged.
    Which one, the session's number says: slots begin together, but no cameras are in step.
    """
    rate = stream.packets_per_second
    if in_frames:
        moments = _frames(rate, stream.frames_per_second, seconds, session)
    else:
        moments = [round(number * NS / rate) for number in range(int(seconds * rate))]
    if not stream.frames_per_second:
        return moments
    return [
        moment
        for number, moment in enumerate(moments)
        if moment >= RAMP_SECONDS * NS or number % RAMP_DIVISOR == 0
    ]


def _frames(rate: float, frames_per_second: int, seconds: float, session: int) -> list[int]:
    group = KEY_FRAME_SECONDS * frames_per_second
    key = round(KEY_FRAME_SIZE * rate / frames_per_second)
    other = (rate * KEY_FRAME_SECONDS - key) / (group - 1)
    moments: list[int] = []
    due = 0.0
    for frame in range(int(seconds * frames_per_second)):
        due += key if frame % group == session % group else other
        moments += [frame * NS // frames_per_second] * (int(due) - len(moments))
    return moments


class Seen(Struct, kw_only=True):
    """What one session saw."""

    opened: bool = False
    sent: int = 0
    trips: list[Trip] = []
    totals: Totals | None = None
    own_drops: int = 0
    unsent: int = 0
    """Packets that the PC's own queue had no room for."""
    lateness_ns: list[int] = []
    """Of each packet: how much later than planned it left."""
    clock_step_ns: int = 0
    """How far the wall clock was set meanwhile."""
    stopped: Literal["", "unanswered", "overload", "standstill", "broken"] = ""
    """Why it ended before its time."""
    broken_by: OSError | None = None
    open_seconds: float = 0.0
    media_seconds: float = 0.0
    close_seconds: float = 0.0


class Sender:
    """Holds one session over a connected, non-blocking UDP socket. `run` belongs in a thread."""

    def __init__(self, sock: socket.socket, stream: Stream, moments: list[int], slot: Slot) -> None:
        self.seen = Seen()
        self._sock = sock
        self._stream = stream
        self._moments = moments
        self._lease = slot.lease
        self._key = slot.key
        self._ssid = slot.session
        self._t1: list[tuple[int, int]] = []
        """Of each packet sent: UTC nanoseconds, and as NTP's 64 bits."""
        self._answered = bytearray(len(moments))
        self._last_reply = 0
        self._max_rtt = 0
        self._halted = False
        _prepare(sock, stream.dscp)

    def halt(self) -> None:
        """Make `run` return within 50 ms, from any thread."""
        self._halted = True

    def run(self) -> None:
        """Open, send, listen, close. OSError flies while nothing has been measured yet."""
        begun = boot_ns()
        wall_offset = time.time_ns() - begun
        self.seen.opened = self._open()
        opened = boot_ns()
        self.seen.open_seconds = (opened - begun) / NS
        if not self.seen.opened or self._halted:
            return
        try:
            self._send_all(opened)
            sent = boot_ns()
            self.seen.media_seconds = (sent - opened) / NS
            self._close(sent)
            self.seen.close_seconds = (boot_ns() - sent) / NS
        except OSError as exc:  # what was seen till then stands
            self.seen.stopped = "broken"
            self.seen.broken_by = exc
        step = time.time_ns() - boot_ns() - wall_offset
        self.seen.clock_step_ns = step
        self.seen.sent = len(self._t1)

    def _open(self) -> bool:
        for _ in range(OPEN_TRIES):
            if self._halted:
                break
            self._sock.send(opening(ntp(time.time_ns()), self._ssid, self._lease, self._key))
            until = boot_ns() + int(OPEN_SECONDS * NS)
            while (now := boot_ns()) < until and not self._halted:
                if not self._wait(min(until, now + NS // 20)):
                    continue
                for data, _, _ in self._received():
                    if self._is_opened_by(data):
                        return True
        return False

    def _is_opened_by(self, data: bytes) -> bool:
        try:
            return proven_answer(data, LEASE, self._key) is not None
        except ValueError:
            return False

    def _send_all(self, start: int) -> None:
        size = self._stream.udp_bytes
        tlvs = media_tlvs(self._stream.dscp, size, os.urandom(size))
        moments, seen = self._moments, self.seen
        self._last_reply = start
        judged = start
        at = 0
        while at < len(moments) and not self._halted and not seen.stopped:
            due = start + moments[at]
            now = boot_ns()
            if now - due > STANDSTILL_SECONDS * NS:
                seen.stopped = "standstill"
                break
            if now >= due:
                t1 = time.time_ns()
                stamp = ntp(t1)
                seen.unsent += not self._send(request(at, stamp, self._ssid, tlvs))
                self._t1.append((t1, stamp))
                seen.lateness_ns.append(now - due)
                at += 1
                continue
            if self._wait(min(due, now + NS // 20)):
                self._take(now)
            if now - self._last_reply > UNANSWERED_SECONDS * NS and at >= UNANSWERED_PACKETS:
                seen.stopped = "unanswered"
            if self._stream.frames_per_second and now - judged > NS // 2:
                judged = now
                if self._is_overloaded(now - start):
                    seen.stopped = "overload"

    def _send(self, packet: bytes) -> bool:
        """Send; whether the PC's own queue had room."""
        try:
            self._sock.send(packet)
        except BlockingIOError:
            return False
        return True

    def _is_overloaded(self, elapsed: int) -> bool:
        """Whether of what was sent from three to one seconds ago more than a tenth is missing."""
        newest = elapsed - NS
        first = int(newest - OVERLOAD_SECONDS * NS)
        window = self._answered[bisect(self._moments, first) : bisect(self._moments, newest)]
        return first >= 0 and window.count(0) > OVERLOAD_RATIO * len(window)

    def _close(self, sent_at: int) -> None:
        """Ask for the totals and wait for what is still under way."""
        patience = min(
            max(int(STRAGGLER_SECONDS * NS), 3 * self._max_rtt), int(MAX_STRAGGLER_SECONDS * NS)
        )
        asked = 0
        while not self._halted:
            now = boot_ns()
            if asked < CLOSE_TRIES and now >= sent_at + (asked + 1) * CLOSE_EVERY_SECONDS * NS:
                stamp = ntp(time.time_ns())
                self._send(closing(len(self._moments) + asked, stamp, self._ssid, self._key))
                asked += 1
            if self._wait(min(now + NS // 20, sent_at + patience)):
                self._take(now)
            if now >= sent_at + patience or self._is_complete():
                return

    def _is_complete(self) -> bool:
        """Whether nothing can be under way any more."""
        totals = self.seen.totals
        return (
            totals is not None
            and totals.unique == len(self._t1)
            and totals.reflected == len(self.seen.trips)
        )

    def _wait(self, until: int) -> bool:
        left = max(0, until - boot_ns())
        return left > 0 and bool(select.select([self._sock], [], [], left / NS)[0])

    def _take(self, now: int) -> None:
        for data, t4, tos in self._received():
            try:
                self._read(data, now, t4, tos)
            except ValueError:
                continue  # not of our session, or spoilt on the way: as if it had not come

    def _read(self, data: bytes, now: int, t4: int, tos: int | None) -> None:
        reply = read_reply(data)
        if reply.ssid != self._ssid:
            return
        if value_of(data, TOTALS) is not None:
            told = proven_answer(data, TOTALS, self._key)
            if told is not None:
                self.seen.totals = read_totals(told)
            return
        if reply.seq >= len(self._t1) or len(data) != self._stream.udp_bytes:
            return
        t1, stamp = self._t1[reply.seq]
        if reply.t1 != stamp:
            return
        t2 = t1 + ntp_difference_ns(reply.t2, stamp)
        t3 = t1 + ntp_difference_ns(reply.t3, stamp)
        self._last_reply = now
        self._answered[reply.seq] = 1
        self._max_rtt = max(self._max_rtt, t4 - t1)
        self.seen.trips.append(
            Trip(
                seq=reply.seq,
                reflector_seq=reply.reflector_seq,
                t1=t1,
                t2=t2,
                t3=t3,
                t4=t4,
                forward_dscp=reply.dscp,
                backward_dscp=None if tos is None else tos >> 2,
                forward_ttl=reply.ttl,
            )
        )

    def _received(self) -> list[tuple[bytes, int, int | None]]:
        """Return what has come, each with its kernel stamp and service octet."""
        found: list[tuple[bytes, int, int | None]] = []
        while len(found) < MOST_AT_ONCE:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(_MAX_BYTES, 256)
            except BlockingIOError:
                break
            t4, tos = time.time_ns(), None
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = _STAMP.unpack(value)
                    t4 = seconds * NS + nanoseconds
                elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                    self.seen.own_drops = int.from_bytes(value[:4], "little")
                elif kind in {socket.IP_TOS, socket.IPV6_TCLASS}:
                    tos = value[0]
            found.append((data, t4, tos))
        return found


def _prepare(sock: socket.socket, dscp: int) -> None:
    """Mark what leaves and ask the kernel for what arrives with each packet."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)  # a whole key frame fits
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        # Routers may cut packets, as they may cut a telephone's; else their word ends the session.
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
