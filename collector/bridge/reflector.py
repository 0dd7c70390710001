"""The reflector: answers the media tests of agents, beside the conference bridge.

One thread on one blocking socket: nothing here waits for anything but the next packet. What is
answered, and what not, is decided in sessions.py.
"""

import logging
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agent.strict import ConfigError
from agent.wire.stamp_packet import asked_dscp
from collector.bridge.lease import MIN_SECRET_BYTES
from collector.bridge.sessions import Datagram, Sessions
from collector.inventory.problems import read_text
from collector.inventory.yamltext import Document

DEFAULT_PORT = 20_000
RECEIVE_BUFFER_BYTES = 8 << 20
MAX_DATAGRAM_BYTES = 2_048
ROUND_SECONDS = 1.0
"""How often sessions that are over are forgotten."""
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
SO_RCVBUFFORCE = 33
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DONT = 0
IP_RECVTTL = 12
IPV6_RECVHOPLIMIT = 51
IPV6_HOPLIMIT = 52
_TOS = {(socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}
_TTL = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, IPV6_HOPLIMIT)}
_STAMP = struct.Struct("@qq")
_INT = struct.Struct("@i")
_ANCILLARY_BYTES = 256

log = logging.getLogger(__name__)


class ListenAt(Struct, frozen=True, kw_only=True):
    """An address of this machine."""

    host: str
    port: int


class ReflectorFile(Struct, frozen=True, kw_only=True):
    """reflector.yml, as written."""

    secret_file: str
    """Shared with the collector; relative to the file."""
    listen: ListenAt = ListenAt(host="0.0.0.0", port=DEFAULT_PORT)  # noqa: S104  agents come from everywhere; leases say who is answered
    metrics: ListenAt | None = None
    """Where Prometheus may read how the reflector fares; left out: nowhere."""


class ReflectorConfig(Struct, frozen=True, kw_only=True):
    """reflector.yml, checked."""

    secret: bytes
    listen: ListenAt
    metrics: ListenAt | None


def read_reflector_file(path: Path) -> ReflectorConfig:
    """Read reflector.yml. ConfigError with every mistake."""
    problems: list[str] = []
    text = read_text(path, problems)
    document = Document(path.name, text, problems) if text is not None else None
    given = document.read(ReflectorFile) if document else None
    secret = b""
    if document and given:
        try:
            secret = read_secret(path.parent / given.secret_file)
        except ValueError as exc:
            document.note("secret_file", str(exc))
        for key, at in (("listen", given.listen), ("metrics", given.metrics)):
            if at is not None and not 0 <= at.port <= 65_535:
                document.note(f"{key}.port", f"found {at.port}, expected 0 to 65535")
    if problems or given is None:
        raise ConfigError(problems)
    return ReflectorConfig(secret=secret, listen=given.listen, metrics=given.metrics)


def read_secret(path: Path) -> bytes:
    """Return what the centre and the reflector share. ValueError says what is wrong with it."""
    try:
        secret = path.read_bytes().strip()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from exc
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(
            f"{path} holds {len(secret)} bytes, expected {MIN_SECRET_BYTES} or more: "
            f"make one with openssl rand -hex 32"
        )
    return secret


class Reflector:
    """One socket and its sessions; `run` in a thread of its own, `close` from any."""

    def __init__(self, secret: bytes, listen: ListenAt) -> None:
        """Open the socket. OSError where the address cannot be had."""
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        self._sock = _open(family, listen)
        self.address: tuple[str, int] = self._sock.getsockname()[:2]
        self.sessions = Sessions(secret, own_port=self.address[1])
        self.drops = 0
        """Packets the socket lost because nobody fetched them in time."""
        self._ends = False

    def run(self) -> None:
        """Answer until closed."""
        with self._sock:
            self._run()

    def _run(self) -> None:
        sock, sessions = self._sock, self.sessions
        rounds = 0.0
        while not self._ends:
            now = time.time()
            if now >= rounds:
                sessions.expire(now)
                rounds = now + ROUND_SECONDS
            try:
                data, ancillary, _, address = sock.recvmsg(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
            except (BlockingIOError, ConnectionError):  # nothing came; or an agent has left
                continue
            got = self._read(data, ancillary, address[:2])
            reply = sessions.answer(got)
            if reply is not None:
                mark = _INT.pack(asked_dscp(reply) << 2)
                try:
                    sock.sendmsg((reply,), ((*_tos_of(address[0]), mark),), 0, address)
                except OSError as exc:  # its address cannot be reached: as if the reply were lost
                    log.debug("reply not sent to=%s error=%s", address, exc)

    def close(self) -> None:
        """End `run` within a round."""
        self._ends = True

    def _read(
        self, data: bytes, ancillary: list[tuple[int, int, bytes]], address: tuple[str, int]
    ) -> Datagram:
        arrived, tos, ttl = 0, 0, 0
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _STAMP.unpack(value)
                arrived = seconds * 1_000_000_000 + nanoseconds
            elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                self.drops = int.from_bytes(value[:4], "little")
            elif (level, kind) in _TOS:
                tos = value[0]
            elif (level, kind) in _TTL:
                ttl = value[0]
        now = time.time_ns()
        return Datagram(data, address, arrived or now, now, tos, ttl, self.drops)


def _tos_of(host: str) -> tuple[int, int]:
    """Return which option marks what is sent to an address."""
    if ":" in host and not host.startswith("::ffff:"):
        return socket.IPPROTO_IPV6, socket.IPV6_TCLASS
    return socket.IPPROTO_IP, socket.IP_TOS


def _open(family: int, listen: ListenAt) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:  # as much as net.core.rmem_max allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
        # Of IPv6's sockets too: "::" hears IPv4 as well, whose marks come as IPv4's.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)  # as the agents do
        # The kernel's own time-out of a read: no poll() before each.
        half = struct.pack("@qq", 0, 500_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, half)
        sock.bind((listen.host, listen.port))
    except BaseException:
        sock.close()
        raise
    return sock


class _Own(Collector):
    """How the reflector fares, as Prometheus reads it."""

    def __init__(self, reflector: Reflector) -> None:
        self._reflector = reflector

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield what is true now."""
        sessions = self._reflector.sessions
        yield GaugeMetricFamily("thongsuot_reflector_sessions", "Sessions open.", len(sessions))
        yield CounterMetricFamily(
            "thongsuot_reflector_reflected_packets", "Packets answered.", sessions.reflected
        )
        yield CounterMetricFamily(
            "thongsuot_reflector_socket_drops",
            "Packets lost at this machine's socket: each one voids the runs it fell into.",
            self._reflector.drops,
        )
        refused = CounterMetricFamily(
            "thongsuot_reflector_refused_packets", "Packets not answered.", labels=["reason"]
        )
        for reason, count in sessions.refused.copy().items():
            refused.add_metric([reason], count)
        yield refused


def serve(config: ReflectorConfig) -> None:
    """Answer until SIGTERM or SIGINT. OSError where an address cannot be had."""
    reflector = Reflector(config.secret, config.listen)
    if config.metrics is not None:
        registry = CollectorRegistry()
        registry.register(_Own(reflector))
        ProcessCollector(registry=registry)
        start_http_server(config.metrics.port, config.metrics.host, registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reflector.close())
    host, port = reflector.address
    log.info("reflecting host=%s port=%d", host, port)
    reflector.run()
    log.info("stopped")
