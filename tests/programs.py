"""Real programs the tests speak to. Absent is a failure in CI, elsewhere a skip that names it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEBIAN_PACKAGE = {
    "nginx": "nginx-light",
    "unbound": "unbound",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "victoria-metrics": "victoria-metrics",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "prometheus-pushgateway": "prometheus-pushgateway",
    "chromium": "chromium",
    "gcc": "gcc",
    "ip": "iproute2",
    "irtt": "irtt",
    "ss": "iproute2",
    "nft": "nftables",
    "e2fsck": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "openssl": "openssl",
    "chronyd": "chrony",
    "turnserver": "coturn",
    "turnutils_peer": "coturn",
    "kamailio": "kamailio",
    "sipp": "sip-tester",
    "postfix": "postfix",
    "dovecot": "dovecot-imapd",
    "slapd": "slapd",
}


def program(name: str) -> str:
    """Return the path of a real program."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} is not installed (Debian package {DEBIAN_PACKAGE[name]})")
    return found


def root() -> None:
    """Go on only as root: namespaces and raw sockets need it."""
    if os.geteuid() != 0:
        missing("this test needs root")


def missing(what: str) -> None:
    """Fail in CI, skip elsewhere: a component that is not there was not tested."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port for programs that cannot be given port 0 and asked."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], *, log: Path, **kwargs) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the foreground, its output in `log`; ended and waited for afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **kwargs)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def listening(host: str, port: int) -> bool:
    """Whether a TCP connection is taken."""
    try:
        with socket.create_connection((host, port), 0.5):
            return True
    except OSError:
        return False
