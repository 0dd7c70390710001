"""Trace: the way to a target, from what routers say of packets that may go only so far.

By the failed protocol and to the failed port: a filter may let a ping through and the service not.
No right is needed: the errors are read from each socket's own error queue (TCP: Linux 5.11; on an
older kernel TCP hops have no address). Packets leave 50 ms apart, by growing hop limit, and no
further than the target has answered from, so that a healthy target sees three or four of them.
Round trips hold our own delay in reading them: some tenths of a millisecond.

Silence is no proof that a router is gone: it limits its errors for each PC, and a Linux gateway
without a route tells nothing at all while the PC's failing checks ask more often than every 2 s.
"""

import asyncio
import secrets
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from errno import ECONNREFUSED

from agent.aim import Aim
from agent.probes.base import Source
from agent.probes.classify import classify
from agent.probes.icmp_message import FAILURES, V4, V6, Refusal, Reply, Version, read_queued_icmp
from agent.probes.icmp_socket import IcmpSocket
from agent.probes.net import bound_socket
from agent.wire import ANSWERED, HERE, Failure, Hop, Path

HOPS = 20
TRIES = 2
STEP_SECONDS = 0.05
REPEAT_SECONDS = 1.0
"""Then the kernel sends TCP's first packet again: which of the two was answered is not known."""
WAIT_SECONDS = 4.0
"""After the last packet: a gateway that is gone is known after the 3 s that ARP tries."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer."""

    ttl: int
    router: str
    ms: float | None
    word: str
    """"" for `time exceeded`: the way goes on from there."""


@dataclass(slots=True)
class Answers:
    """What came back so far, and what there is still to wait for."""

    own_address: str
    sent: dict[int, int] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, ttl: int, router: str, ms: float | None, word: str) -> None:
        """Enter an answer; the kernel speaks in our own name where the next hop has none."""
        if router == self.own_address and word != ANSWERED:
            router = HERE
        self.heard.append(Heard(ttl, router, ms, word))
        self.news.set()

    @property
    def end(self) -> int:
        """The hop limit from which on every packet has the same fate; HOPS while unknown."""
        return min((heard.ttl for heard in self.heard if heard.word), default=HOPS)

    @property
    def complete(self) -> bool:
        """Whether nothing that is still to come would change the path."""
        end = self.end
        wanted = sum(count for ttl, count in self.sent.items() if ttl <= end)
        return sum(heard.ttl <= end for heard in self.heard) >= wanted

    def hops(self) -> tuple[Hop, ...]:
        """Return the hops up to the end, two of one distance where routers share the load."""
        found = []
        for ttl in sorted(ttl for ttl in self.sent if ttl <= self.end):
            at = [heard for heard in self.heard if heard.ttl == ttl]
            lost = self.sent[ttl] - len(at)
            ways = dict.fromkeys((heard.router, heard.word) for heard in at)
            for router, word in ways:
                if router == HERE:
                    found.append(Hop(0, HERE, word=word))
                    break
                alike = [h.ms for h in at if (h.router, h.word) == (router, word)]
                ms = tuple(round(ms, 1) for ms in alike if ms is not None)
                found.append(Hop(ttl, router, ms, lost, word))
                lost = 0
            if not ways:
                found.append(Hop(ttl, lost=lost))
        return tuple(found)


