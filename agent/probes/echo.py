"""ICMP echo for all checks: one socket per IP version and line, one timer, no task per packet."""

import asyncio
import ipaddress
import random
import secrets
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENXIO
from typing import NamedTuple

from agent.probes.base import ProbeError, Source
from agent.probes.icmp_message import Message, Refusal, Reply, TooBig
from agent.probes.icmp_socket import IcmpSocket
from agent.probes.net import FAMILIES, bound_socket

TOKEN_BYTES = 12  # 8 that no other program can guess, 4 that number our bursts
FILL = bytes(range(256)) * 8
STEP_SECONDS = 0.001
SLACK_SECONDS = 0.001  # what is due this soon is done in the same wake
REMEMBERED = 512
# The line's interface has gone, or has come back as another one of the same name.
GONE = {EADDRNOTAVAIL, EINVAL, ENODEV, ENXIO}


class Moment(NamedTuple):
    """One moment: the wall clock, and the monotonic one read before and after it."""

    wall: float
    """CLOCK_REALTIME seconds: the clock of the kernel's receive stamps."""
    before: float
    after: float


def round_trip(sent: Moment, now: Moment, stamp: float | None) -> float:
    """Return seconds from sending until the kernel took the reply in, whenever we came to read it.

    Without a stamp, or when the wall clock was set in between, the monotonic time until now, which
    also holds our own delay. The clock was set if no moment between the readings of the one clock
    could explain the other; being put off between two readings is no such thing.
    """
    passed = now.wall - sent.wall
    least, most = now.before - sent.after, now.after - sent.before
    stepped = not least - STEP_SECONDS <= passed <= most + STEP_SECONDS
    if stamp is None or stepped or stamp <= sent.wall:
        return now.before - sent.before
    return stamp - sent.wall


@dataclass(slots=True, eq=False)
class Burst:
    """A few echoes to one address, and what came back of them. Keys are sequence numbers."""

    address: str
    count: int
    spacing_seconds: float
    wait_seconds: float
    """How long after the last one an answer still counts."""
    size_bytes: int
    payload: bytes = b""
    sent: dict[int, Moment] = field(default_factory=dict)
    rtts: dict[int, float] = field(default_factory=dict)
    refusals: dict[int, Refusal] = field(default_factory=dict)
    too_big: dict[int, TooBig] = field(default_factory=dict)
    hop_limit: int | None = None
    """Of the latest reply."""
    mangled: int = 0
    """Replies whose data are not what was sent."""
    duplicates: int = 0
    late: int = 0
    """These two also count what came for earlier bursts to this address after they had ended."""
    due: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to wait for."""
        known = self.rtts.keys() | self.refusals.keys() | self.too_big.keys()
        return len(self.sent) == self.count == len(known)


class Ledger:
    """Knows which answer belongs to which echo. No socket, no clock.

    The kernel rewrites identifiers, and other programs on the machine ping too: what counts is the
    sequence number together with the token at the head of the data.
    """

    def __init__(self) -> None:
        self._nonce = secrets.token_bytes(8)
        self._serial = random.randrange(1 << 32)
        self._sequence = random.randrange(1 << 16)
        self._open: dict[int, Burst] = {}
        self._past: dict[bytes, Burst] = {}
        self._duplicates: Counter[str] = Counter()
        self._late: Counter[str] = Counter()

    def begin(self, burst: Burst) -> None:
        """Give a burst its data."""
        self._serial = (self._serial + 1) % (1 << 32)
        token = self._nonce + self._serial.to_bytes(4, "big")
        burst.payload = (token + FILL)[: burst.size_bytes]
        burst.duplicates = self._duplicates.pop(burst.address, 0)
        burst.late = self._late.pop(burst.address, 0)

    def next_sequence(self) -> int:
        """Return a sequence number that nothing under way has."""
        self._sequence = (self._sequence + 1) % (1 << 16)
        while self._sequence in self._open:
            self._sequence = (self._sequence + 1) % (1 << 16)
        return self._sequence

    def sent(self, burst: Burst, sequence: int, moment: Moment) -> None:
        """Enter an echo that has left."""
        burst.sent[sequence] = moment
        self._open[sequence] = burst

    def match(self, message: Message, now: Moment) -> Burst | None:
        """Enter an answer where it belongs; return the burst if that is still under way."""
        burst = self._open.get(message.sequence)
        if not isinstance(message, Reply):
            return burst if burst and _enter_refusal(burst, message) else None
        if burst is not None and burst.payload[:TOKEN_BYTES] == message.payload[:TOKEN_BYTES]:
            _enter_reply(burst, message, now)
            return burst
        self._enter_past(message, now)
        return None

    def _enter_past(self, reply: Reply, now: Moment) -> None:
        past = self._past.get(reply.payload[:TOKEN_BYTES])
        if past is None or past.payload != reply.payload or reply.sequence not in past.sent:
            return
        if reply.sequence in past.rtts:
            self._duplicates[past.address] += 1
        else:
            self._late[past.address] += 1
            past.rtts[reply.sequence] = now.before - past.sent[reply.sequence].before

    def end(self, burst: Burst) -> None:
        """Forget the burst's echoes, but for telling late answers from strange ones."""
        for sequence in burst.sent:
            del self._open[sequence]
        self._past[burst.payload[:TOKEN_BYTES]] = burst
        if len(self._past) > REMEMBERED:
            del self._past[next(iter(self._past))]

    def __len__(self) -> int:
        return len(self._open)


