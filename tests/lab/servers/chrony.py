"""A real chronyd that serves the time and never touches this machine's clock."""

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.namespaces import inside
from tests.programs import free_port, program, running
from tests.waiting import until_sync


@contextmanager
def chrony(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    namespace: str = "",
    settings: tuple[str, ...] = ("local stratum 10",),
) -> Iterator[int]:
    """Run chronyd on an address; yields its port.

    Without `local stratum …` among its settings it says that it does not know the time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port(host)
    lines = (
        *(f"port {port}", f"bindaddress {host}", "allow all"),
        *("cmdport 0", "bindcmdaddress /", f"pidfile {folder}/pid"),
        *settings,
    )
    (folder / "chrony.conf").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    command = [*(program("chronyd"), "-x", "-d", "-U"), *("-u", getpass.getuser())]
    command += ["-f", str(folder / "chrony.conf")]
    if namespace:
        command = [program("ip"), "netns", "exec", namespace, *command]
    with running(command, log=folder / "log"):
        until_sync(lambda: _answers(host, port, namespace), what="chronyd answers")
        yield port


def _answers(host: str, port: int, namespace: str) -> bool:
    """Whether a client's packet is answered, synchronised or not."""
    if namespace:
        with inside(namespace):
            return _answers(host, port, "")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect((host, port))
            sock.send(b"\x23" + bytes(47))
            return len(sock.recv(1024)) >= 48
        except OSError:
            return False
