"""Turns: how much backlog is worked on at once, so that what is live never waits behind much of it.

One process decodes, journals and applies everything, and what is under way when a live push comes
has to be done first: so that is kept small, and the rest waits in the order of its coming. Each
agent has one push of backlog on its way at most, so all of them get on alike.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from collector.ingest.refused import Refused

BYTES_AT_ONCE = 64 << 10
"""Bodies as they are sent: some 250 batches, a twentieth of a second's work."""
MOST_SECONDS = 10.0
"""Who waits longer is asked to come again; agents give an answer up after 30 s."""


class Turns:
    """Lets so many bytes be worked on at once, but always one push."""

    def __init__(
        self, bytes_at_once: int = BYTES_AT_ONCE, most_seconds: float = MOST_SECONDS
    ) -> None:
        self._bytes_at_once = bytes_at_once
        self._most_seconds = most_seconds
        self._under_way = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, size: int) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Refused 503: it did not come in time."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._let_in()
        try:
            async with asyncio.timeout(self._most_seconds):
                await turn
        except TimeoutError as exc:
            sentence = f"more backlog comes in than can be taken within {self._most_seconds:g} s"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", sentence) from exc
        else:
            yield
        finally:
            if not turn.cancelled():
                self._under_way -= size
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.cancelled():  # its request is gone, or was refused
                self._waiting.popleft()
            elif not self._under_way or self._under_way + size <= self._bytes_at_once:
                self._waiting.popleft()
                self._under_way += size
                turn.set_result(None)
            else:
                return
