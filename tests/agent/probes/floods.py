"""Peers that never end, in a process of their own: inside ours Python would make them take turns.

Run as a program it stands until its input ends, and says first at which ports.
"""

import json
import random
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from tests.agent.probes.bad_peers import one_port
from tests.pki import Issued

ROOT = Path(__file__).parents[3]
DATAGRAM_BYTES = 1400
NOISE = random.Random(4).randbytes(1 << 16)
PAGE = b"HTTP/1.1 200 OK\r\n"


class Flood(NamedTuple):
    """What is said first over a connection, and then, as over UDP from the start, for ever."""

    first: bytes
    again: bytes


FLOODS = {
    "a flood of noise": Flood(b"", NOISE),
    "a flood of zeros": Flood(b"", bytes(1 << 16)),
    "a page without end": Flood(PAGE + b"\r\n", NOISE),
    "a header without end": Flood(PAGE, b"X-More: and more\r\n" * 1000),
    "a greeting without end": Flood(b"", b"220-and more\r\n" * 1000),
}


class Ports(NamedTuple):
    """Where one of them stands."""

    plain: int
    """Over TCP and UDP."""
    tls: int


@contextmanager
def flooding(shown: Issued) -> Iterator[dict[str, Ports]]:
    """Let all of FLOODS stand, with a certificate to show; yields their ports by their names."""
    command = [sys.executable, "-m", __name__, str(shown.cert), str(shown.key)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        try:
            ports = json.loads(process.stdout.readline())
            yield {name: Ports(*both) for name, both in ports.items()}
        finally:
            process.stdin.close()
            process.wait(10)


def _stand(cert: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    ports = {}
    for name, flood in FLOODS.items():
        tcp, udp = one_port()
        tls, _unused = one_port()
        for listener, over in ((tcp, None), (tls, context)):
            listener.listen()
            Thread(target=_take, args=(listener, over, flood), daemon=True).start()
        Thread(target=_hear, args=(udp, flood), daemon=True).start()
        ports[name] = Ports(tcp.getsockname()[1], tls.getsockname()[1])
        _unused.close()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


def _take(listener: socket.socket, context: ssl.SSLContext | None, flood: Flood) -> None:
    while True:
        sock, _ = listener.accept()
        Thread(target=_pour, args=(sock, context, flood), daemon=True).start()


def _pour(sock: socket.socket, context: ssl.SSLContext | None, flood: Flood) -> None:
    with sock, suppress(OSError):  # the probe has left
        stream = context.wrap_socket(sock, server_side=True) if context else sock
        with stream:
            stream.sendall(flood.first)
            while True:
                stream.sendall(flood.again)


def _hear(udp: socket.socket, flood: Flood) -> None:
    while True:
        _, sender = udp.recvfrom(2048)
        Thread(target=_spray, args=(udp.getsockname(), sender, flood), daemon=True).start()


def _spray(own: tuple[str, int], sender: tuple[str, int], flood: Flood) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock, suppress(OSError):  # the probe has left
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(own)
        sock.connect(sender)
        while True:
            sock.send(flood.again[:DATAGRAM_BYTES])


if __name__ == "__main__":
    _stand(*sys.argv[1:])
