"""One HTTP/1 response read off a channel: aiohttp parses, the channel stays ours.

aiohttp's client session would retry a GET whose connection broke, and could not say when the first
byte came; so its protocol (parser, decompression, flow control) is fed by hand here.
"""

import asyncio

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from agent.probes.channel import Channel


class Response:
    """What comes back for one request."""

    def __init__(self, channel: Channel, *, with_body: bool) -> None:
        self._channel = channel
        self._handler = ResponseHandler(asyncio.get_running_loop())
        self._handler.set_response_params(skip_payload=not with_body, read_until_eof=True)
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take what was received; b"" says that the other side has ended."""
        if data:
            self._handler.data_received(data)
        else:
            self._ended = True
            self._handler.connection_lost(None)

    async def head(self) -> RawResponseMessage:
        """Return status, version and headers; answers that promise another one are passed over."""
        while True:
            await self._more_until_message()
            message, self._payload = await self._handler.read()
            if message.code >= 200 or message.code == 101:
                return message

    async def body(self, max_bytes: int) -> bytes | None:
        """Return the decoded body; None, as soon as that is known, when it is larger."""
        body = bytearray()
        while True:
            # By hand and in pieces: a few kB can decode to gigabytes, which nobody may hold
            while piece := self._payload.read_nowait(max_bytes + 1 - len(body)):
                body += piece
                if len(body) > max_bytes:
                    return None
            if self._payload.is_eof():
                return bytes(body)
            self._raise_any(f"after {len(body)} bytes of the body")
            self.feed(await self._channel.receive())

    async def _more_until_message(self) -> None:
        while not len(self._handler):
            self._raise_any("inside the header")
            self.feed(await self._channel.receive())

    def _raise_any(self, where: str) -> None:
        if self._ended:
            raise EOFError(f"the connection was closed {where}")
        if error := self._handler.exception():
            raise error
