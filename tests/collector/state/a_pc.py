"""A PC with a real spool, and a centre that keeps what it hands over: for the ledger's tests."""

import asyncio
from pathlib import Path

import msgspec

from agent.config import AgentConfig, Check, SpoolLimits
from agent.spool import Pending, Spool
from agent.wire import WIRE_VERSION, Ack, Batch, Push, Sample, Stamp, Tally
from collector.agent_configs import Told
from collector.ingest.entries import NewEntry
from collector.ingest.journal import Journal
from collector.state.ledger import AgentLedger
from collector.state.ledger_read import LedgerReader
from collector.state.ledger_store import LedgerStore, hear
from collector.state.rollup_follow import Follower
from tests.collector.ingest.pushes import AGENT, NOON

EVERYTHING = 1 << 40
VERSION = 7
RUN_SECONDS = 10.0
CONFIG = AgentConfig(
    version=VERSION,
    agent=AGENT,
    batch_seconds=RUN_SECONDS,
    checks=[
        Check(id="cong", kind="icmp", targets=["192.0.2.1"], interval_seconds=RUN_SECONDS),
        Check(id="tthc", kind="http", targets=["https://tthc.example"], interval_seconds=60.0),
    ],
)


class Pc:
    """One PC that measures each ten seconds. Time is `now`, the centre's; the PC agrees."""

    def __init__(self, folder: Path, now: float = NOON, limits: SpoolLimits | None = None) -> None:
        self.now = now
        self.machine = 0
        self.on_since = now - 60.0
        self.boots = 0
        self.tally = Tally()
        self._folder = folder
        self._limits = limits or SpoolLimits()
        self.start()

    def start(self) -> None:
        """Begin another run of the program."""
        self.boots += 1
        self.boot = f"{self.boots:032x}"
        self.spool = Spool(self._folder, self._limits, boot=self.boot)
        self.tally = Tally()
        self._made: dict[str, int] = {}

    def kill(self) -> None:
        """End the program without a word."""
        self.spool.close()

    def switch_off(self, seconds: float) -> None:
        """Take the power away for a while."""
        self.kill()
        self.now += seconds
        self.machine += 1
        self.on_since = self.now - 30.0
        self.start()

    def measure(self, seconds: float) -> None:
        """Let time pass with the schedule running."""
        end = self.now + seconds
        while self.now < end:
            samples = [self._sample("cong", "192.0.2.1", "icmp")]
            if self.now % 60 == 0:
                samples.append(self._sample("tthc", "https://tthc.example", "http"))
            self.spool.append(
                Batch(
                    v=WIRE_VERSION,
                    agent=AGENT,
                    boot=self.boot,
                    machine_boot=f"{self.machine:032x}",
                    seq=0,
                    sealed=self._stamp(),
                    synchronised=True,
                    config=VERSION,
                    program="test",
                    samples=samples,
                    tally=self.tally,
                )
            )
            self.now += RUN_SECONDS

    def _sample(self, check: str, target: str, kind: str) -> Sample:
        made = self._made[check] = self._made.get(check, 0) + 1
        return Sample(
            check=check,
            target=target,
            kind=kind,
            version=1,
            start=self._stamp(),
            duration=0.01,
            counters={"all_success_count": made},
        )

    def _stamp(self) -> Stamp:
        mono = self.now - self.on_since
        return Stamp(wall_ms=round(self.now * 1e3), mono_ns=round(mono * 1e9))

    def push(self, bye: str = "") -> Push:
        """Say how things are."""
        return Push(
            v=WIRE_VERSION,
            agent=AGENT,
            boot=self.boot,
            machine_boot=f"{self.machine:032x}",
            sent=self._stamp(),
            spool=self.spool.state,
            bye=bye,  # type: ignore[arg-type] # one of the words
        )


class Centre:
    """The parts of a collector that the ledger rests on. Use `await Centre.open(...)`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.journal = Journal(folder / "journal.sqlite", lambda: NOON, window_seconds=0.0)
        self.store = LedgerStore(folder / "ledger.sqlite", folder / "journal.sqlite")

    async def hear(self, pc: Pc, bye: str = "") -> None:
        """Take a push without batches."""
        told = {AGENT: Told(VERSION, msgspec.json.encode(CONFIG))}
        self.store.save({AGENT: hear(None, pc.push(bye), pc.now)}, told)

    async def take(self, pc: Pc, pendings: list[Pending], *, acknowledged: bool = True) -> None:
        """Take what the PC hands over, and tell it so, or lose the answer."""
        entries = []
        for pending in pendings:
            batch = msgspec.json.decode(pending.body, type=Batch)
            entries.append(
                NewEntry(
                    agent=AGENT,
                    boot=pending.boot,
                    seq=pending.seq,
                    batch=batch,
                    body=pending.body,
                    times=[sample.start.wall_ms / 1e3 for sample in batch.samples],
                    trusted=True,
                    quarantined=[],
                    received_at=pc.now,
                )
            )
        await self.journal.append(entries)
        pc.spool.release(pendings)
        if acknowledged:
            for boot in {pending.boot for pending in pendings}:
                ranges = list(await self.journal.ranges(AGENT, boot))
                pc.spool.acknowledge([Ack(boot=boot, ranges=ranges)])

    async def drain(self, pc: Pc) -> None:
        """Take everything, live and backlog, and hear the PC once more."""
        while pendings := pc.spool.live(EVERYTHING) + pc.spool.backlog(EVERYTHING):
            await self.take(pc, pendings)
        await self.hear(pc)

    async def ledger(self, begin: float, end: float) -> AgentLedger:
        """Return the ledger once everything in the journal is counted."""
        follower, stopping = Follower(self.folder / "rollup.sqlite", self.journal), asyncio.Event()
        while True:
            await follower.step()
            if not follower.behind:
                break
        stopping.set()
        await follower.run(stopping)
        with LedgerReader(self.folder, kept_seconds=30 * 86_400.0) as reader:
            (found,) = reader.agents([AGENT], reader.window(begin, end))
            return found

    async def close(self) -> None:
        """Close the files."""
        await self.journal.close()
        self.store.close()
