"""Names to addresses and bound sockets, for the probes that need either."""

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.probes.base import Env, ProbeError, Recorder, Source, Target

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6, 0: socket.AF_UNSPEC}
SO_BINDTODEVICE = 25
RESOLV_CONF = Path("/etc/resolv.conf")
HOST = re.compile(r"[\w.-]+")


class SystemResolver:
    """getaddrinfo off the loop: what the PC's other programs would be told (hosts file, nsswitch).

    Lookups of one name share one thread, so that a dead resolver, which holds each thread for its
    own long timeout, can block at most as many threads as there are names.
    """

    def __init__(self, threads: int = 8) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolve")
        self._asking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, ip_version: int) -> list[str]:
        """Return the addresses in the system's order; socket.gaierror when there are none."""
        key = (host, ip_version)
        asking = self._asking.get(key)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._pool, _look_up, host, FAMILIES[ip_version])
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(asking)  # one caller's deadline must not take it from others

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[str]]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # seen, even if every caller has left

    def close(self) -> None:
        """Leave threads that still wait for a dead resolver to themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, family: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
    except UnicodeError as exc:  # labels that no resolver can be asked for
        raise socket.gaierror(socket.EAI_NONAME, f"no such name is possible: {exc}") from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def system_resolvers() -> list[str]:
    """Return the nameservers this PC asks, at least one, in its order (resolv.conf(5))."""
    try:
        lines = RESOLV_CONF.read_text("utf-8", "replace").splitlines()
    except OSError as exc:
        raise ProbeError(f"{RESOLV_CONF}: cannot be read: {exc.strerror}") from exc
    words = [line.split() for line in lines]
    found = [w[1] for w in words if w[:1] == ["nameserver"] and len(w) > 1 and is_address(w[1])]
    if not found:
        raise ProbeError(f"{RESOLV_CONF}: expected a line `nameserver ADDRESS`")
    return found


async def resolve(env: Env, host: str, ip_version: int, rec: Recorder) -> str:
    """Return the first address of a host, timed as phase `resolve`.

    One address, as configured or as the system orders them: v4 and v6 are two checks. The address
    is kept as the fact `address`; whether it was v4 or v6 as the value `ip_protocol`.
    """
    with rec.phase("resolve"):
        address = host if is_address(host) else (await env.resolve(host, ip_version))[0]
    rec.fact("address", address)
    rec.value("ip_protocol", 6 if ":" in address else 4)
    return address


async def connect(address: str, port: int, target: Target) -> socket.socket:
    """Return a non-blocking TCP socket connected over the target's line. OSError flies."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = bound_socket(family, socket.SOCK_STREAM, target.source)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def bound_socket(family: int, kind: int, source: Source | None, proto: int = 0) -> socket.socket:
    """Return a non-blocking socket that leaves over the given line. ProbeError if it cannot."""
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if source is not None:
            bind(sock, source)
    except BaseException:
        sock.close()
        raise
    return sock


def bind(sock: socket.socket, source: Source) -> None:
    """Bind a socket to a line's interface and address. ProbeError says which of them is wrong."""
    try:
        if source.interface:
            name = source.interface.encode() + b"\0"
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, name)
        if source.address:
            sock.bind((source.address, 0))
    except OSError as exc:
        where = source.interface or source.address
        raise ProbeError(f"cannot use line at {where}: {exc.strerror}") from exc


def is_address(host: str) -> bool:
    """Whether a host is written as an address already."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def split_host_port(text: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`. ValueError says what was expected."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not host or bracketed is not (":" in host):
        raise ValueError("expected host:port, or [address]:port for IPv6")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError("expected a port from 1 to 65535 after the host")
    return host, int(port)


def split_host(text: str, port: int) -> tuple[str, int]:
    """Split `host:port`, or give a host alone the usual port. ValueError says what was expected."""
    alone = ":" not in text or (text.count(":") > 1 and not text.startswith("["))
    return (text, port) if alone else split_host_port(text)


def refuse_host(host: str, ip_version: int) -> str:
    """Return what was expected of a target's host, or "" when it is fine."""
    if is_address(host):
        version = ipaddress.ip_address(host.partition("%")[0]).version
        fits = ip_version in {0, version}
        return "" if fits else f"expected a name or an IPv{ip_version} address, as ip_version says"
    if host.rstrip(".").rpartition(".")[2].isdecimal():  # no name ends so: a slip in an address
        return "expected an IPv4 address of four numbers from 0 to 255"
    try:
        host.encode("idna")  # as the system's resolver will be asked
    except UnicodeError:
        return "expected a host name with labels of 1 to 63 characters"
    return "" if HOST.fullmatch(host) else "expected a host name of letters, digits, '-' and '_'"


def refuse_host_port(text: str, ip_version: int) -> str:
    """Return what was expected of a target `host:port`, or "" when it is fine."""
    try:
        host, _ = split_host_port(text)
    except ValueError as exc:
        return str(exc)
    return refuse_host(host, ip_version)
