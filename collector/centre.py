"""Centre: one province's rooms, wired. Values go onward from room to room; nothing reaches back.

A push is heard at once, even while the disk is full: being alive needs no journal. Its samples
count only once they are on disk. At the start the journal's last minutes are gone through again, as
of their own times, so that what was up or down before is so afterwards. Pushes are taken meanwhile,
but the pages that Prometheus reads answer 503: a page that lacks an open incident resolves it.
"""

import asyncio
import logging
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from aiohttp import web

from agent.wire import WIRE_VERSION, Answer, Push
from collector.agent_configs import AgentConfigs, Told
from collector.beat import Beat
from collector.bridge.rehearsals import Rehearsals
from collector.bridge.slots import REHEARSAL, Slots
from collector.config import CollectorConfig
from collector.diagnosis.evidence import Dossier, EvidenceStore, found_in, read_dossier
from collector.diagnosis.incident import Incident
from collector.diagnosis.incidents import Incidents
from collector.diagnosis.store import Store
from collector.duty.acts import Act
from collector.duty.duty import Duty
from collector.duty.silences import Silencer
from collector.duty.store import ActStore, read_incident, read_recent
from collector.export.exposition import Exposition
from collector.export.own import Own
from collector.export.remote_write import RemoteWrite
from collector.housekeeping import housekeeping
from collector.ingest.access import Access
from collector.ingest.clock import Clocks
from collector.ingest.decode import decode_push, inflate
from collector.ingest.entries import NewEntry
from collector.ingest.intake import Intake, Kept, Quota
from collector.ingest.journal import Journal
from collector.inventory.load import load
from collector.inventory.model import Inventory
from collector.inventory.problems import FolderError
from collector.past.record import RECORD, Record
from collector.state.fleet import Fleet
from collector.state.ledger_board import LedgerBoard
from collector.state.ledger_keep import Keeper
from collector.state.ledger_read import DAY
from collector.state.rollup_follow import Follower

