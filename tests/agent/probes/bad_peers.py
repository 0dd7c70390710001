"""Peers of every way to be bad, over TCP (or TLS) and UDP on one port, in a thread of their own.

Apart from the probes' loop: one that waits for a peer holds nobody up but itself.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.agent.probes.servers import put_down, server_context
from tests.pki import Issued

Answer = Callable[[bytes], None]
PIECE_BYTES = 1 << 16


class Peer:
    """Keeps a connection and swallows a datagram, and never says a word."""

    tcp = udp = True
    """Whether it listens there."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Act on a connection, which is closed when this returns."""
        await asyncio.Event().wait()

    async def asked(self, data: bytes, answer: Answer) -> None:
        """Act on a datagram; `answer` is one for each sender."""


class Dead(Peer):
    """Does not listen."""

    tcp = udp = False


class Refusing(Peer):
    """Resets each connection as soon as it is taken; does not listen for datagrams."""

    udp = False

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Make the closing that follows a reset."""
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class Lying(Peer):
    """Says something that it was not asked for, in pieces with pauses, and stays."""

    lie: bytes
    piece_bytes: int = PIECE_BYTES
    pause_seconds: float = 0.0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say it before a word is heard."""
        for piece in self._pieces():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.pause_seconds)
        await super().connected(reader, writer)

    async def asked(self, data: bytes, answer: Answer) -> None:
        """Say it for each datagram."""
        for piece in self._pieces():
            answer(piece)
            await asyncio.sleep(self.pause_seconds)

    def _pieces(self) -> Iterator[bytes]:
        for begin in range(0, len(self.lie), self.piece_bytes):
            yield self.lie[begin : begin + self.piece_bytes]


class Parrot(Peer):
    """Says what it hears."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give each byte back."""
        await _copy(reader, writer)

    async def asked(self, data: bytes, answer: Answer) -> None:
        """Give it back."""
        answer(data)


@dataclass
class Cut(Peer):
    """Stands before a server, and passes on only the first bytes of all that it says."""

    server: int
    """Its port."""
    most_bytes: int = 1 << 30
    passed_bytes: int = 0
    _asking: dict[Answer, asyncio.DatagramTransport] = field(default_factory=dict)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on, and close when it is enough or the server has closed."""
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server)
        hearing = asyncio.create_task(_copy(reader, server_writer))
        try:
            while self.passed_bytes < self.most_bytes:
                data = await server_reader.read(PIECE_BYTES)
                if not data:
                    break
                writer.write(self._some(data))
                await writer.drain()
        finally:
            hearing.cancel()
            await put_down(server_writer)

    async def asked(self, data: bytes, answer: Answer) -> None:
        """Pass on from a port of this sender's own."""
        if answer not in self._asking:
            loop = asyncio.get_running_loop()
            self._asking[answer], _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(lambda reply, _: self._told(reply, answer)),
                remote_addr=("127.0.0.1", self.server),
            )
        self._asking[answer].sendto(data)

    def _told(self, reply: bytes, answer: Answer) -> None:
        if some := self._some(reply):
            answer(some)

    def _some(self, data: bytes) -> bytes:
        some = data[: self.most_bytes - self.passed_bytes]
        self.passed_bytes += len(some)
        return some

    def close(self) -> None:
        """Leave the server's datagrams."""
        for transport in self._asking.values():
            transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(PIECE_BYTES):
            writer.write(data)
            await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Any], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data, addr)


class _Place:
    """A port at which a peer stands; made and closed in the peers' loop."""

    def __init__(self, peer: Peer, tls: Issued | None) -> None:
        self._peer = peer
        self._tls = server_context(tls) if tls else None
        self._acts: set[asyncio.Task[None]] = set()
        self._answers: dict[Any, Answer] = {}
        self._tcp, self._udp = one_port()
        self.port: int = self._tcp.getsockname()[1]

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = self._transport = None
        if self._peer.tcp:
            self._server = await asyncio.start_server(
                self._connected, sock=self._tcp, ssl=self._tls
            )
        if self._peer.udp:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._asked), sock=self._udp
            )
        else:
            self._udp.close()

    async def close(self) -> None:
        await turns()
        if self._server:
            self._server.close()
        for act in self._acts:
            act.cancel()
        await asyncio.gather(*self._acts, return_exceptions=True)
        if isinstance(self._peer, Cut):
            self._peer.close()
        if self._transport:
            self._transport.abort()
        self._tcp.close()
        await turns()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._act(reader, writer))

    async def _act(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):  # the probe has left
                await self._peer.connected(reader, writer)
                writer.close()
                await writer.wait_closed()
        finally:
            await put_down(writer)

    def _asked(self, data: bytes, sender: Any) -> None:
        assert self._transport
        answer = self._answers.setdefault(sender, partial(self._transport.sendto, addr=sender))
        self._begin(self._peer.asked(data, answer))

    def _begin(self, act: Coroutine[Any, Any, None]) -> None:
        self._acts.add(asyncio.create_task(act))


async def turns() -> None:
    """Let a server take up what the kernel has taken for it, and close what was aborted."""
    for _ in range(20):
        await asyncio.sleep(0)


def one_port() -> tuple[socket.socket, socket.socket]:
    """Return a TCP and a UDP socket bound to the same number."""
    while True:
        tcp = socket.socket()
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # for a flood to one sender alone
        tcp.bind(("127.0.0.1", 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp


@asynccontextmanager
async def standing(*peers: Peer, tls: Issued | None = None) -> AsyncIterator[list[int]]:
    """Let peers stand, each at a port of its own, yielded in their order.

    With `tls` what they do over TCP they do inside TLS.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="peers")
    thread.start()

    async def done(work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    places = [_Place(peer, tls) for peer in peers]
    try:
        for place in places:
            await done(place.open())
        yield [place.port for place in places]
    finally:
        for place in places:
            await done(place.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
