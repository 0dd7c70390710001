"""Intake: what becomes of a push that was understood, up to its acknowledgements."""

from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct

from agent.wire import Ack
from collector.ingest.clock import Clocks
from collector.ingest.decode import Arrival
from collector.ingest.entries import NewEntry
from collector.ingest.journal import Journal, JournalError
from collector.ingest.refused import Refused

BYTES_PER_SECOND = 16 << 20
BURST_BYTES = 64 << 20
LEAST_BYTES = 16 << 10
"""What even an empty push counts as."""


class Kept(Struct, frozen=True):
    """What the journal has of a push."""

    new: Sequence[NewEntry]
    """Those it did not have before."""
    acks: list[Ack]


class Intake:
    """Gives samples their time, journals them, and says what is kept."""

    def __init__(self, clocks: Clocks, journal: Journal) -> None:
        self._clocks = clocks
        self._journal = journal

    async def keep(self, arrival: Arrival, received_at: float) -> Kept:
        """Return once everything of the push is on disk. Refused 503: nothing may be counted on."""
        push = arrival.push
        learned = self._clocks.learn(push, received_at)
        entries = []
        for batch, body in arrival.batches:
            corrected = self._clocks.correct(batch, received_at)
            entries.append(
                NewEntry(
                    agent=batch.agent,
                    boot=batch.boot,
                    seq=batch.seq,
                    batch=batch,
                    body=body,
                    times=corrected.times,
                    trusted=corrected.trusted,
                    quarantined=corrected.quarantined,
                    received_at=received_at,
                )
            )
        if not entries and learned is None:
            return Kept((), [])
        try:
            new = await self._journal.append(entries, [learned] if learned else ())
        except JournalError as exc:
            if learned is not None:
                self._clocks.forget(learned)
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", str(exc)) from exc
        boots = dict.fromkeys(entry.boot for entry in entries)
        acks = [
            Ack(boot=boot, ranges=list(await self._journal.ranges(push.agent, boot)))
            for boot in boots
        ]
        return Kept([entry for entry, fresh in zip(entries, new, strict=True) if fresh], acks)


class Quota:
    """Keeps one agent gone mad from taking the collector from all others. Pure.

    Far above what an agent needs: a day's backlog goes through in a minute.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, agent: str, inflated_bytes: int, now: float) -> None:
        """Count a push; Refused 429 once an agent has used up its share. `now`: monotonic."""
        left, at = self._left.get(agent, (float(BURST_BYTES), now))
        left = min(BURST_BYTES, left + (now - at) * BYTES_PER_SECOND)
        cost = max(inflated_bytes, LEAST_BYTES)
        enough = left >= cost
        self._left[agent] = (left - cost if enough else left, now)
        if not enough:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many",
                f"agent {agent!r} sends more than {BYTES_PER_SECOND >> 20} MiB a second",
            )
