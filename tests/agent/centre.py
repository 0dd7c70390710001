"""A centre of our own on a real socket: keeps what it is given, and misbehaves on order."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from agent.wire import WIRE_VERSION, Ack, Answer, Push, Ranges, Refusal, Slot

Behaviour = Callable[[web.Request, Push], Awaitable[web.StreamResponse | None]]


class Named(msgspec.Struct):
    """What names a batch within its agent."""

    boot: str
    seq: int


@dataclass(slots=True)
class Seen:
    """One push, as it came in."""

    push: Push
    at: float
    """Loop time."""
    peer: str
    keys: list[tuple[str, int]]
    headers: dict[str, str]
    connection: int
    body: bytes


@dataclass(slots=True)
class Centre:
    """Stores by identity; `behave` may answer in its place, or return None to let it."""

    behave: Behaviour | None = None
    stored: dict[tuple[str, int], bytes] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    config: int = 0
    slots: list[Slot] = field(default_factory=list)
    config_answer: web.Response | None = None
    url: str = ""
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    """What a hanging answer waits for."""
    _runner: web.AppRunner | None = None

    async def start(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        """Listen on all loopback addresses."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/api/v1/batches", self._push)
        app.router.add_get("/api/v1/config", self._config)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "0.0.0.0" if context is None else "127.0.0.1", port, ssl_context=context
        )
        await site.start()
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._runner is not None
        return self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away; `start(port)` comes back."""
        self.hold.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _push(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        received_at = time.time()
        push = msgspec.json.decode(raw, type=Push)
        named = [msgspec.json.decode(body, type=Named) for body in push.batches]
        assert request.transport is not None
        self.seen.append(
            Seen(
                push,
                asyncio.get_running_loop().time(),
                request.remote or "",
                [(one.boot, one.seq) for one in named],
                dict(request.headers),
                id(request.transport),
                raw,
            )
        )
        if self.behave is not None:
            instead = await self.behave(request, push)
            if instead is not None:
                return instead
        return self.accept(push, received_at)

    def accept(self, push: Push, received_at: float | None = None) -> web.Response:
        """Store and answer as a collector does."""
        boots: dict[str, Ranges] = {}
        for body in push.batches:
            one = msgspec.json.decode(body, type=Named)
            before = self.stored.setdefault((one.boot, one.seq), bytes(body))
            assert before == bytes(body), f"{one}: the same identity with other bytes"
            boots[one.boot] = Ranges((s, s) for b, s in self.stored if b == one.boot)
        answer = Answer(
            v=WIRE_VERSION,
            received_at=received_at or time.time(),
            answered_at=time.time(),
            acks=[Ack(boot=boot, ranges=list(ranges)) for boot, ranges in boots.items()],
            config=self.config,
            slots=self.slots,
        )
        return web.json_response(body=msgspec.json.encode(answer))

    async def _config(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer secret"
        if request.headers.get("If-None-Match") == '"v7"':
            return web.Response(status=304)
        return self.config_answer or web.json_response(
            body=b'{"version":7}', headers={"ETag": '"v7"'}
        )


def refusal(status: int, code: str, **headers: str) -> web.Response:
    """Return a refusal as the collector writes them."""
    body = msgspec.json.encode(Refusal(error=f"it is {code}", code=code))
    return web.Response(
        status=status, body=body, content_type="application/json", headers=headers or None
    )


@asynccontextmanager
async def running_centre(
    behave: Behaviour | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[Centre]:
    """Run a centre."""
    centre = Centre(behave)
    await centre.start(context=context)
    try:
        yield centre
    finally:
        await centre.stop()
