"""A connected socket that can be turned into TLS, for the probes that speak over one.

No transport, no task, no callback stays behind it: whoever made the channel closes it, at once,
on every way out. The TLS session is driven over memory, so that the bytes and the moments at which
they pass are ours to see.
"""

import asyncio
import fcntl
import socket
import ssl
import sys
import termios
from contextlib import suppress

CHUNK_BYTES = 1 << 16


class Channel:
    """Sends and receives over a non-blocking socket, which it owns from now on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Shake hands. ssl.SSLError says what the two could not agree on."""
        name = server_name.partition("%")[0]  # the scope of fe80::1%eth0 is in no certificate
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._tls = tls
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                return await self._flush()

    async def send(self, data: bytes) -> None:
        """Send all of it, or raise OSError."""
        if self._tls is None:
            return await self._loop.sock_sendall(self._sock, data)
        self._tls.write(data)
        return await self._flush()

    async def receive(self) -> bytes:
        """Return what has come, at least one byte; b"" when the other side has ended."""
        if self._tls is None:
            return await self._loop.sock_recv(self._sock, CHUNK_BYTES)
        while True:
            try:
                return self._tls.read(CHUNK_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()  # the answer to a change of keys
                await self._fill()
            except ssl.SSLEOFError:  # ended without saying so: how much was due, HTTP itself knows
                return b""

    def local_address(self) -> tuple[str, int]:
        """Return the address and port of ours that the connection uses."""
        address, port, *_ = self._sock.getsockname()
        return address, port

    def unacknowledged(self) -> int:
        """Return how many bytes were sent, but have not been taken in by the other side's kernel."""
        waiting = fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ is the same number
        return int.from_bytes(waiting, sys.byteorder)

    def agreed(self) -> tuple[str, str]:
        """Return the TLS version and the cipher, as `TLSv1.3` and OpenSSL's name; "" if none."""
        cipher = self._tls.cipher() if self._tls else None
        return (cipher[1], cipher[0]) if cipher else ("", "")

    def chain(self) -> list[bytes]:
        """Return the certificates that the other side has shown, its own first, as DER."""
        if self._tls is None:
            return []
        if sys.version_info >= (3, 13):
            return self._tls.get_unverified_chain()
        shown = self._tls._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]  # noqa: SLF001  public only since 3.13
        return [certificate.public_bytes(ssl._ssl.ENCODING_DER) for certificate in shown]  # type: ignore[attr-defined]  # noqa: SLF001  as above

    def close(self) -> None:
        """Close, saying goodbye (or what was wrong) if that goes without waiting."""
        if self._tls is not None:
            with suppress(
                ssl.SSLError
            ):  # a goodbye wants an answer; an unfinished session has none
                self._tls.unwrap()
            with suppress(OSError):
                self._sock.send(self._outgoing.read())
        self._sock.close()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._sock, data)

    async def _fill(self) -> None:
        if data := await self._loop.sock_recv(self._sock, CHUNK_BYTES):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
