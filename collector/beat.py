"""Beat: what happens four times a second, whether anything was heard or not.

Silence and staleness are found, causes opened and closed, written down, and only then shown to
Prometheus. Our own absence is nobody's fault: after a stall of this process, or a step of the
machine's clock, the agents' patience is counted anew.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable

from collector.agent_configs import AgentConfigs
from collector.bridge.rehearsals import Rehearsals
from collector.bridge.slots import REASONS, Slots
from collector.diagnosis.incident import Change
from collector.diagnosis.incidents import Incidents
from collector.diagnosis.store import Store
from collector.duty.duty import Duty
from collector.export.exposition import Exposition
from collector.export.own import Own
from collector.ingest.journal import Journal
from collector.past.record import Record
from collector.state.fleet import Fleet

TICK_SECONDS = 0.25
CONTACTS_SECONDS = 10.0
"""The last contacts are saved this often: what a kill loses of them is only how long ago it was."""
STALL_SECONDS = 1.0

log = logging.getLogger(__name__)


class Beat:
    """Drives one centre's rooms by the clock."""

    def __init__(
        self,
        fleet: Fleet,
        incidents: Incidents,
        *,
        store: Store,
        duty: Duty,
        exposition: Exposition,
        configs: AgentConfigs,
        slots: Slots,
        rehearsals: Rehearsals,
        journal: Journal,
        record: Record,
        own: Own,
        wall: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._incidents = incidents
        self._store = store
        self._duty = duty
        self._exposition = exposition
        self._configs = configs
        self._slots = slots
        self._rehearsals = rehearsals
        self._journal = journal
        self._record = record
        self._own = own
        self._wall = wall
        self._unsaved: dict[str, Change] = {}
        self._conflicts = self._checked = self._broken = 0
        self._unknown_series = 0
        self._failing = self._record_failing = False
        self._clocks_differ = wall() - time.monotonic()  # asyncio's loops have this clock
        self._contacts_due = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Beat until told to stop, then save what is known."""
        loop = asyncio.get_running_loop()
        self._unknown_series = self._fleet.unknown_series  # those of the past were counted then
        due = loop.time()
        while not stopping.is_set():
            due += TICK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await stopping.wait()
            late = loop.time() - due
            self._own.loop_lag_seconds.observe(max(late, 0.0))
            try:
                self._mind_the_gap(late, loop.time())
                await self.tick(loop.time())
            except Exception:
                log.exception("tick failed")  # the next one may not
            due = max(due, loop.time() - TICK_SECONDS)
        await self._save()

    async def tick(self, monotonic: float) -> None:
        """Look at everything once."""
        now = self._wall()
        self._fleet.tick(now)
        self._record.look(self._fleet, now)
        if self._fleet.inventory.loads:
            self._give_slots(now)
        changes = self._incidents.observe(self._fleet, now)
        for change in changes:
            log.info(
                "incident %s id=%s cause=%s sites=%s check=%s",
                change.kind,
                change.incident.id,
                change.incident.cause,
                ",".join(change.incident.sites),
                change.incident.check,
            )
            self._unsaved[change.incident.id] = change
        acts = self._duty.look(self._incidents.open, self._fleet.inventory, now)
        is_due = monotonic >= self._contacts_due
        if self._record.waiting and (is_due or not self._record_failing):
            await self._save_record()
        if self._unsaved or is_due:
            await self._save()
            self._contacts_due = monotonic + CONTACTS_SECONDS
        await self._duty.save()
        if changes or acts:
            shown = self._duty.shown(self._incidents.open.values())
            self._exposition.show(shown, self._duty.called)
        self._count()
        await self._configs.follow(self._fleet.inventory, now)

    def _give_slots(self, now: float) -> None:
        agents = self._fleet.agents.items()
        self._slots.tick(now, {agent for agent, state in agents if state.contact == "live"})
        self._rehearsals.tick(now)
        own = self._own
        for trunk, given in self._slots.active(now).items():
            own.bridge_active_slots.labels(trunk).set(len(given))
            bits = sum(one.load.bits_per_second for one in given)
            own.bridge_load_bits_per_second.labels(trunk).set(bits)
        for reason in REASONS:
            own.bridge_waiting_runs.labels(reason).set(self._slots.waiting[reason])

    async def _save(self) -> None:
        changes, self._unsaved = self._unsaved, {}
        try:
            await asyncio.to_thread(self._store.save, changes.values(), self._fleet.agents)
        except (sqlite3.Error, OSError) as exc:
            # A page that is not written down still has to go out; writing is tried again.
            self._unsaved = {**changes, **self._unsaved}
            if not self._failing:  # the first of a streak
                log.error("incidents cannot be written error=%s", exc)  # noqa: TRY400 - no bug of ours
            self._failing = True
        else:
            self._failing = False

    async def _save_record(self) -> None:
        try:
            await asyncio.to_thread(self._record.save)
        except (sqlite3.Error, OSError) as exc:
            if not self._record_failing:
                log.error("who is heard cannot be recorded error=%s", exc)  # noqa: TRY400 - no bug of ours
            self._record_failing = True
        else:
            self._record_failing = False

    def _count(self) -> None:
        """Bring our own counters up to what the rooms below have counted."""
        journal, own = self._journal, self._own
        for name, reader in journal.readers.items():
            own.journal_unread.labels(name).set(journal.newest_id - reader.done)
            own.journal_reader_lost.labels(name).set(reader.lost)
        own.journal_checked.inc(journal.checked - self._checked)
        own.journal_broken.inc(journal.broken - self._broken)
        self._checked, self._broken = journal.checked, journal.broken
        conflicts, unknown = journal.conflicts, self._fleet.unknown_series
        self._own.conflicts.inc(conflicts - self._conflicts)
        self._own.unknown_series.inc(unknown - self._unknown_series)
        self._conflicts, self._unknown_series = conflicts, unknown

    def _mind_the_gap(self, late: float, monotonic: float) -> None:
        now = self._wall()
        differ = now - monotonic
        step = differ - self._clocks_differ
        self._clocks_differ = differ
        if abs(step) > STALL_SECONDS:
            self._slots.shift(step)
            log.warning("this machine's clock was set seconds=%.1f", step)
        if late > STALL_SECONDS:
            log.warning("this process stood still seconds=%.1f", late)
        if abs(step) > STALL_SECONDS or late > STALL_SECONDS:
            self._fleet.pardon(now)
            self._record.pardon(now)
