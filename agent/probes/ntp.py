"""NTP: whether a time server knows the time, and how far this PC's clock is from it."""

import asyncio
import fcntl
import secrets
import socket
import struct
import time
from typing import ClassVar, Literal, NamedTuple

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, TargetError, Value
from agent.probes.net import bound_socket, refuse_host, resolve, split_host
from agent.probes.ntp_packet import (
    Packet,
    compare_clocks,
    name_reference,
    read_packet,
    refuse_packet,
    stamp,
    write_request,
)
from agent.wire import Failure

PORT = 123
RESEND_SECONDS = 1.0
BUFFER_BYTES = 1024
MOST_STRAYS = 64  # datagrams that are no answer to us; more is a flood, and must not hold the loop
SIOCGSTAMPNS = 0x80108907  # the variant with 64-bit seconds on every machine; Linux 5.1
TIMESPEC = struct.Struct("=qq")


class NtpParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an NTP probe."""

    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""


class Sent(NamedTuple):
    """When a request left, by both clocks."""

    wall: float
    monotonic_ns: int


class Exchange(NamedTuple):
    """An answer, and our stamps of the request it belongs to and of its coming in."""

    packet: Packet
    sent: int
    arrived: int


class Ntp:
    """Asks for the time once, and once more if nothing came; sets no clock."""

    kind: ClassVar[str] = "ntp"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = NtpParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "request")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value(
            "ntp_offset_seconds",
            "The server's clock less the PC's: positive where the PC's is behind.",
        ),
        Value("ntp_rtt_seconds", "The way to the server and back, without its own time."),
        Value(
            "ntp_stratum",
            "How many servers the time has come through, as the server says; 1 has a clock.",
        ),
        Value(
            "ntp_root_delay_seconds",
            "Round trip from the server to the clock it follows, as it says.",
        ),
        Value("ntp_root_dispersion_seconds", "How far off the server may be, as it says."),
        Value("ntp_leap", "Leap indicator: 1 or 2 near a leap second, 3 where it has no time."),
    )

    def __init__(self, params: NtpParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: NtpParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        try:
            host, _ = split_host(name, PORT)
        except ValueError as exc:
            return f"{exc}; or an address or name alone"
        return refuse_host(host, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Exchange one request for one answer. What is no answer to us is passed over."""
        host, port = split_host(target.name, PORT)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with bound_socket(family, socket.SOCK_DGRAM, target.source) as sock:
            sock.connect((address, port))  # the kernel now drops what comes from elsewhere
            _queued_ns(sock)  # from now on it stamps what comes in
            with rec.phase("request"):
                exchange = await self._ask(sock, rec)
        self._report(exchange, rec)

    async def _ask(self, sock: socket.socket, rec: Recorder) -> Exchange:
        sent: dict[
            bytes, Sent
        ] = {}  # each with a nonce of its own: no answer is taken for another's
        self._send(sock, sent)
        try:
            async with asyncio.timeout(RESEND_SECONDS):
                return await self._answer(sock, sent, rec)
        except TimeoutError:
            self._send(sock, sent)
        return await self._answer(sock, sent, rec)

    def _send(self, sock: socket.socket, sent: dict[bytes, Sent]) -> None:
        nonce = secrets.token_bytes(8)
        request = write_request(nonce)
        sent[nonce] = Sent(self._env.wall(), self._env.monotonic_ns())
        sock.send(request)

    async def _answer(
        self, sock: socket.socket, sent: dict[bytes, Sent], rec: Recorder
    ) -> Exchange:
        loop = asyncio.get_running_loop()
        for _ in range(MOST_STRAYS):
            data = await loop.sock_recv(sock, BUFFER_BYTES)
            queued_ns = _queued_ns(sock)
            waited_ns = self._env.monotonic_ns()
            packet = read_packet(data)
            request = sent.get(packet.origin) if packet else None
            if packet is None or request is None:
                rec.fact(
                    "ignored", f"a datagram of {len(data)} bytes that echoes no request of ours"
                )
                continue
            # Not our wall clock at its coming in: it may have been set meanwhile
            waited_ns -= request.monotonic_ns
            waited_ns -= min(queued_ns, waited_ns)
            return Exchange(packet, stamp(request.wall), stamp(request.wall, waited_ns))
        raise TargetError(
            Failure.MALFORMED, f"{MOST_STRAYS} datagrams came, none of them an answer"
        )

    def _report(self, exchange: Exchange, rec: Recorder) -> None:
        packet = exchange.packet
        refusal = refuse_packet(packet)
        clocks = compare_clocks(exchange.sent, packet, exchange.arrived)
        if refusal is None and clocks is None:
            refusal = Failure.MALFORMED, "the server's time stamps contradict the time it took"
        if refusal is not None:
            rec.fail(*refusal)
        if rec.failure is Failure.MALFORMED:
            return
        rec.value("ntp_leap", packet.leap)
        rec.value("ntp_stratum", packet.stratum)
        rec.fact("reference", name_reference(packet))
        if refusal is None and clocks is not None:
            rec.value("ntp_offset_seconds", clocks.offset_seconds)
            rec.value("ntp_rtt_seconds", clocks.rtt_seconds)
            rec.value("ntp_root_delay_seconds", packet.root_delay_seconds)
            rec.value("ntp_root_dispersion_seconds", packet.root_dispersion_seconds)
            self._env.health.note_clock(clocks.offset_seconds)


def _queued_ns(sock: socket.socket) -> int:
    """Return how long ago the kernel took in the datagram that was read last; 0 if it cannot say."""
    try:
        stamped = fcntl.ioctl(sock, SIOCGSTAMPNS, bytes(TIMESPEC.size))
    except OSError:  # none has come yet, or a kernel older than the variant
        return 0
    seconds, nanoseconds = TIMESPEC.unpack(stamped)
    queued: int = time.time_ns() - (seconds * 1_000_000_000 + nanoseconds)
    return max(0, queued)