REPLAY_SECONDS = 900.0
"""Three runs of a check that is asked every five minutes."""
_REPLAYED_AT_ONCE = 100
_APPLIED_AT_ONCE = 250
_LARGE_BYTES = 512 << 10
"""More than this is decoded in a thread: it is backlog, and others are live."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Centre:
    """A running province. `running` goes with the server's life."""

    def __init__(
        self, config: CollectorConfig, inventory: Inventory, wall: Callable[[], float] = time.time
    ) -> None:
        state = config.state_directory
        now = wall()
        self.own = Own()
        self.own.inventory_loaded.set(now)
        self.fleet = Fleet(inventory, started_at=now)
        self.access = Access(state / "access.sqlite")
        self.journal = Journal(
            state / "journal.sqlite", wall, on_commit=self.own.journal_commit_seconds.observe
        )
        self.rollups = Follower(state / "rollup.sqlite", self.journal)
        self.configs = AgentConfigs(state / "state.sqlite")
        self.ledger = Keeper(state / "ledger.sqlite", self.journal.path, lambda: self.configs.told)
        self.ledgers = LedgerBoard(
            state,
            self._agents_of,
            kept_seconds=config.keep.days * DAY,
            on_refresh=self.own.show_ledgers,
        )
        self._store = Store(state / "state.sqlite")
        self.evidence = EvidenceStore(state / "state.sqlite")
        self.record = Record(state / RECORD)
        self.incidents = Incidents(
            self._store.open_incidents(),
            last_id=self._store.last_id(),
            restored_at=self._store.restored_at(),
        )
        self._acts = ActStore(state / "state.sqlite")
        self.duty = Duty(self._acts, self.incidents.open.values())
        self.silencer = Silencer(config.alertmanagers, self.duty, inventory.id)
        self._exposition = Exposition(
            self.fleet,
            url=config.url,
            language=config.language,
            own=self.own.page,
            measured=not config.remote_write,
        )
        self.remote_write = [
            RemoteWrite(
                receiver,
                journal=self.journal,
                fleet=self.fleet,
                folder=state / "remote_write",
                own=self.own,
                wall=wall,
            )
            for receiver in config.remote_write
        ]
        self.slots = Slots(inventory, now, secret=config.bridge_secret)
        self.rehearsals = Rehearsals(self.slots, inventory, state / "rehearsals")
        self._config = config
        self._wall = wall
        self._mind_the_secret(inventory)
        self._quota = Quota()
        self._early: dict[str, tuple[Push, float, str]] = {}
        self.loaded = False
        """Whether everything that was known before the start is known again."""

    @property
    def not_ready(self) -> str:
        """Why the collector is not ready; "" when it is."""
        if not self.loaded:
            return "what was known before the start is still being read"
        if self.journal.failing:
            return f"the journal cannot be written: {self.journal.failing}"
        return ""

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Run from before the server listens until after its last answer."""
        self._intake = Intake(Clocks(await self.journal.anchors()), self.journal)
        await self.configs.follow(self.fleet.inventory, self._wall())
        stopping = asyncio.Event()
        work = asyncio.create_task(self._run(stopping), name="centre")
        beside = [
            asyncio.create_task(self.rollups.run(stopping), name="rollups"),
            asyncio.create_task(self.ledger.run(stopping), name="ledger"),
            asyncio.create_task(self.ledgers.run(stopping), name="ledgers"),
            asyncio.create_task(self.silencer.run(stopping), name="silencer"),
        ]
        with housekeeping(self, self._config.keep, self._wall):
            yield
        stopping.set()
        await work
        await asyncio.gather(*beside)
        await self.journal.close()
        files = (self.access, self._store, self._acts, self.evidence, self.configs, self.record)
        for file in files:
            file.close()
        for receiver in self.remote_write:
            receiver.close()

    def _agents_of(self) -> dict[str, tuple[str, ...]]:
        sites = self.fleet.inventory.sites.values()
        return {site.id: site.agents for site in sites if site.agents}

    def now(self) -> float:
        """Return the centre's UTC seconds."""
        return self._wall()

    def live(self) -> set[str]:
        """Return the agents that are heard now."""
        return {agent for agent, one in self.fleet.agents.items() if one.contact == "live"}

    def verify(self, authorization: str | None) -> str:
        """Return whose token a header holds. Refused 401 or 403."""
        return self.access.verify(authorization, self._wall())

    def told(self, agent: str) -> Told | None:
        """Return an agent's configuration; None where the province has no such agent."""
        return self.configs.told.get(agent)

    async def receive(self, agent: str, body: bytes, encoding: str, address: str = "") -> Answer:
        """Take a push whole, or raise Refused and take nothing of it."""
        received_at = self._wall()
        inflated = await _away_if(8 * len(body), lambda: inflate(body, encoding))
        self._quota.spend(agent, len(inflated), time.monotonic())
        arrival = await _away_if(len(inflated), lambda: decode_push(inflated, agent))
        self.ledger.hear(agent, arrival.push, received_at)
        if self.loaded:
            self.fleet.heard(agent, arrival.push, received_at, address)
        else:
            self._early[agent] = (arrival.push, received_at, address)
        kept = await self._intake.keep(arrival, received_at)
        self._count(len(body), len(arrival.batches), kept)
        if self.loaded:  # else the journal is still being gone through, and these are in it
            await self._apply(kept.new)
        told = self.told(agent)
        return Answer(
            v=WIRE_VERSION,
            received_at=received_at,
            answered_at=(answered_at := self._wall()),
            acks=kept.acks,
            config=told.version if told else 0,
            slots=self.slots.told_to(agent, answered_at),
        )

    async def metrics(self, *, live: bool, zipped: bool) -> bytes:
        """Return one of the pages for Prometheus; only once `loaded`."""
        now = self._wall()
        if live:
            page = self._exposition.live(now)
            return await asyncio.to_thread(_gzip, page) if zipped else page
        self.own.rollup_behind.set(self.rollups.behind)
        self.own.journal_bytes.set(self.journal.path.stat().st_size)
        for receiver in self.remote_write:
            receiver.tell()
        return await (self._exposition.full_gzip(now) if zipped else self._exposition.full(now))

    async def dossier(self, agent: str, check: str) -> Dossier:
        """Return the evidence about one check of one agent. sqlite3.Error if it cannot be read."""
        state = self._config.state_directory / "state.sqlite"
        return await asyncio.to_thread(read_dossier, state, agent, check)

    async def incident(self, identity: str) -> tuple[Incident | None, Sequence[Act]]:
        """Return an incident, open or closed, with its acts. sqlite3.Error if it cannot be read."""
        known = self.incidents.open.get(identity)
        if known is not None:
            return known, self.duty.of(identity)
        state = self._config.state_directory / "state.sqlite"
        return await asyncio.to_thread(read_incident, state, identity)

    async def recent(self, limit: int) -> Sequence[tuple[Incident, Sequence[Act]]]:
        """Return the incidents closed last, the latest first. sqlite3.Error as above."""
        state = self._config.state_directory / "state.sqlite"
        return await asyncio.to_thread(read_recent, state, limit)

    async def reload(self) -> None:
        """Read the province's folder again. FolderError: it has mistakes, and the old one stays."""
        try:
            inventory = await asyncio.to_thread(load, self._config.province)
        except FolderError:
            self.own.inventory_refused.set(1)
            raise
        now = self._wall()
        self.fleet.reload(inventory, now)
        self.slots.reload(inventory, now)
        self.rehearsals.reload(inventory)
        self._mind_the_secret(inventory)
        self.own.inventory_refused.set(0)
        self.own.inventory_loaded.set(now)

    def _mind_the_secret(self, inventory: Inventory) -> None:
        checks = {series.check for series, load in inventory.loads.items() if load.stream}
        if checks and not self._config.bridge_secret:
            log.warning(
                "media tests get no slots, collector.yml has no bridge: secret_file checks=%s",
                ",".join(sorted(checks)),
            )

    async def _apply(self, entries: Iterable[NewEntry], *, replay: bool = False) -> None:
        """Give the fleet its samples, a few at a time: the loop has others to serve."""
        done = 0
        for entry in entries:
            now = entry.received_at if replay else self._wall()
            for index, (sample, at) in enumerate(
                zip(entry.batch.samples, entry.times, strict=True)
            ):
                slot = sample.facts.get("slot", "")
                rehearsed = slot.startswith(REHEARSAL)  # too much load on purpose: nobody is paged
                if index not in entry.quarantined and not rehearsed:
                    self.fleet.apply(entry.agent, sample, at, trusted=entry.trusted, now=now)
                if rehearsed and not replay:
                    self.rehearsals.take(entry.agent, sample)
            await self._keep_evidence(entry)
            done += len(entry.times)
            if done >= _APPLIED_AT_ONCE:
                done = 0
                await asyncio.sleep(0)

    async def _keep_evidence(self, entry: NewEntry) -> None:
        found = list(found_in(entry, self.fleet.inventory))
        if found:
            try:
                await asyncio.to_thread(self.evidence.save, found)
            except (sqlite3.Error, OSError) as exc:  # the journal has it, whatever happens here
                log.error("evidence cannot be kept agent=%s error=%s", entry.agent, exc)  # noqa: TRY400 - no bug of ours

    def _count(self, size: int, batches: int, kept: Kept) -> None:
        own = self.own
        own.pushes.inc()
        own.received_bytes.inc(size)
        own.batches.inc(len(kept.new))
        own.duplicates.inc(batches - len(kept.new))
        for entry in kept.new:
            own.samples.inc(len(entry.times))
            own.untrusted.inc(0 if entry.trusted else len(entry.times))
            own.quarantined.inc(len(entry.quarantined))

    async def _run(self, stopping: asyncio.Event) -> None:
        began = time.monotonic()
        for last in self._store.contacts():
            self.fleet.remember(last.agent, last.contact, last.heard_at)
        beat = Beat(
            self.fleet,
            self.incidents,
            store=self._store,
            duty=self.duty,
            exposition=self._exposition,
            configs=self.configs,
            slots=self.slots,
            rehearsals=self.rehearsals,
            journal=self.journal,
            record=self.record,
            own=self.own,
            wall=self._wall,
        )
        try:
            await self._replay(stopping)
        except (sqlite3.Error, OSError) as exc:
            # What comes in now matters more: without the past all is unknown for some seconds.
            log.error("the journal's last minutes cannot be read error=%s", exc)  # noqa: TRY400 - no bug of ours
        for agent, (push, at, address) in self._early.items():
            self.fleet.heard(agent, push, at, address)
        self._early.clear()
        self._exposition.show(self.duty.shown(self.incidents.open.values()), self.duty.called)
        self.fleet.pardon(self._wall())
        self.record.pardon(self._wall())
        self.loaded = True
        log.info(
            "loaded agents=%d open_incidents=%d seconds=%.1f",
            len(self.fleet.agents),
            len(self.incidents.open),
            time.monotonic() - began,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(beat.run(stopping))
            for receiver in self.remote_write:
                tasks.create_task(receiver.run(stopping))

    async def _replay(self, stopping: asyncio.Event) -> None:
        after = await self.journal.before(self._wall() - REPLAY_SECONDS)
        while after < self.journal.newest_id and not stopping.is_set():
            entries = await self.journal.read(after, _REPLAYED_AT_ONCE)
            await self._apply(entries, replay=True)
            after = entries[-1].id if entries else after + _REPLAYED_AT_ONCE


async def _away_if(size: int, work: Callable[[], T]) -> T:
    """Do work here, or in a thread when it is about many bytes."""
    return await asyncio.to_thread(work) if size > _LARGE_BYTES else work()


def _gzip(page: bytes) -> bytes:
    return zlib.compress(page, 1, wbits=31)