async def trace(aim: Aim, address: str, source: Source | None) -> Path:
    """Return the way to an address, in 5 s at most.

    ProbeError where it is for us that nothing can be sent: no permission, no such line.
    """
    version = V6 if ":" in address else V4
    try:
        answers = Answers(_own_address(version, address, source))
    except OSError as exc:
        nowhere = Hop(0, HERE, word=classify(exc)[0].value)
        return Path(aim.protocol, address, aim.port, (nowhere,))
    sender = _Pings if aim.protocol == "icmp" else _Knocks
    with ExitStack() as opened:
        packets = sender(version, aim, address, source, answers, opened)
        for ttl in range(1, HOPS + 1):
            if ttl > answers.end:
                break
            answers.sent[ttl] = TRIES
            for number in range(TRIES):
                try:
                    packets.send(ttl, number)
                except OSError as exc:
                    answers.add(ttl, HERE, None, classify(exc)[0].value)
            await asyncio.sleep(STEP_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while not answers.complete:
                    answers.news.clear()
                    await answers.news.wait()
    return Path(aim.protocol, address, aim.port, answers.hops())


@dataclass
class _Packets:
    """What sends one packet with a hop limit and enters what becomes of it."""

    version: Version
    aim: Aim
    address: str
    source: Source | None
    answers: Answers
    opened: ExitStack


@dataclass
class _Pings(_Packets):
    """Echoes, all over one socket."""

    def __post_init__(self) -> None:
        self._sock = IcmpSocket.open(self.version.number, self.source)
        self.opened.callback(self._sock.close)
        self._token = secrets.token_bytes(16)
        self._under_way: dict[int, float] = {}
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sock.fileno(), self._read)
        self.opened.callback(loop.remove_reader, self._sock.fileno())

    def send(self, ttl: int, number: int) -> None:
        sequence = ttl * TRIES + number
        self._under_way[sequence] = time.monotonic()
        self._sock.send(self.address, sequence, self._token, hops=ttl)

    def _read(self) -> None:
        now = time.monotonic()
        for message in self._sock.receive():
            if message.payload[:16] != self._token[: len(message.payload)]:
                continue  # routers owe us the ICMP header only: nothing of the token is fine
            sent = self._under_way.pop(message.sequence, None)
            if sent is None:
                continue
            ttl, ms = message.sequence // TRIES, (now - sent) * 1e3
            if isinstance(message, Refusal):
                self.answers.add(ttl, message.router, ms, _word(message.failure))
            elif isinstance(message, Reply):
                self.answers.add(ttl, self.address, ms, ANSWERED)


@dataclass
class _Knocks(_Packets):
    """TCP's first packet, or a UDP datagram: a socket, and so a port of ours, for each."""

    def send(self, ttl: int, _number: int) -> None:
        tcp = self.aim.protocol == "tcp"
        version = self.version
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        sock = bound_socket(version.family, kind, self.source)
        self.opened.callback(sock.close)
        option = socket.IP_TTL if version is V4 else socket.IPV6_UNICAST_HOPS
        sock.setsockopt(version.level, option, ttl)
        sock.setsockopt(version.level, version.receive_errors, 1)
        loop = asyncio.get_running_loop()
        forget = loop.remove_writer if tcp else loop.remove_reader
        sent = time.monotonic()

        def read() -> None:
            passed = time.monotonic() - sent
            forget(sock)
            router, word = _fate(version, sock, self.address)
            repeated = tcp and passed >= REPEAT_SECONDS
            self.answers.add(ttl, router, None if repeated else passed * 1e3, word)

        with suppress(BlockingIOError):
            sock.connect((self.address, self.aim.port))
        if not tcp:
            sock.send(self.aim.ask)
        (loop.add_writer if tcp else loop.add_reader)(sock, read)
        self.opened.callback(forget, sock)


def _fate(version: Version, sock: socket.socket, target: str) -> tuple[str, str]:
    """Return who answered a packet, and with which word."""
    error = None
    with suppress(OSError):  # BlockingIOError: there is none
        _, extras, _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        error = read_queued_icmp(version, extras)
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error is not None:
        router, icmp_type, code, _ = error
        failure = FAILURES.get((version.number, icmp_type, code), Failure.UNKNOWN)
        return router, _word(failure)
    if number == 0:
        return target, ANSWERED
    if number == ECONNREFUSED:
        return target, str(Failure.REFUSED)
    return "", ""  # an old kernel keeps back who it was


def _own_address(version: Version, target: str, source: Source | None) -> str:
    """Return what packets to the target leave as. OSError where no route leads there."""
    with bound_socket(version.family, socket.SOCK_DGRAM, source) as sock:
        sock.connect((target, 9))
        return str(sock.getsockname()[0])


def _word(failure: Failure) -> str:
    return "" if failure is Failure.TTL_EXCEEDED else str(failure)
