"""Posting: one lane's requests to a receiver, over one connection."""

import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp

from agent import VERSION
from collector.export.parts import Answer
from collector.export.receivers import Receiver

ANSWER_SECONDS = 15.0
IDLE_SECONDS = 50.0
"""Then we close the connection, before the receiver does (VictoriaMetrics after 60)."""
_SAID_BYTES = 400
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": f"thongsuot-collector/{VERSION}",
}


class Posting:
    """Made and used on the event loop; one request at a time."""

    def __init__(
        self, receiver: Receiver, tls: ssl.SSLContext | None, wall: Callable[[], float]
    ) -> None:
        self.cut = False
        """Whether the last request needed a new connection though nobody had closed the one before."""
        self.idle = 0.0
        """Seconds from the answer before the last request to that request."""
        self._receiver = receiver
        self._tls = tls
        self._wall = wall
        self._connected = 0
        self._closed = True
        self._used_at = 0.0
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._note_connection)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            trace_configs=[trace],
        )

    async def __aenter__(self) -> Self:
        """Go in."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._session.close()

    async def post(self, body: bytes) -> Answer:
        """Send a request and return what came back, whatever it was."""
        connected = self._connected
        self.idle = time.monotonic() - self._used_at
        try:
            headers = {**HEADERS, **self._receiver.authorization()}
            async with self._session.post(
                self._receiver.url,
                data=body,
                headers=headers,
                ssl=self._tls or True,
                allow_redirects=False,
            ) as answer:
                said = (await answer.content.read(_SAID_BYTES)).decode("utf-8", "replace")
                told = answer.headers.get("Retry-After", "")
                self.cut = self._connected > connected and not self._closed
                self._closed = _closes(answer) or not answer.content.at_eof()
                return Answer(answer.status, " ".join(said.split()), _seconds(told, self._wall()))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            self.cut, self._closed = False, True
            return Answer(0, str(exc) or type(exc).__name__)
        finally:
            self._used_at = time.monotonic()

    async def _note_connection(self, *_: object) -> None:
        self._connected += 1


def _closes(answer: aiohttp.ClientResponse) -> bool:
    """Whether it is said that this was the last answer over this connection."""
    said = answer.headers.get("Connection", "").lower()
    old = answer.version is not None and answer.version < aiohttp.HttpVersion11
    return said == "close" or (old and said != "keep-alive")


def _seconds(retry_after: str, now: float) -> float | None:
    """Return what a Retry-After asks for: seconds or a date."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return None
