"""CPU per packet: the reflector against irtt's server, the field's own, and a bare echo in Python.

148 calls of G.711 at once, each from a socket of its own, are paced; then one call sends 64 packets
at a time without a pause, and packets per second of CPU are what a core can do. The echo reads and
sends and does nothing else: the floor of what Python can do.
"""

import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.wire.stamp_packet import media_tlvs, ntp, opening, request
from collector.bridge.lease import grant
from tests.bench.measure import Row, cpu_seconds
from tests.programs import free_port, program, running

ROUNDS = 3
CALLS = 148
PACKETS_A_SECOND = 50
PACED_SECONDS = 8
FLAT_OUT_PACKETS = 150_000
AT_ONCE = 64
UDP_BYTES = 172
EF = 46
SECRET = b"0123456789abcdef0123456789abcdef"
ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
sock.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, address = sock.recvfrom(2048)
    sock.sendto(data, address)
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A program that sends packets back."""

    pid: int
    port: int
    open: Callable[[socket.socket, int], bytes]
    """Opens a call by its number and returns what all its packets hold."""
    packet: Callable[[bytes, int, int], bytes]
    """What `open` returned, the call's number, the packet's -> what is sent."""


@dataclass(frozen=True, slots=True)
class Told:
    """What some packets came to."""

    cpu_seconds: float
    sent: int
    replies: int


def compare(work: Path) -> list[Row]:
    """Return the cost of a packet paced and flat out, and what was lost, against both peers."""
    load = f"reflector, {CALLS} calls, {CALLS * PACKETS_A_SECOND:,} packets/s"
    with _ours(work) as ours, _irtt(work) as irtt, _echo(work) as echo:
        peers = {"irtt server": irtt, "bare Python echo, the floor": echo}
        paced = [Row(f"{load}: CPU per packet", "us", name, "-") for name in peers]
        lost = [Row(f"{load}: packets unanswered", "", name, "0") for name in peers]
        most = [
            Row("reflector, flat out, more is better", "1,000 packets/s a core", name, "-")
            for name in peers
        ]
        for round_ in range(ROUNDS):
            own_calls, own_most = _paced(ours, round_), _flat_out(ours, round_)
            for at, peer in enumerate(peers.values()):
                calls, flat = _paced(peer, round_), _flat_out(peer, round_)
                paced[at].peer.append(calls.cpu_seconds / calls.sent * 1e6)
                paced[at].ours.append(own_calls.cpu_seconds / own_calls.sent * 1e6)
                lost[at].peer.append(calls.sent - calls.replies)
                lost[at].ours.append(own_calls.sent - own_calls.replies)
                most[at].peer.append(flat.replies / flat.cpu_seconds / 1e3)
                most[at].ours.append(own_most.replies / own_most.cpu_seconds / 1e3)
    return paced + lost + most


def _paced(server: Server, round_: int) -> Told:
    """Send 148 calls' packets evenly and take the replies as they come."""
    sent = CALLS * PACKETS_A_SECOND * PACED_SECONDS
    with ExitStack() as stack, select.epoll() as poll:
        calls = []
        for number in range(1 + round_ * CALLS, 1 + (round_ + 1) * CALLS):
            sock = _socket(stack, server)
            calls.append((sock, server.open(sock, number), number))
            sock.setblocking(False)
            poll.register(sock, select.EPOLLIN)
        came = {sock.fileno(): sock for sock, _, _ in calls}
        before, start, replies = cpu_seconds(server.pid), time.monotonic(), 0
        for packet in range(sent):
            due = start + packet / (CALLS * PACKETS_A_SECOND)
            while True:
                for found, _ in poll.poll(max(0.0, due - time.monotonic())):
                    came[found].recv(2048)
                    replies += 1
                if time.monotonic() >= due:
                    break
            sock, opened, number = calls[packet % CALLS]
            sock.send(server.packet(opened, number, packet // CALLS))
        while ready := poll.poll(0.5):
            for found, _ in ready:
                came[found].recv(2048)
                replies += 1
        return Told(cpu_seconds(server.pid) - before, sent, replies)


def _flat_out(server: Server, round_: int) -> Told:
    """Send packets of one call, 64 under way at a time."""
    number = 1 + ROUNDS * CALLS + round_
    with ExitStack() as stack:
        sock = _socket(stack, server)
        opened = server.open(sock, number)
        packets = [server.packet(opened, number, seq) for seq in range(FLAT_OUT_PACKETS)]
        sock.settimeout(0.5)
        before, replies = cpu_seconds(server.pid), 0
        for begin in range(0, FLAT_OUT_PACKETS, AT_ONCE):
            some = packets[begin : begin + AT_ONCE]
            for packet in some:
                sock.send(packet)
            try:
                for _ in some:
                    sock.recv(2048)
                    replies += 1
            except TimeoutError:  # lost: the count of replies says so
                continue
        return Told(cpu_seconds(server.pid) - before, FLAT_OUT_PACKETS, replies)


def _socket(stack: ExitStack, server: Server) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EF << 2)
    sock.connect(("127.0.0.1", server.port))
    return sock


def _ask(sock: socket.socket, packet: bytes) -> bytes:
    """Send until something answers: the program may be just starting."""
    sock.settimeout(0.2)
    for _ in range(75):
        try:
            sock.send(packet)
            return sock.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.1)
    raise TimeoutError("no answer from the server within 15 s")


