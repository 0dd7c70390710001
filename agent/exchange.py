"""One push over one line: how it is made, and all there is to learn from its answer."""

import asyncio
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import aiohttp
import msgspec

from agent import VERSION
from agent.anchor import Anchor
from agent.clock import read_stamp
from agent.lines import Lines, Way
from agent.policy import Outcome, Policy, judge, judge_failure
from agent.probes.base import ProbeError
from agent.spool import Pending, Spool
from agent.wire import BACKLOG_PRIORITY, WIRE_VERSION, Ack, PowerState, Push, Ranges, Slot, Stamp

PATH = "/api/v1/batches"
HEADERS = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
BACKLOG_HEADERS = {**HEADERS, "Priority": BACKLOG_PRIORITY}
NO_ANSWER = (aiohttp.ClientError, OSError, ProbeError)
"""What `Lines.request` raises: the line's fault, or this PC's."""

Bye = Literal["", "shutdown", "upgrade"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """What a push says of the agent beside what the uplink knows itself."""

    agent: str
    boot: str
    machine_boot: str
    synchronised: bool
    config: int = 0
    config_error: str = ""
    power: PowerState | None = None


class Exchange:
    """Makes pushes and takes their answers in."""

    def __init__(
        self,
        lines: Lines,
        spool: Spool,
        status: Callable[[], Status],
        on_config: Callable[[int], None],
        *,
        on_slots: Callable[[list[Slot]], None],
    ) -> None:
        """`on_config` gets the centre's version each time it differs from the status's own.

        `on_slots` gets an answer's slots at once: they count from its arrival.
        """
        self._lines = lines
        self._spool = spool
        self._status = status
        self._on_config = on_config
        self._on_slots = on_slots
        self._anchor = Anchor()

    async def over(
        self,
        way: Way,
        pendings: list[Pending],
        seconds: float,
        bye: Bye = "",
        *,
        backlog: bool = False,
    ) -> Outcome:
        """Push over one line; its state says afterwards how it went. `backlog` can wait."""
        headers = BACKLOG_HEADERS if backlog else HEADERS
        outcome = await self._push(way, pendings, seconds, bye, headers)
        if outcome.by_clock and self._lines.can_ignore_dates:
            # Our clock is wrong: this one report must get through, without a sample in it.
            report = await self._push(way, [], seconds, bye, headers, any_date=True)
            outcome = Outcome(Policy.RETRY, outcome.why, heard=report.heard)
        if not outcome.why:
            if way.failing:
                log.warning("push went through again line=%r", way.name)
            way.failing = ""
            way.last_success_ms = read_stamp().wall_ms
        elif outcome.policy is not Policy.SPLIT or not pendings:  # a bad batch is not its fault
            if not way.failing:
                log.warning("push failed line=%r why=%s", way.name, outcome.why)
            way.failing = outcome.why
        if outcome.policy is Policy.HOLD:
            self._lines.forget_token()  # a person may have put a new one there
        return outcome

    async def _push(
        self,
        way: Way,
        pendings: list[Pending],
        seconds: float,
        bye: Bye,
        headers: dict[str, str],
        *,
        any_date: bool = False,
    ) -> Outcome:
        had, sent, body = await asyncio.to_thread(self._pack, way, pendings, bye)
        try:
            reply = await self._lines.request(
                way, "POST", PATH, headers=headers, body=body, seconds=seconds, any_date=any_date
            )
        except NO_ANSWER as exc:
            return judge_failure(exc)
        arrived = read_stamp()
        outcome = judge(reply)
        answer = outcome.answer
        if answer is None:
            return outcome
        self._anchor.learn(
            sent_ns=sent.mono_ns,
            received_at=answer.received_at,
            answered_at=answer.answered_at,
            arrived_ns=arrived.mono_ns,
        )
        if answer.slots:
            self._on_slots(answer.slots)
        await asyncio.to_thread(self._take_acks, answer.acks, had)
        if answer.config and answer.config != self._status().config:
            self._on_config(answer.config)
        if pendings and not any(acknowledged(pending, answer.acks) for pending in pendings):
            return Outcome(Policy.RETRY, "the collector acknowledged nothing", heard=True)
        return outcome

    def _take_acks(self, acks: list[Ack], had: Ranges) -> None:
        self._spool.acknowledge(acks)
        self._spool.take_back(had, acks)

    def _pack(self, way: Way, pendings: list[Pending], bye: Bye) -> tuple[Ranges, Stamp, bytes]:
        """Make a push as things stand now; the batches in it are the spool's bytes."""
        had = self._spool.acknowledged()  # first: an answer to this push must know all of it
        status, spool, sent = self._status(), self._spool.state, read_stamp()
        anchor, anchor_error = self._anchor.read(sent.mono_ns)
        push = Push(
            v=WIRE_VERSION,
            agent=status.agent,
            boot=status.boot,
            machine_boot=status.machine_boot,
            sent=sent,
            anchor=anchor,
            anchor_error=anchor_error,
            synchronised=status.synchronised,
            config=status.config,
            config_error=status.config_error,
            program=VERSION,
            via=way.name,
            spool=spool,
            lines=self._lines.states(),
            power=status.power,
            bye=bye,
            batches=[msgspec.Raw(pending.body) for pending in pendings],
        )
        return had, sent, zlib.compress(msgspec.json.encode(push), 1, wbits=31)


def acknowledged(pending: Pending, acks: list[Ack]) -> bool:
    """Whether a batch is among what the collector has."""
    return any(
        first <= pending.seq <= last
        for ack in acks
        if ack.boot == pending.boot
        for first, last in ack.ranges
    )
