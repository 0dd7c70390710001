"""A receiver that answers as it is told, and a journal whose samples it is to get."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from agent.wire import Batch, Sample, Stamp
from collector.export.own import Own
from collector.export.receivers import Receiver
from collector.export.remote_write import RemoteWrite
from collector.ingest.entries import NewEntry
from collector.ingest.journal import Journal
from collector.inventory.model import Series
from tests.collector.a_province import YPHU, a_province, a_push, a_sample, gateway
from tests.collector.export.write_requests import STALE_BITS, number, read
from tests.collector.state.fleets import a_fleet

HOUR = 3_600.0
GATEWAY = gateway(YPHU)
Sent = list[tuple[dict[str, str], list[tuple[int, int]]]]
Answer = tuple[int, str] | tuple[int, str, dict[str, str]]


class FakeReceiver:
    """Takes a request whole or not at all, and the same sample as often as it likes."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[Sent], Answer] = lambda _: (204, "")
        self.lose_answers = 0
        """So many requests are taken, and the connection cut instead of an answer."""
        self.cut = False
        """Whether it closes the connection after each answer without a word."""
        self.hang = False
        self.requests: list[tuple[float, int, bytes, dict[str, str]]] = []
        """When, the code, the body, the headers."""
        self.stored: dict[tuple[tuple[str, str], ...], dict[int, int]] = {}
        self.conflicts: list[object] = []

    async def write(self, request: web.Request) -> web.Response:
        """Take a request."""
        body = await request.read()
        series = [(dict(labels), samples) for labels, samples in read(body)]
        code, said, *more = self.answer(series)
        self.requests.append((time.time(), code, body, dict(request.headers)))
        if self.hang:
            await asyncio.sleep(60)
        if 200 <= code < 300:
            self._store(series)
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport
            request.transport.abort()
        response = web.Response(status=code, text=said or None, headers=more[0] if more else None)
        if self.cut:
            assert request.transport
            await response.prepare(request)
            await response.write_eof()
            request.transport.close()
        return response

    def _store(self, series: Sent) -> None:
        for labels, samples in series:
            kept = self.stored.setdefault(tuple(sorted(labels.items())), {})
            for at, bits in samples:
                if kept.setdefault(at, bits) != bits:
                    self.conflicts.append((labels, at))

    def times(self, name: str = "probe_success", **labels: str) -> list[int]:
        """Return the milliseconds of a metric's values, stale markers left out."""
        return sorted(at for at, bits in self._points(name, labels) if bits != STALE_BITS)

    def values(self, name: str, **labels: str) -> list[float]:
        """Return a metric's values in the order of time."""
        points = sorted(self._points(name, labels))
        return [number(bits) for _, bits in points if bits != STALE_BITS]

    def markers(self, name: str = "probe_success", **labels: str) -> list[int]:
        """Return the milliseconds of a metric's stale markers."""
        return sorted(at for at, bits in self._points(name, labels) if bits == STALE_BITS)

    def _points(self, name: str, wanted: dict[str, str]) -> list[tuple[int, int]]:
        wanted = {"__name__": name, **wanted}
        return [
            point
            for labels, points in self.stored.items()
            if wanted.items() <= dict(labels).items()
            for point in points.items()
        ]


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[FakeReceiver]:
    """Run a receiver."""
    receiver = FakeReceiver()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/api/v1/write", receiver.write)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1/write"
        yield receiver
    finally:
        await runner.cleanup()


class Sender:
    """One province's journal and fleet, and what sends them to a receiver."""

    def __init__(self, home: Path, url: str, **settings) -> None:
        self.home = home
        self.ahead = 0.0
        """How far the centre's clock is put forward."""
        fields = {"name": "fake", "url": url, "window_seconds": 6 * HOUR, **settings}
        self.receiver = Receiver(**fields)
        self.fleet = a_fleet(a_province([YPHU]))
        self.journal = Journal(home / "journal.sqlite", self.now, window_seconds=0.001)
        self.own = Own()
        self.writer: RemoteWrite | None = None
        self._seq = 0

    def now(self) -> float:
        """Return the centre's clock."""
        return time.time() + self.ahead

    @asynccontextmanager
    async def sending(self, *, orderly: bool = True) -> AsyncIterator[None]:
        """Send while inside. Without `orderly` it ends as by a kill, wherever it is."""
        self.writer = RemoteWrite(
            self.receiver,
            journal=self.journal,
            fleet=self.fleet,
            folder=self.home / "remote_write",
            own=self.own,
            wall=self.now,
        )
        stopping = asyncio.Event()
        task = asyncio.create_task(self.writer.run(stopping))
        try:
            yield
        finally:
            if orderly:
                stopping.set()
            else:
                task.cancel()
            await asyncio.wait([task])
            self.writer.close()
            if not task.cancelled():
                task.result()

    async def keep(
        self,
        *ages: float,
        series: Series = GATEWAY,
        heard: bool = True,
        trusted: bool = True,
        quarantined: tuple[int, ...] = (),
        received: float = 0.0,
        **said,
    ) -> list[int]:
        """Journal a batch with an attempt for each age in seconds; return their milliseconds.

        `heard`: the fleet takes them too.
        """
        times = [self.now() - age for age in ages]
        return await self.keep_at(
            times,
            [a_sample(series, **said)] * len(ages),
            agent=series.agent,
            heard=heard,
            trusted=trusted,
            quarantined=list(quarantined),
            received=received,
        )

    async def keep_at(
        self,
        times: list[float],
        samples: list[Sample],
        *,
        agent: str = YPHU,
        heard: bool = True,
        trusted: bool = True,
        quarantined: list[int] | None = None,
        received: float = 0.0,
    ) -> list[int]:
        """Journal a batch of these attempts, received so many seconds ago."""
        entry = self.entry(times, samples, agent=agent, trusted=trusted, received=received)
        entry = msgspec.structs.replace(entry, quarantined=quarantined or [])
        await self.journal.append([entry])
        if heard:
            self.fleet.heard(agent, a_push(agent), self.now())
            for sample, at in zip(samples, times, strict=True):
                self.fleet.apply(agent, sample, at, trusted=trusted, now=self.now())
        return [round(at * 1_000) for at in times]

    def entry(
        self,
        times: list[float],
        samples: list[Sample],
        *,
        agent: str = YPHU,
        trusted: bool = True,
        received: float = 0.0,
    ) -> NewEntry:
        """Return a batch for the journal."""
        self._seq += 1
        batch = Batch(
            v=1,
            agent=agent,
            boot="b0" * 16,
            machine_boot="a1" * 16,
            seq=self._seq,
            sealed=Stamp(wall_ms=0, mono_ns=0),
            synchronised=True,
            config=1,
            program="0.1.0",
            samples=samples,
        )
        return NewEntry(
            agent=agent,
            boot=batch.boot,
            seq=batch.seq,
            batch=batch,
            body=msgspec.json.encode(batch),
            times=times,
            trusted=trusted,
            quarantined=[],
            received_at=self.now() - received,
        )

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """Return one of the collector's own metrics: the labels' words -> its value."""
        self.writer and self.writer.tell()
        found = {}
        for family in self.own.registry.collect():
            for sample in family.samples:
                if sample.name == f"thongsuot_remote_write_{name}":
                    found[tuple(sample.labels.values())] = sample.value
        return found


@asynccontextmanager
async def a_sender(home: Path, url: str, **settings) -> AsyncIterator[Sender]:
    """Open a journal and what sends it."""
    sender = Sender(home, url, **settings)
    try:
        yield sender
    finally:
        await sender.journal.close()