@contextmanager
def _ours(work: Path) -> Iterator[Server]:
    port = free_port()
    (work / "secret").write_bytes(SECRET)
    config = work / "reflector.yml"
    config.write_text(f"secret_file: secret\nlisten: {{host: 127.0.0.1, port: {port}}}\n", "utf-8")
    tlvs = media_tlvs(EF, UDP_BYTES)

    def begin(sock: socket.socket, session: int) -> bytes:
        now = time.time()
        lease, key = grant(
            SECRET,
            session=session,
            max_packets=FLAT_OUT_PACKETS,
            max_packets_per_second=1_000_000,
            max_packet_bytes=UDP_BYTES,
            not_before=now,
            not_after=now + 120,
        )
        _ask(sock, opening(ntp(time.time_ns()), session, lease, key))
        return tlvs

    def packet(opened: bytes, session: int, seq: int) -> bytes:
        return request(seq, ntp(time.time_ns()), session, opened)

    command = [sys.executable, "-m", "collector", "reflector", "-c", str(config)]
    with running(command, log=work / "reflector.log") as child:
        yield Server(child.pid, port, begin, packet)


@contextmanager
def _irtt(work: Path) -> Iterator[Server]:
    """Run irtt's server, which is also told who opens a call, and stamps and counts as ours."""
    port = free_port()

    def begin(sock: socket.socket, session: int) -> bytes:
        # Protocol 1, 100 s, each 20 ms, length, counts and both stamps of both clocks, DSCP.
        asked = (1, 100_000_000_000, 20_000_000, UDP_BYTES, 3, 3, 3, EF << 2)
        fields = b"".join(
            bytes((kind,)) + _varint(value << 1) for kind, value in enumerate(asked, 1)
        )
        return _ask(sock, b"\x14\xa7\x5b\x01" + fields)[4:12]  # the call's token

    def packet(token: bytes, session: int, seq: int) -> bytes:
        return (b"\x14\xa7\x5b\x00" + token + struct.pack("<I", seq)).ljust(UDP_BYTES, b"\0")

    command = [program("irtt"), "server", "-b", f"127.0.0.1:{port}", "-i", "0"]
    with running(command, log=work / "irtt.log") as child:
        yield Server(child.pid, port, begin, packet)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


@contextmanager
def _echo(work: Path) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-c", ECHO, str(port)]
    with running(command, log=work / "echo.log") as child:
        yield Server(
            child.pid,
            port,
            lambda sock, _: _ask(sock, bytes(UDP_BYTES)),
            lambda opened, _, seq: seq.to_bytes(4) + opened[4:],
        )
