"""The uplink: what is in the spool goes to the centre, the freshest first.

Three tasks: live pushes, one each `batch_seconds` or when woken; the backlog, in further pushes of
its own while live gets through; and heartbeats over the lines that stand by. What an answer means
and what is done about it stands in agent/policy.py.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Literal

from agent.config import CollectorAddress, Line
from agent.exchange import NO_ANSWER, Bye, Exchange, Status
from agent.lines import Lines
from agent.policy import Backoff, Outcome, Policy, Portion, judge_failure
from agent.probes.net import SystemResolver
from agent.spool import Pending, Spool
from agent.wire import LineState, Slot

__all__ = ["Status", "Uplink"]

CONFIG_PATH = "/api/v1/config"
LATE_SECONDS = 0.7
"""After this the next line is asked too."""
LIVE_SECONDS = 6.0
BACKLOG_SECONDS = 30.0
"""After these a push counts as lost."""
SLACK_SECONDS = 0.2
"""How long a heartbeat waits for the batch that is due with it."""
LOOK_SECONDS = 1.0
"""How often the backlog is looked for while there is none."""
STANDBY_SECONDS = 10.0
HOLD_SECONDS = 60.0
BYE_SECONDS = 2.0
RETRY_SECONDS = 0.5
LIVE_RETRY_SECONDS = 3.0
BACKLOG_RETRY_SECONDS = 30.0
"""Pauses after failures grow from the first to the others."""
DEFER_SECONDS, MOST_DEFERRED_SECONDS = 5.0, 600.0
"""A batch that somebody on the way objects to is tried again after these; they grow."""
SPREAD_SECONDS = 1.0
"""The backlogs of a province that comes back begin within this, not at once."""
LIVE_BYTES = 512 << 10
BACKLOG_BYTES = 2 << 20
LEAST_BYTES = 16 << 10

log = logging.getLogger(__name__)


class Uplink:
    """Call `wake` after each batch that was put in the spool."""

    def __init__(
        self,
        address: CollectorAddress,
        lines: Sequence[Line],
        spool: Spool,
        status: Callable[[], Status],
        on_config: Callable[[int], None],
        *,
        on_slots: Callable[[list[Slot]], None],
    ) -> None:
        """`on_config` gets the centre's version with each answer that names another than ours.

        `on_slots` gets the slots of each answer that has any.
        """
        self.batch_seconds = 1.0
        """A push goes out this often at the latest; may be changed at any time."""
        self._spool = spool
        self._resolver = SystemResolver()
        self._lines = Lines(address, self._resolver)
        self._exchange = Exchange(self._lines, spool, status, on_config, on_slots=on_slots)
        self._wanted: Sequence[Line] | None = lines
        self._woken = asyncio.Event()
        self._reached = asyncio.Event()
        self._new_lines = asyncio.Event()

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Put other lines in force, from the next push on."""
        self._wanted = lines

    def states(self) -> dict[str, LineState]:
        """Say how each line fares."""
        return self._lines.states()

    def wake(self) -> None:
        """Push now."""
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled."""
        await self._take_lines()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._live(tasks), name="uplink live")
            tasks.create_task(self._backlog(tasks), name="uplink backlog")
            tasks.create_task(self._standby(), name="uplink standby")

    async def bye(self, reason: Literal["shutdown", "upgrade"]) -> None:
        """Say goodbye with what is live, for two seconds at most. To be called when `run` ended."""
        await self._take_lines()
        pendings = self._spool.live(LIVE_BYTES)
        taken = list(pendings)
        try:
            async with asyncio.timeout(BYE_SECONDS), asyncio.TaskGroup() as tasks:
                while True:
                    outcome = await self._send(tasks, taken, bye=reason)
                    if outcome.policy is Policy.SPLIT and taken:
                        taken = []  # some batch is bad: goodbye without them
                    elif outcome.policy in {Policy.RETRY, Policy.WAIT}:
                        await asyncio.sleep(SLACK_SECONDS)
                    else:
                        break
        except TimeoutError:
            log.warning("the collector did not hear our goodbye")
        finally:
            self._spool.release(pendings)

    async def close(self) -> None:
        """Close the connections."""
        await self._lines.close()
        self._resolver.close()

    async def fetch_config(self, etag: str) -> tuple[bytes, str] | None:
        """Return the centre's configuration and its ETag; None if unchanged or not to be had."""
        await self._take_lines()
        way = self._lines.ordered()[0]
        headers = {"If-None-Match": etag} if etag else {}
        try:
            reply = await self._lines.request(
                way, "GET", CONFIG_PATH, headers=headers, seconds=LIVE_SECONDS
            )
        except NO_ANSWER as exc:
            log.warning("configuration cannot be fetched why=%s", judge_failure(exc).why)
            return None
        kind = reply.headers.get("content-type", "")
        if reply.status == 200 and kind.startswith("application/json"):
            return reply.body, reply.headers.get("etag", "")
        if reply.status != 304:
            log.warning("configuration cannot be fetched status=%d type=%s", reply.status, kind)
        return None

    async def _take_lines(self) -> None:
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            await self._lines.set(wanted)
            self._new_lines.set()

    # The three tasks

    async def _live(self, tasks: asyncio.TaskGroup) -> None:
        backoff = Backoff(RETRY_SECONDS, LIVE_RETRY_SECONDS)
        portion = Portion(LIVE_BYTES, LEAST_BYTES, LIVE_BYTES)
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            await self._take_lines()
            begun = loop.time()
            pendings = self._spool.live(portion.size)
            try:
                outcome = await self._deliver(tasks, pendings, hedged=True)
            finally:
                self._spool.release(pendings)
            if outcome.policy is Policy.DONE:
                self._reached.set()
                backoff.reset()
                portion.took(loop.time() - begun, sum(len(p.body) for p in pendings))
                await self._pause(begun + self.batch_seconds + SLACK_SECONDS - loop.time())
            else:
                self._reached.clear()
                portion.failed()
                await asyncio.sleep(_delay(outcome, backoff))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _backlog(self, tasks: asyncio.TaskGroup) -> None:
        """Drain, but only while live gets through: nothing here keeps trying an absent centre."""
        backoff = Backoff(RETRY_SECONDS, BACKLOG_RETRY_SECONDS)
        portion = Portion(BACKLOG_BYTES // 16, LEAST_BYTES, BACKLOG_BYTES)
        loop = asyncio.get_running_loop()
        while True:
            if not self._reached.is_set():
                await self._reached.wait()
                await asyncio.sleep(random.uniform(0.0, SPREAD_SECONDS))
            pendings = await asyncio.to_thread(self._spool.backlog, portion.size)
            if not pendings:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            begun = loop.time()
            try:
                outcome = await self._deliver(tasks, pendings, hedged=False)
            finally:
                self._spool.release(pendings)
            if outcome.policy is Policy.DONE:
                backoff.reset()
                portion.took(loop.time() - begun, sum(len(p.body) for p in pendings))
            else:
                portion.failed()
                await asyncio.sleep(_delay(outcome, backoff))

    async def _standby(self) -> None:
        """Keep the other lines' connections warm and their state known."""
        loop = asyncio.get_running_loop()
        while True:
            self._new_lines.clear()
            for way in self._lines.ordered()[1:]:
                begun = loop.time()
                await self._exchange.over(way, [], LIVE_SECONDS)
                way.late = loop.time() - begun > LATE_SECONDS
            try:
                async with asyncio.timeout(STANDBY_SECONDS):
                    await self._new_lines.wait()  # a line that was never used is not warm
            except TimeoutError:
                pass

    # One delivery

    async def _deliver(
        self,
        tasks: asyncio.TaskGroup,
        pendings: list[Pending],
        *,
        hedged: bool,
        bisecting: bool = False,
    ) -> Outcome:
        """Send; what the centre refuses is halved until the bad batch is found and set aside.

        A batch is set aside only if it was refused alone and the same push is taken without it:
        else it is the push, or all of us, that the centre will not have, and no batch is to blame.
        One that somebody on the way objects to, while he lets pushes pass, is found likewise; it
        waits in the spool, and is tried again later.
        """
        outcome = await self._send(tasks, pendings, hedged=hedged)
        if outcome.objected and pendings and not bisecting:
            without = await self._send(tasks, [], hedged=hedged)
            if without.policy is not Policy.DONE:
                return outcome
        elif outcome.policy is not Policy.SPLIT and not outcome.objected:
            return outcome
        middle = len(pendings) // 2
        if middle:
            for part in (pendings[:middle], pendings[middle:]):
                outcome = await self._deliver(tasks, part, hedged=hedged, bisecting=True)
                if outcome.policy is not Policy.DONE:
                    break
            return outcome
        without = await self._send(tasks, [], hedged=hedged) if pendings else outcome
        if without.policy is Policy.SPLIT:
            log.error("the collector refuses what we say of ourselves why=%s", without.why)
            return Outcome(Policy.HOLD, without.why, heard=True)
        if without.policy is Policy.DONE:
            bad = pendings[0]
            if outcome.objected:
                log.warning("batch held back boot=%s seq=%d why=%s", bad.boot, bad.seq, outcome.why)
                self._spool.defer(bad, first=DEFER_SECONDS, most=MOST_DEFERRED_SECONDS)
                return without
            log.error("batch set aside boot=%s seq=%d why=%s", bad.boot, bad.seq, outcome.why)
            await asyncio.to_thread(self._spool.set_aside, bad)
        return without

    async def _send(
        self,
        tasks: asyncio.TaskGroup,
        pendings: list[Pending],
        *,
        hedged: bool = True,
        bye: Bye = "",
    ) -> Outcome:
        """Push over the best line; `hedged`: over the next one too where the answer is late.

        The first word of the collector counts. A later one is still listened to: it tells how
        its line fares.
        """
        outcome = Outcome(Policy.RETRY, "no line is configured")
        waiting: set[asyncio.Task[Outcome]] = set()
        ways = self._lines.ordered() if hedged else self._lines.ordered()[:1]
        seconds = LIVE_SECONDS if hedged else BACKLOG_SECONDS
        for way in ways:
            sending = self._exchange.over(way, pendings, seconds, bye, backlog=not hedged)
            waiting.add(tasks.create_task(sending))
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=None if way is ways[-1] else LATE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    way.is_late(LATE_SECONDS)
                    break
                for task in done:
                    outcome = task.result()
                    if outcome.heard:
                        if bye:
                            for late in waiting:
                                late.cancel()
                        return outcome
        return outcome


def _delay(outcome: Outcome, backoff: Backoff) -> float:
    """Return how long to leave the centre alone after a push that did not go through."""
    if outcome.policy is Policy.HOLD:
        return HOLD_SECONDS * random.uniform(0.75, 1.25)
    if outcome.policy is Policy.WAIT:
        return outcome.wait * random.uniform(1.0, 1.25)
    return backoff.next()
