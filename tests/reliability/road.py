"""The road between agents and their collector: an HTTP relay that can be cut, slowed or robbed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec
from aiohttp import web

from agent.wire import Answer, Push
from collector.ingest.decode import inflate
from tests.agent.centre import Named

Meddling = Callable[["Passage"], Awaitable[None]]


class Lost(Exception):  # noqa: N818 - a thing that happens on the road, no error of the test
    """What was on its way never arrives: the connection breaks."""


@dataclass(slots=True)
class Passage:
    """One push on its way."""

    at: float
    """Monotonic seconds at which it came onto the road."""
    push: Push
    keys: list[tuple[str, int]]
    """Boot and number of each batch in it."""
    size: int
    status: int = 0
    """What the collector answered; 0 while it did not."""
    answer: Answer | None = None


@dataclass(slots=True)
class Road:
    """What a test holds in its hands."""

    to: str
    url: str = ""
    cut: bool = False
    before: Meddling | None = None
    """Called before a push goes on; may wait, or raise Lost."""
    after: Meddling | None = None
    """Called before its answer goes back, likewise."""
    passed: list[Passage] = field(default_factory=list)

    def newest(self, agent: str) -> Passage | None:
        """Return the last push of an agent that the collector took."""
        taken = (one for one in reversed(self.passed) if one.push.agent == agent)
        return next((one for one in taken if one.status == 200), None)

    def pending(self, agent: str) -> int | None:
        """Return how many batches waited on an agent's disk at its last push that was taken."""
        newest = self.newest(agent)
        return newest and newest.push.spool.pending_batches

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Carry one request there and its answer back."""
        try:
            return await self._carry(request)
        except (Lost, aiohttp.ClientError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _carry(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.cut:
            raise Lost
        passage = None
        if request.method == "POST":
            push = msgspec.json.decode(inflate(body, "gzip"), type=Push)
            named = [msgspec.json.decode(one, type=Named) for one in push.batches]
            keys = [(one.boot, one.seq) for one in named]
            passage = Passage(time.monotonic(), push, keys, len(body))
            self.passed.append(passage)
            if self.before is not None:
                await self.before(passage)
        async with self._session().request(
            request.method, self.to + request.path_qs, data=body or None, headers=request.headers
        ) as answer:
            back = web.Response(status=answer.status, body=await answer.read())
            for name in ("Content-Type", "Retry-After", "ETag"):
                if name in answer.headers:
                    back.headers[name] = answer.headers[name]
        if passage is not None:
            passage.status = back.status
            if back.status == 200:
                passage.answer = msgspec.json.decode(back.body, type=Answer)
            if self.after is not None:
                await self.after(passage)
        if self.cut:
            raise Lost
        return back

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(auto_decompress=False)
        return self._client

    _client: aiohttp.ClientSession | None = None


@asynccontextmanager
async def road(to: str) -> AsyncIterator[Road]:
    """Open a road to a collector's URL."""
    made = Road(to)
    app = web.Application(client_max_size=16 << 20)
    app.router.add_route("*", "/{path:.*}", made.relay)
    runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()
        if made._client is not None:
            await made._client.close()
            await asyncio.sleep(0)
