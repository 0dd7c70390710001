"""Servers for the probes to meet: a real nginx, and small ones that do what a test says."""

import asyncio
import getpass
import os
import signal
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.pki import Issued, Pki
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PAGE = "<h1>Cổng dịch vụ công</h1>\n" * 100


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx: `http` and, by the certificate it shows, the ports of its HTTPS sites."""

    master: int
    http: int
    https: dict[str, int]


@contextmanager
def nginx(folder: Path, pki: Pki) -> Iterator[Nginx]:
    """Run nginx on both loopback addresses, with a site for each certificate."""
    folder.mkdir()
    (folder / "www").mkdir()
    (folder / "www/index.html").write_text(PAGE, "utf-8")
    (folder / "www/large.bin").write_bytes(bytes(2 << 20))
    shown = {"good", "rsa", "expired", "future", "wrong_name", "untrusted", "chain"}
    ports = {name: free_port() for name in sorted({"http", *shown})}
    sites = [_site(ports["http"], "")]
    sites += [_site(ports[name], _tls(getattr(pki, name))) for name in sorted(shown)]
    scratch = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()};\n"  # as root it would drop to one who cannot read our folder
        f"daemon off; pid {folder}/pid; error_log {folder}/err; worker_processes 1;\n"
        "events { worker_connections 256; }\n"
        "http { access_log off; ssl_protocols TLSv1.2 TLSv1.3; charset utf-8; types { text/html html; }\n"
        + "".join(f"{name}_temp_path {folder}/{name};\n" for name in scratch)
        + f"root {folder}/www;\n"
        + "".join(sites)
        + "}\n",
        "utf-8",
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, log=folder / "log") as process:
        until_sync(lambda: listening("::1", ports["http"]), what="nginx listens")
        yield Nginx(process.pid, ports.pop("http"), ports)


@contextmanager
def stopped(master: int) -> Iterator[None]:
    """Stop nginx and its workers for a while: the kernel still takes connections for it."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text("ascii").split()
    pids = [master, *map(int, children)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _tls(issued: Issued) -> str:
    return f"ssl_certificate {issued.cert}; ssl_certificate_key {issued.key};"


def _site(port: int, tls: str) -> str:
    how = "ssl" if tls else ""
    return f"""server {{
        listen 127.0.0.1:{port} {how}; listen [::1]:{port} {how} ipv6only=on; {tls}
        location /zipped/ {{ alias www/; gzip on; gzip_min_length 1; }}
        location /broken {{ return 503; }}
        location /loop {{ return 302 /loop; }}
        location /moved {{ return 301 /further; }}
        location /further {{ return 307 /; }}
    }}
    """


@asynccontextmanager
async def serve(
    act: Act, *, tls: Issued | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Run a server whose every connection is an act; yields its port."""
    acts: set[asyncio.Task[None]] = set()

    async def perform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await act(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the probe has left: that is what some tests want
        finally:
            await put_down(writer)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of ours: asyncio's own, once cancelled, is an error to it
        acts.add(asyncio.create_task(perform(reader, writer)))

    context = server_context(tls) if tls else None
    server = await asyncio.start_server(connected, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in acts:
            task.cancel()
        await asyncio.gather(*acts, return_exceptions=True)
        await server.wait_closed()


async def put_down(writer: asyncio.StreamWriter) -> None:
    """End a connection at once; how it ended is asked, or asyncio would tell it to a log."""
    writer.transport.abort()
    with suppress(OSError):  # TimeoutError is one: after start_tls() Python 3.11 never says
        async with asyncio.timeout(0.2):
            await writer.wait_closed()


def server_context(shown: Issued) -> ssl.SSLContext:
    """Return what a TLS server needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    return context


def saying(*parts: bytes, pause: float = 0.0) -> Act:
    """Return an act that waits for a request, says its parts and closes."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        writer.close()
        await writer.wait_closed()

    return act


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take what comes and never say a word."""
    await reader.read(-1)
    await asyncio.Event().wait()


def break_off(writer: asyncio.StreamWriter) -> None:
    """Send a reset instead of an orderly end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
