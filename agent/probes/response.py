"""One HTTP/1 response read off a channel: aiohttp parses, the channel stays ours.

aiohttp's client session would retry a GET whose connection broke, and could not say when the first
byte came; so its protocol (parser, decompression, flow control) is fed by hand here.
"""

import asyncio

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from agent.probes.channel import Channel

END_OF_HEADER = b"\r\n\r\n"


class Response:
    """What comes back for one request."""

    def __init__(self, channel: Channel, *, with_body: bool) -> None:
        self._channel = channel
        self._handler = ResponseHandler(asyncio.get_running_loop())
        self._handler.set_response_params(skip_payload=not with_body, read_until_eof=True)
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._received = b""
        self._given = 0

    async def begin(self) -> None:
        """Wait for the first byte."""
        self._received = await self._channel.receive()
        if not self._received:
            raise EOFError("the connection was closed without an answer")

    async def head(self) -> RawResponseMessage:
        """Return status, version and headers; answers that promise another one are passed over."""
        while True:
            while not len(self._handler):
                data = self._received or await self._channel.receive()
                # Header and body apart: aiohttp would lose a good header with a broken body
                header, end, self._received = data.partition(END_OF_HEADER)
                self._parse(header + end)
                if not len(self._handler):
                    self._raise_if_over(data, "inside the header")
            message, self._payload = await self._handler.read()
            if message.code >= 200 or message.code == 101:
                return message

    async def body(self, max_bytes: int) -> bytes | None:
        """Return the decoded body; None, as soon as that is known, when it is larger."""
        body = bytearray()
        while piece := await self.piece():
            body += piece
            if len(body) > max_bytes:
                return None
        return bytes(body)

    async def piece(self) -> bytes:
        """Return the next bytes of the decoded body; b"" after the last.

        In pieces, as it is decoded: a few kB can decode to gigabytes, which nobody may hold.
        """
        while not self._payload.at_eof():
            if piece := self._payload.read_nowait():
                self._given += len(piece)
                return piece
            data = self._received or await self._channel.receive()
            self._received = b""
            self._parse(data)
            if not self._payload.is_eof():
                self._raise_if_over(data, f"after {self._given} bytes of the body")
        return b""

    def _parse(self, data: bytes) -> None:
        if data:
            self._handler.data_received(data)
        else:
            self._handler.connection_lost(None)  # ends a body whose length nobody said

    def _raise_if_over(self, data: bytes, where: str) -> None:
        """Raise what stands in the way of more: the other side has ended, or made no sense."""
        if not data:
            raise EOFError(f"the connection was closed {where}")
        if error := self._handler.exception():
            raise error
