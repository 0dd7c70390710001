"""Evidence: what stood where at the moment a check went down, before anybody looks.

Within 20 s of the failing edge: the path to the target by its own protocol and port, the gateway,
the lines, what two resolvers answer, the certificates shown, and the last good path beside it. It
travels as a sample of kind `evidence` and counts as no attempt. When a line dies every check fails
at once, so little is collected of much: one evidence for a check, target and line in five minutes,
two at a time, twelve in ten minutes; of those that wait, first one for each line, lower layers
first. Who cannot begin in time gives up: a path seen later proves nothing about this failure.

Good paths are kept in memory: each target's is traced once a day while its check is up, one a
minute at most. Nothing here is configured, and nothing that fails here ends anything else.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.aim import Aim, aim
from agent.clock import read_stamp
from agent.findings import in_words
from agent.runner import Run
from agent.scene import (
    PATH_CHARACTERS,
    Case,
    World,
    address_of,
    bounded,
    collect,
    is_here,
    resolved,
)
from agent.trace import trace
from agent.wire import EVIDENCE, Sample, Stamp, write_path

VERSION = 1
DEADLINE_SECONDS = 20.0
"""From the failing edge until the sample is handed over."""
PATIENCE_SECONDS = 10.0
"""How long a failure may wait for its turn; what is left of the deadline is for collecting."""
AGAIN_SECONDS = 300.0
AT_ONCE = 2
MOST, MOST_SECONDS = 12, 600.0
MOST_WAITING = 200
BASELINE_SECONDS = 86_400.0
BASELINES_APART_SECONDS = 60.0
MOST_BASELINES = 1_000
LAYER = {"icmp": 0, "dns": 1}
"""Lower layers explain higher ones; all other kinds come after these."""

Key = tuple[str, str, str]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Good:
    """A path to a target whose check was up."""

    text: str
    at: Stamp


class Evidence:
    """Tell `failed` of each run that went down; `run` collects until it is cancelled."""

    def __init__(
        self,
        world: World,
        on_sample: Callable[[Sample], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._on_sample = on_sample
        self._now = now
        self._waiting: dict[Key, Case] = {}
        self._woken = asyncio.Event()
        self._begun: deque[tuple[float, Key]] = deque()
        self._baselines: dict[tuple[str, Aim], Good] = {}
        self._tried: dict[tuple[str, Aim], float] = {}

    def failed(self, run: Run, sample: Sample) -> None:
        """Take a run that went down, and the attempt that confirmed it; what cannot be is left."""
        try:
            aimed = _worth(run)
            if aimed is None or len(self._waiting) >= MOST_WAITING:
                return
            # A resolver may be a daemon of this PC: then what the next one says is the more telling.
            if is_here(address_of(aimed, sample)) and run.check.kind != "dns":
                return
        except Exception:
            log.exception("no evidence check=%s target=%s", run.check.id, run.target.name)
            return
        self._waiting[run.key] = Case(run, sample, aimed, self._now())
        self._woken.set()

    async def run(self) -> None:
        """Collect what is told, and good paths while nothing is."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_baselines(), name="evidence baselines")
            for number in range(AT_ONCE):
                tasks.create_task(self._work(), name=f"evidence {number}")

    async def _work(self) -> None:
        while True:
            case = self.next_case()
            if case is None:
                self._woken.clear()
                await self._woken.wait()
                continue
            try:
                sample = await self._collect(case)
            except Exception:
                log.exception("no evidence check=%s target=%s", *case.run.key[:2])
            else:
                self._on_sample(sample)

    def next_case(self) -> Case | None:
        """Return the most telling of the failures that wait and may be looked into; None if none."""
        now = self._now()
        while self._begun and self._begun[0][0] <= now - MOST_SECONDS:
            self._begun.popleft()
        lately = [key for at, key in self._begun if at > now - AGAIN_SECONDS]
        up_again = {run.key for run in self._world.good()}
        self._waiting = {
            key: case
            for key, case in self._waiting.items()
            if now - case.at <= PATIENCE_SECONDS and key not in lately and key not in up_again
        }
        if not self._waiting or len(self._begun) >= MOST:
            return None
        lines = {line for _, _, line in lately}
        case = min(
            self._waiting.values(),
            key=lambda case: (
                case.run.target.line in lines,
                LAYER.get(case.run.check.kind, len(LAYER)),
                case.at,
            ),
        )
        del self._waiting[case.run.key]
        self._begun.append((now, case.run.key))
        return case

    async def _collect(self, case: Case) -> Sample:
        start = read_stamp()
        begun = time.monotonic()
        good = self._baselines.get((case.run.target.line, case.aim))
        seconds = DEADLINE_SECONDS - (self._now() - case.at)
        facts = await collect(case, self._world, seconds)
        if good is not None:
            facts["last_good_path"] = bounded(good.text, PATH_CHARACTERS)
            age = max(0, start.mono_ns - good.at.mono_ns) // 1_000_000_000
            facts["last_good_age_seconds"] = str(age)
        failed = case.sample
        return Sample(
            check=failed.check,
            target=failed.target,
            line=failed.line,
            kind=EVIDENCE,
            version=VERSION,
            start=start,
            duration=round(time.monotonic() - begun, 6),
            facts=facts,
            failure=failed.failure,
            detail=failed.detail,
            attempt=failed.attempt,
        )

    async def _keep_baselines(self) -> None:
        await asyncio.sleep(random.uniform(0.0, BASELINES_APART_SECONDS))
        while True:
            await self.trace_one_baseline()
            await asyncio.sleep(BASELINES_APART_SECONDS)

    async def trace_one_baseline(self) -> None:
        """Trace the way to one target that is up, if any is due."""
        due = self._due_baseline()
        if due is None:
            return
        run, aimed = due
        key = (run.target.line, aimed)
        self._tried[key] = self._now()
        if len(self._tried) > MOST_BASELINES:
            oldest = min(self._tried, key=self._tried.__getitem__)
            del self._tried[oldest]
            self._baselines.pop(oldest, None)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                address = await resolved(aimed, self._world.env)
                if is_here(address):
                    return
                at = read_stamp()
                path = await trace(aimed, address, run.target.source)
        except Exception as exc:  # noqa: BLE001  one good path less; the checks tell of trouble
            log.debug("no good path target=%s why=%s", run.target.name, in_words(exc))
            return
        if run.key in {still.key for still in self._world.good()}:
            self._baselines[key] = Good(write_path(path), at)

    def _due_baseline(self) -> tuple[Run, Aim] | None:
        """Return the run that is up and whose good path is the oldest; any of several."""
        now = self._now()
        found: tuple[float, float, Run, Aim] | None = None
        for run in self._world.good():
            aimed = _worth(run)
            if aimed is None:
                continue
            tried = self._tried.get((run.target.line, aimed), float("-inf"))
            order = (tried, random.random())
            if now - tried >= BASELINE_SECONDS and (found is None or order < found[:2]):
                found = (*order, run, aimed)
        return found[2:] if found else None


def _worth(run: Run) -> Aim | None:
    """Return what to trace; None where silence is right or the target is this PC."""
    if run.check.expect == "unreachable":
        return None
    return aim(run.check.kind, run.target.name, run.check.params)
