"""STUN requests and their answers over a socket: repeated over UDP, cut out of a stream."""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Protocol

from agent.probes.channel import Channel
from agent.probes.stun_message import (
    HEADER_BYTES,
    MalformedError,
    Message,
    Request,
    body_bytes,
    read_answer,
)

# Until a request is sent again: RFC 8489 6.2.1 with RTO 0.5 s, but Rc 4 and Rm 8 instead of 7 and
# 16. A line that answers none of four requests in 7.5 s carries no conference.
WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)
BUFFER_BYTES = 2048
MOST_STRAYS = 64  # messages that are no answer to us; more is a flood, and must not hold the loop


class Conversation(Protocol):
    """Questions to one server, one after the other."""

    attempts: int
    """How often the latest request was sent."""
    rtt_seconds: float | None
    """Of the latest exchange; None where nobody knows which request was answered (Karn)."""

    async def ask(self, request: Request) -> Message:
        """Return the answer. MalformedError, OSError and TimeoutError fly."""
        ...

    def leave(self, request: Request | None) -> None:
        """Close without waiting, with a last word if there is one and it matters here."""
        ...


class OverUdp:
    """Speaks over a connected UDP socket, which it owns from now on: other senders' words drop."""

    def __init__(
        self, sock: socket.socket, waits_seconds: tuple[float, ...] = WAITS_SECONDS
    ) -> None:
        self._sock = sock
        self._waits_seconds = waits_seconds
        self._loop = asyncio.get_running_loop()
        self.attempts = 0
        self.rtt_seconds: float | None = None

    async def ask(self, request: Request) -> Message:
        """Send until an answer comes; TimeoutError when none has come to the last one."""
        self.attempts = 0
        self.rtt_seconds = None
        begun = time.monotonic()
        for wait_seconds in self._waits_seconds:
            self._sock.send(request.wire)
            self.attempts += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    answer = await self._receive(request)
                    if self.attempts == 1:
                        self.rtt_seconds = time.monotonic() - begun
                    return answer
        raise TimeoutError

    async def _receive(self, request: Request) -> Message:
        for _ in range(MOST_STRAYS):
            data = await self._loop.sock_recv(self._sock, BUFFER_BYTES)
            answer = read_answer(data, request)
            if answer is not None:
                return answer
        raise MalformedError(f"{MOST_STRAYS} messages came, none of them an answer")

    def leave(self, request: Request | None) -> None:
        """Say the last word, which nobody waits to be heard, and close."""
        if request is not None:
            with suppress(OSError):
                self._sock.send(request.wire)
        self._sock.close()


class OverStream:
    """Speaks over a TCP or TLS channel, which it owns from now on."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._received = b""
        self.attempts = 0
        self.rtt_seconds: float | None = None

    async def ask(self, request: Request) -> Message:
        """Send once: the stream itself repeats what is lost. EOFError when it ends too early."""
        self.attempts = 1
        self.rtt_seconds = None
        begun = time.monotonic()
        await self._channel.send(request.wire)
        for _ in range(MOST_STRAYS):
            answer = read_answer(await self._message(), request)
            if answer is not None:
                self.rtt_seconds = time.monotonic() - begun
                return answer
        raise MalformedError(f"{MOST_STRAYS} messages came, none of them an answer")

    async def _message(self) -> bytes:
        header = await self._peek(HEADER_BYTES)
        size = HEADER_BYTES + body_bytes(header)
        message = await self._peek(size)
        self._received = self._received[size:]
        return message

    async def _peek(self, size: int) -> bytes:
        while len(self._received) < size:
            more = await self._channel.receive()
            if not more:
                raise EOFError("the server closed the connection before it had answered")
            self._received += more
        return self._received[:size]

    def leave(self, request: Request | None) -> None:
        """Close: with the connection ends what was granted on it (RFC 8656 5)."""
        self._channel.close()
