"""Network namespaces of our own: made, lived in, and gone afterwards with all in them. Needs root.

with namespaces("pc", "dc") as (pc, dc):
    ip("link add lan netns {pc} ...")
    with inside(pc):
        ...  # sockets opened here belong to `pc`, for as long as they live
    subprocess.Popen(in_namespace(dc, "nginx", ...))
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from tests.programs import program, root
from tests.waiting import until_sync

CLONE_NEWNET = 0x40000000
ETC = Path("/etc/netns")
libc = ctypes.CDLL(None, use_errno=True)
_serial = count(1)


@contextmanager
def namespaces(*parts: str) -> Iterator[tuple[str, ...]]:
    """Make a namespace for each part and yield their names, `ts<pid>-<number>-<part>`.

    Their loopback is up and their routers talk freely (no limit on ICMP errors). In the end what
    still runs in them is killed, and they go with their files in /etc/netns.
    """
    root()
    prefix = f"ts{os.getpid()}-{next(_serial)}"
    names = tuple(f"{prefix}-{part}" for part in parts)
    ip("".join(f"netns add {name}\n" for name in names))
    try:
        for name in names:
            with inside(name):
                sysctl("ipv6/conf/all/accept_dad", "0")
                sysctl("ipv6/conf/default/accept_dad", "0")
                sysctl("ipv4/icmp_ratelimit", "0")
                sysctl("ipv6/icmp/ratelimit", "0")
                sysctl("ipv4/ping_group_range", "0 2147483647")
            ip("link set lo up\n", name)
        yield names
    finally:
        for name in names:
            kill_all_in(name)
        ip("".join(f"netns del {name}\n" for name in names))
        for name in names:
            shutil.rmtree(ETC / name, ignore_errors=True)


def kill_all_in(namespace: str) -> None:
    """End what still lives there; ourselves we spare, as a test's threads may be inside."""
    pids = set(processes(namespace)) - {os.getpid()}
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until_sync(lambda: not pids & set(processes(namespace)), what=f"{namespace} empty")


def processes(namespace: str) -> list[int]:
    """Return the ids of the processes that live in a namespace."""
    done = subprocess.run(
        [program("ip"), "netns", "pids", namespace], capture_output=True, check=True, timeout=20
    )
    return [int(pid) for pid in done.stdout.split()]


def in_namespace(namespace: str, *command: str) -> list[str]:
    """Return the command that runs another one in a namespace; "" is here."""
    return [program("ip"), "netns", "exec", namespace, *command] if namespace else list(command)


def resolv_conf(namespace: str, *servers: str) -> None:
    """Name the resolvers of the programs that `ip netns exec` starts there from now on."""
    (ETC / namespace).mkdir(parents=True, exist_ok=True)
    lines = [*(f"nameserver {server}" for server in servers), "options timeout:1 attempts:1"]
    (ETC / namespace / "resolv.conf").write_text("\n".join(lines) + "\n", "ascii")


def ip(batch: str, namespace: str = "") -> None:
    """Run lines of `ip` in a namespace."""
    where = ["-n", namespace] if namespace else []
    subprocess.run(
        [program("ip"), *where, "-batch", "-"], input=batch.encode(), check=True, timeout=20
    )


def nft(rules: str, namespace: str) -> None:
    """Load a filter in a namespace."""
    with inside(namespace):
        subprocess.run([program("nft"), "-f", "-"], input=rules.encode(), check=True, timeout=20)


def sysctl(name: str, value: str) -> None:
    """Set one of net.* where this thread is."""
    Path("/proc/sys/net", name).write_text(value, "ascii")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread live in a namespace; sockets opened there stay there."""
    with (
        Path("/proc/thread-self/ns/net").open("rb") as home,
        Path("/run/netns", namespace).open("rb") as there,
    ):
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
