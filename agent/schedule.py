"""When to probe: coalesced slots, spread per site, never two runs of one check at once.

Waking up is what costs on a quiet PC, so runs are gathered into slots of 0.2 s. Where a run falls
within its interval comes from a hash of agent and check: agents do not herd after a power cut, and
a restart keeps each run's place. Time here is the monotonic clock: a wall clock set back by an hour
must not stop the measuring for that hour (docs/decisions/003).
"""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

from agent.probes import BY_SLOT
from agent.probes.base import Health
from agent.runner import Run, attempt
from agent.wire import Sample

SLOT_SECONDS = 0.2
REPROBE_SECONDS = 0.3
SELDOM_SECONDS = 300.0
"""Who may be asked only this often (the whole country's portals) is not asked twice at once."""
MAX_AT_ONCE = 50
LAYERS_BELOW = frozenset({"nic", "icmp", "dns"})
"""Kinds that tell cheaply how far the way goes, and cost nobody much."""
MOST_LOOKED_BELOW = 12
LOOK_AGAIN_SECONDS = 1.0


def offset(agent: str, run: Run) -> float:
    """Return where in its interval a run falls, in whole slots: [0, interval)."""
    text = "\0".join((agent, *run.key))
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    slots = max(1, round(run.check.interval_seconds / SLOT_SECONDS))
    return int(share * slots) * SLOT_SECONDS


class Schedule:
    """Runs the runs until it is cancelled."""

    def __init__(
        self,
        agent: str,
        on_sample: Callable[[Sample], None],
        on_change: Callable[[], None],
        health: Health,
        *,
        on_down: Callable[[Run, Sample], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        run_once: Callable[[Run, int], Awaitable[Sample]] = attempt,
    ) -> None:
        """`on_change` is called when a run ends otherwise than the one before it did.

        `on_down` is given a run that is down from now on, and the attempt that confirmed it.
        """
        self._health = health
        self._agent = agent
        self._on_sample = on_sample
        self._on_change = on_change
        self._on_down = on_down
        self._now = now
        self._run_once = run_once
        self._runs: dict[tuple[str, str, str], Run] = {}
        self._due: dict[int, list[Run]] = {}
        self._under_way: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._settled: dict[tuple[str, str, str], bool | None] = {}
        self._looked_at = float("-inf")
        self._tasks: asyncio.TaskGroup | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Semaphore(MAX_AT_ONCE)

    def set_runs(self, runs: list[Run]) -> None:
        """Put other runs in force; what is under way ends as it began.

        Those of BY_SLOT are not ours: they wait for the centre's leave (agent/leave.py).
        """
        runs = [run for run in runs if run.check.kind not in BY_SLOT]
        now = self._now()
        due: dict[int, list[Run]] = defaultdict(list)
        for run in runs:
            due[_slot_after(now, run.check.interval_seconds, offset(self._agent, run))].append(run)
        self._due = due
        self._runs = {run.key: run for run in runs}
        self._settled = {key: up for key, up in self._settled.items() if key in self._runs}
        self._changed.set()

    def good(self) -> list[Run]:
        """Return the runs in force that are up as far as is known."""
        return [run for key, run in self._runs.items() if self._settled.get(key)]

    async def run(self) -> None:
        """Start what is due, slot after slot."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                self._changed.clear()
                if await self._slept_until(min(self._due, default=None)):
                    self._start_due()

    async def _slept_until(self, slot: int | None) -> bool:
        """Sleep until a slot begins; False when other runs came into force meanwhile."""
        wait = None if slot is None else slot * SLOT_SECONDS - self._now()
        if wait is not None and wait <= 0:
            return True
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            return True
        return False

    def _start_due(self) -> None:
        now = self._now()
        slot_now = int(now / SLOT_SECONDS)
        first = min(self._due)
        self._health.schedule_lag_seconds = max(0.0, now - first * SLOT_SECONDS)
        for slot in sorted(slot for slot in self._due if slot <= slot_now or slot == first):
            for run in self._due.pop(slot):
                interval = max(1, round(run.check.interval_seconds / SLOT_SECONDS))
                behind = max(0, (slot_now - slot) // interval)  # the PC slept: not made up for
                self._health.runs_missed += behind
                self._health.runs_stalled += behind
                self._due.setdefault(slot + (behind + 1) * interval, []).append(run)
                if run.key in self._under_way:
                    self._health.runs_missed += 1
                    self._health.runs_busy += 1
                    continue
                self._start(run)

    def _start(self, run: Run) -> None:
        if self._tasks is not None:
            task = self._tasks.create_task(self._settle(run), name=f"run {run.check.id}")
            self._under_way[run.key] = task

    def _look_below(self, failing: Run) -> None:
        """Ask at once what lies below a check that fails, so that its cause is known as soon.

        Those that are down already have nothing to tell.
        """
        now = self._now()
        if now - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = now
        line = failing.target.line
        below = [
            run
            for key, run in self._runs.items()
            if run.check.kind in LAYERS_BELOW
            and run.check.interval_seconds < SELDOM_SECONDS
            and (not line or run.target.line in {"", line})
            and key not in self._under_way
            and self._settled.get(key) is not False
        ]
        for run in below[:MOST_LOOKED_BELOW]:
            self._start(run)

    async def _settle(self, run: Run) -> None:
        """Attempt once; where the outcome differs from the settled one, ask once more at once.

        The centre believes 2 of the last 3 attempts, so a second one that agrees confirms the
        change and one that does not takes it back: either way without waiting for the next run.
        """
        try:
            settled = self._settled.get(run.key)
            sample = await self._attempt(run, 1)
            up = sample.up
            # From nothing known a success needs no second opinion.
            fine = up is None or up == settled or (settled is None and up)
            if fine or run.check.interval_seconds >= SELDOM_SECONDS:
                self._settled[run.key] = settled if up is None else up
                if up is False and settled is not False and self._on_down is not None:
                    self._on_down(run, sample)
                return
            if not up:
                self._look_below(run)
            await asyncio.sleep(REPROBE_SECONDS)
            sample = await self._attempt(run, 2)
            if sample.up == up:
                self._settled[run.key] = up
                self._on_change()
                if up is False and self._on_down is not None:
                    self._on_down(run, sample)
        finally:
            del self._under_way[run.key]

    async def _attempt(self, run: Run, number: int) -> Sample:
        async with self._room:
            self._health.runs += 1
            sample = await self._run_once(run, number)
        self._on_sample(sample)
        return sample


def _slot_after(now: float, interval: float, place: float) -> int:
    """Return the first slot after now at `place` within an interval."""
    slots = max(1, round(interval / SLOT_SECONDS))
    phase = round(place / SLOT_SECONDS)
    current = int(now / SLOT_SECONDS)
    return current + 1 + (phase - current - 1) % slots