def _enter_reply(burst: Burst, reply: Reply, now: Moment) -> None:
    if reply.payload != burst.payload:
        burst.mangled += 1
    elif reply.sequence in burst.rtts:
        burst.duplicates += 1
    else:
        burst.rtts[reply.sequence] = round_trip(burst.sent[reply.sequence], now, reply.stamp)
        burst.refusals.pop(reply.sequence, None)  # an answer stands above a router's opinion
        burst.hop_limit = reply.hop_limit


def _enter_refusal(burst: Burst, refusal: Refusal | TooBig) -> bool:
    quoted = refusal.payload[:TOKEN_BYTES]  # routers owe us the 8 bytes of the ICMP header only
    ours = burst.payload.startswith(quoted) and _same(burst.address, refusal.destination)
    if not ours or refusal.sequence in burst.rtts:
        return ours
    if isinstance(refusal, TooBig):
        burst.too_big.setdefault(refusal.sequence, refusal)
    else:
        burst.refusals.setdefault(refusal.sequence, refusal)
    return True


def _same(address: str, other: str) -> bool:
    bare, other_bare = address.partition("%")[0], other.partition("%")[0]
    return ipaddress.ip_address(bare) == ipaddress.ip_address(other_bare)


class EchoEngine:
    """Carries the echoes of all targets that leave over one line, or over any.

    With `whole` packets are never cut. Else the kernel learns from a router's word that one was too
    large, and cuts the next.
    """

    def __init__(self, ip_version: int, source: Source | None, *, whole: bool = False) -> None:
        self._ip_version = ip_version
        self._source = source
        self._whole = whole
        self._socket: IcmpSocket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ledger = Ledger()
        self._active: dict[Burst, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> IcmpSocket:
        """Return the socket, opened if it is not yet. ProbeError if it or its line cannot be used.

        The line is looked for each time: a socket bound to an address that has gone sends all the
        same over IPv6, and finds no route over IPv4.
        """
        if self._source is not None:
            try:
                bound_socket(FAMILIES[self._ip_version], socket.SOCK_DGRAM, self._source).close()
            except ProbeError:
                self.close()
                raise
        return self._socket or self._open()

    def _open(self) -> IcmpSocket:
        self._loop = asyncio.get_running_loop()
        self._socket = IcmpSocket.open(self._ip_version, self._source, whole=self._whole)
        self._loop.add_reader(self._socket.fileno(), self._read)
        return self._socket

    async def exchange(self, burst: Burst) -> None:
        """Send a burst and return when all is answered or the wait is over; OSError flies.

        To be called after `open`. `burst` holds what came back, also when this is cancelled.
        """
        done = asyncio.get_running_loop().create_future()
        self._ledger.begin(burst)
        self._active[burst] = done
        try:
            self._send(burst)
            self._arm(burst.due)
            await done
        finally:
            del self._active[burst]
            self._ledger.end(burst)
            if not self._active and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def close(self) -> None:
        """Close the socket; a later burst opens another."""
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _send(self, burst: Burst) -> None:
        sock = self._socket or self._open()
        sequence = self._ledger.next_sequence()
        before = time.monotonic()
        try:
            wall = sock.send(burst.address, sequence, burst.payload)
        except OSError as exc:
            if self._source is not None and exc.errno in GONE:
                self.close()  # the next burst opens another, bound to what is there now
                where = self._source.interface or self._source.address
                raise ProbeError(f"cannot use line at {where}: {exc.strerror}") from exc
            raise
        self._ledger.sent(burst, sequence, Moment(wall, before, time.monotonic()))
        last = len(burst.sent) == burst.count
        burst.due = before + (burst.wait_seconds if last else burst.spacing_seconds)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        """Do what is due for all bursts: send the next echo, or stop waiting."""
        self._timer = None
        soon = time.monotonic() + SLACK_SECONDS
        waiting = [(burst, done) for burst, done in self._active.items() if not done.done()]
        for burst, done in waiting:
            if burst.due > soon:
                continue
            if len(burst.sent) == burst.count:
                done.set_result(None)
                continue
            try:
                self._send(burst)
            except (OSError, ProbeError) as exc:
                done.set_exception(exc)
        dues = [burst.due for burst, done in waiting if not done.done()]
        if dues:
            self._arm(min(dues))

    def _read(self) -> None:
        if self._socket is None:
            return
        before = time.monotonic()
        now = Moment(time.time(), before, time.monotonic())
        for message in self._socket.receive():
            burst = self._ledger.match(message, now)
            if burst is not None and burst.complete and not self._active[burst].done():
                self._active[burst].set_result(None)
