"""Leave: runs that load what many share are made only in the slots that the centre hands out.

Time here is the boot clock, which goes on while the PC sleeps: a slot that was slept through is
over, and its bandwidth is somebody else's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from agent.probes import BY_SLOT
from agent.probes.base import Health
from agent.runner import Run, attempt
from agent.wire import Sample, Slot

LATE_SECONDS = 2.0
"""A slot that cannot begin by then is dropped: the centre counts on its end."""
AHEAD_SECONDS = 120.0
"""No centre plans further ahead than this."""
REMEMBER_SECONDS = 600.0
"""Answers on their way repeat a slot; none is on its way for this long."""

log = logging.getLogger(__name__)


def boot_clock() -> float:
    """Return seconds since the machine started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leave:
    """Starts a run when its slot begins, each slot once, never two of one run at once."""

    def __init__(
        self,
        on_sample: Callable[[Sample], None],
        health: Health,
        *,
        now: Callable[[], float] = boot_clock,
        run_once: Callable[[Run, int], Awaitable[Sample]] = attempt,
    ) -> None:
        self._on_sample = on_sample
        self._health = health
        self._now = now
        self._run_once = run_once
        self._runs: dict[tuple[str, str, str], Run] = {}
        self._others: set[str] = set()
        self._under_way: set[tuple[str, str, str]] = set()
        self._known: dict[str, float] = {}
        """Slots that were taken or refused -> when they may be forgotten."""
        self._taken: asyncio.Queue[tuple[float, Slot]] = asyncio.Queue()

    def set_runs(self, runs: Iterable[Run]) -> None:
        """Put other runs in force; what is under way ends as it began."""
        runs = list(runs)
        self._runs = {run.key: run for run in runs if run.check.kind in BY_SLOT}
        self._others = {run.check.id for run in runs if run.check.kind not in BY_SLOT}

    def take(self, slots: Iterable[Slot]) -> None:
        """Hear the slots of an answer that arrived just now. Those known already change nothing."""
        now = self._now()
        for slot in slots:
            if slot.id in self._known:
                continue
            self._known = {name: until for name, until in self._known.items() if until > now}
            self._known[slot.id] = now + max(slot.starts_in, 0.0) + REMEMBER_SECONDS
            why = self._why_not(slot)
            if why:
                self._refuse(slot, why)
            else:
                self._taken.put_nowait((now + slot.starts_in, slot))

    async def run(self) -> None:
        """Start what was taken, until cancelled; what is under way is cancelled with it."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                begins, slot = await self._taken.get()
                tasks.create_task(self._run_in(slot, begins), name=f"slot {slot.check}")

    async def _run_in(self, slot: Slot, begins: float) -> None:
        await asyncio.sleep(begins - self._now())
        late = self._now() - begins
        key = (slot.check, slot.target, slot.line)
        # The configuration may have changed since, and the PC may have slept.
        why = self._why_not(slot)
        if late > LATE_SECONDS:
            why = f"it began {late:.1f} s ago"
        elif key in self._under_way:
            why = "the run before is still under way"
        if why:
            self._refuse(slot, why)
            return
        run = self._runs[key]
        self._under_way.add(key)
        try:
            self._health.runs += 1
            target = replace(run.target, slot=slot)
            self._on_sample(await self._run_once(replace(run, target=target), 1))
        finally:
            self._under_way.discard(key)

    def _why_not(self, slot: Slot) -> str:
        if (slot.check, slot.target, slot.line) not in self._runs:
            if slot.check in self._others:
                return "the check runs by its own schedule"
            return "no such run is in force"
        if not slot.starts_in <= AHEAD_SECONDS:
            return f"it begins in {slot.starts_in:g} s, at most {AHEAD_SECONDS:g} are believed"
        if slot.starts_in < -LATE_SECONDS:
            return f"it began {-slot.starts_in:.1f} s ago"
        return ""

    def _refuse(self, slot: Slot, why: str) -> None:
        self._health.runs_missed += 1
        log.warning(
            "slot not used check=%s target=%s line=%r slot=%s why=%s",
            slot.check,
            slot.target,
            slot.line,
            slot.id,
            why,
        )
