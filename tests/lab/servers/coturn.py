"""coturn: a real STUN and TURN server, on loopback or in a namespace."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.lab.namespaces import in_namespace, inside
from tests.pki import Issued
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync

REALM, USER, PASSWORD = "thongsuot.test", "commune", "Ngày hội 2026"


@dataclass(frozen=True, slots=True)
class Coturn:
    """A running server: one port for UDP and TCP, one for TLS (0 without a certificate)."""

    address: str
    port: int
    tls_port: int
    pid: int
    log: Path


@contextmanager
def coturn(
    folder: Path,
    *,
    address: str = "127.0.0.1",
    shown: Issued | None = None,
    secret: str = "",
    options: tuple[str, ...] = (),
    namespace: str = "",
) -> Iterator[Coturn]:
    """Run a server that asks for USER and PASSWORD, or for what `secret` has made (REST style)."""
    folder.mkdir(parents=True, exist_ok=True)
    port, tls_port = free_port(), free_port() if shown else 0
    users = (
        ["--use-auth-secret", f"--static-auth-secret={secret}"]
        if secret
        else ["--lt-cred-mech", f"--user={USER}:{PASSWORD}"]
    )
    tls = (
        [f"--tls-listening-port={tls_port}", f"--cert={shown.cert}", f"--pkey={shown.key}"]
        if shown
        else ["--no-tls", "--no-dtls"]
    )
    command = in_namespace(
        namespace,
        *(program("turnserver"), "-n", "--no-cli", "--simple-log", "--log-file=stdout"),
        *(f"--listening-ip={address}", f"--relay-ip={address}", f"--listening-port={port}"),
        *("--allow-loopback-peers", f"--realm={REALM}", "--relay-threads=1"),
        *(f"--userdb={folder}/turndb", f"--pidfile={folder}/pid"),
        *users,
        *tls,
        *options,
    )
    log = folder / "log"
    with running(command, log=log) as process:

        def ready() -> bool:
            with inside(namespace) if namespace else nullcontext():
                tcp = all(listening(address, one) for one in (port, tls_port) if one)
                return tcp and _answers_udp(address, port)

        until_sync(ready, seconds=10, what="coturn listens")
        yield Coturn(address, port, tls_port, process.pid, log)


def _answers_udp(address: str, port: int) -> bool:
    """Whether a Binding request is answered: coturn opens its UDP port after the others."""
    with socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        sock.settimeout(0.2)
        sock.connect((address, port))
        try:
            sock.send(bytes.fromhex("000100002112a442") + bytes(12))
            return bool(sock.recv(200))
        except OSError:
            return False


@contextmanager
def hanging(server: Coturn) -> Iterator[None]:
    """Stop a server for a while: the kernel still takes for it what comes."""
    threads = list(Path(f"/proc/{server.pid}/task").iterdir())
    os.kill(server.pid, signal.SIGSTOP)
    try:
        until_sync(lambda: all(_stopped(thread) for thread in threads), what="coturn stopped")
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def _stopped(thread: Path) -> bool:
    return (thread / "stat").read_text("ascii").rpartition(")")[2].split()[0] == "T"
