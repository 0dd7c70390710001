"""What receivers of remote write hold, against the journal: each attempt once, with its own time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.wire import EVIDENCE
from tests.e2e.province import Province
from tests.receivers import Receiver, Stored
from tests.reliability.accounts import account, journal
from tests.reliability.matrix import drained, fresh

METRICS = ("probe_success", "probe_duration_seconds")
WITHHELD = "thongsuot_remote_write_withheld_samples_total"
Point = tuple[str, str, str, str, int]
"""Metric, agent, check, target, milliseconds."""


@dataclass(slots=True)
class Received:
    """The account of one receiver."""

    samples: int = 0
    doubled: int = 0
    missing: int = 0
    withheld: int = 0
    """Missing where that is allowed."""
    wrong: int = 0
    """With another value than the journal's."""
    invented: int = 0
    """Of which the journal knows nothing."""

    def __str__(self) -> str:
        return (
            f"{self.samples} samples, {self.doubled} doubled, {self.missing} missing, {self.withheld} withheld,"
            f" {self.wrong} wrong, {self.invented} invented"
        )

    @property
    def whole(self) -> bool:
        """Whether everything is there."""
        return self.samples > 0 and not self.missing

    def hold(self, name: str) -> None:
        """Hold that each attempt is there once and nothing else is."""
        print(f"{name}: {self}")
        assert self.whole, (name, self)
        assert (self.doubled, self.wrong, self.invented) == (0, 0, 0), (name, self)


def received(folder: Path, receiver: Receiver, may_lack: Collection[int] = ()) -> Received:
    """Draw up what a receiver holds of a province's journal.

    `may_lack`: entries of the journal whose samples it need not have.
    """
    wanted, found = _wanted(folder), Received()
    for metric in METRICS:
        for point, values in _points(metric, receiver.stored(metric)):
            found.samples += 1
            found.doubled += len(values) - 1
            if point not in wanted:
                found.invented += 1
            elif wanted.pop(point)[0] != values[0]:
                found.wrong += 1
    lacking = [entry for _, entry in wanted.values()]
    found.missing = sum(entry not in may_lack for entry in lacking)
    found.withheld = len(lacking) - found.missing
    return found


async def all_received(
    made: Province,
    receivers: Iterable[Receiver],
    *,
    seconds: float = 60.0,
    may_lack: Callable[[Path], Collection[int]] = lambda _: (),
) -> None:
    """End the agents, wait for what is under way, and hold both accounts."""
    await fresh(made)
    await drained(made)
    for agent in made.agents.values():
        assert agent.stop() == 0
    exempt = may_lack(made.folder)
    for receiver in receivers:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (await asyncio.to_thread(received, made.folder, receiver, exempt)).whole:
                    assert made.collector.running()
                    await asyncio.sleep(0.5)
    ahead = {
        one.name: sum(made.series(WITHHELD, page="/metrics", receiver=one.name, reason="ahead"))
        for one in receivers
    }
    assert made.collector.stop() == 0
    account(made.folder).hold()
    for receiver in receivers:
        found = received(made.folder, receiver, exempt)
        found.hold(receiver.name)
        assert found.withheld <= ahead[receiver.name], "withheld and not counted"
    assert not list((made.folder / "state" / "remote_write").glob("*.dead.jsonl"))


def configured(receivers: Iterable[Receiver], urls: Iterable[str] = (), *, names: str = "") -> str:
    """Return what collector.yml says of receivers; `names` is added to the name of each."""
    receivers = list(receivers)
    urls = list(urls) or [one.url for one in receivers]
    lines = [
        f"  - {{name: {one.name}{names}, url: '{url}', window_hours: {one.window_hours:g}}}\n"
        for one, url in zip(receivers, urls, strict=True)
    ]
    return "remote_write:\n" + "".join(lines)


@dataclass(slots=True)
class Link:
    """A road to a receiver that can be cut: packets vanish, or connections are reset."""

    to: int
    port: int = 0
    cut: str = ""
    """"", "silent" or "reset"."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.cut == "reset":
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        self._open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._one_way(reader, back))
                ways.create_task(self._one_way(there, writer))
        finally:
            for one in (writer, back):
                self._open.discard(one)
                one.transport.abort()

    def set(self, cut: str) -> None:
        """Cut it so, or mend it: what was under way is lost."""
        if cut != "silent":
            for one in list(self._open):
                one.transport.abort()
        self.cut = cut

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if not self.cut:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()

    @property
    def url(self) -> str:
        """Return where it begins."""
        return f"http://127.0.0.1:{self.port}/api/v1/write"


@asynccontextmanager
async def linked(receiver: Receiver) -> AsyncIterator[Link]:
    """Lay a link to a receiver."""
    link = Link(receiver.port)
    server = await asyncio.start_server(link.carry, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.set("reset")


async def killed(receiver: Receiver, moments: Iterable[float]) -> None:
    """Kill a receiver as often as there are moments, each so many seconds after its start."""
    for moment in moments:
        await asyncio.sleep(moment)
        receiver.kill()
        receiver.start()


def waits(rng: random.Random, times: int, *spans: tuple[float, float]) -> list[float]:
    """Return so many waits in seconds, each from one of the spans."""
    return [rng.uniform(*rng.choice(spans)) for _ in range(times)]


def _wanted(folder: Path) -> dict[Point, tuple[float, int]]:
    """Return each attempt's values, and in which entry of the journal it is."""
    wanted = {}
    for entry in journal(folder):
        for index, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
            if sample.kind == EVIDENCE or sample.error or index in entry.quarantined:
                continue
            assert entry.trusted
            place = (entry.agent, sample.check, sample.target, round(at * 1_000))
            wanted["probe_success", *place] = (
                0.0 if sample.failure else 1.0,
                entry.id,
            )
            wanted["probe_duration_seconds", *place] = sample.duration, entry.id
    return wanted


def _points(metric: str, stored: Stored) -> Iterable[tuple[Point, list[float]]]:
    found: dict[Point, list[float]] = {}
    for labels, samples in stored.items():
        word = dict(labels)
        for at, value in samples:
            point = (metric, word["agent"], word["check"], word["instance"], at)
            found.setdefault(point, []).append(value)
    return found.items()
