"""Stretch: batches of one boot that follow each other, by number and in time. Pure.

A day of an agent that was never away is 24 stretches, one for each hour; every hole in the numbers
and every pause between two of them is where the ledger asks why.
"""

from collections.abc import Iterable

from msgspec import Struct

from agent.wire import Tally
from collector.ingest.entries import NewEntry

APART_SECONDS = 120.0
"""Batches further apart than this do not follow each other, whatever their numbers."""


class Stretch(Struct, kw_only=True):
    """Times are the centre's UTC seconds at which batches were sealed."""

    agent: str
    boot: str
    machine_boot: str
    hour: int
    """Of `end`: hours since 1970."""
    config: int
    """The version in force at the agent."""
    trusted: bool
    """False: the times are those of the arrival, nobody vouches for the agent's own."""
    first: int
    last: int
    begin: float
    end: float
    up: float
    """Seconds from the machine's start to `begin`."""
    samples: int
    repeated: int = 0
    """Numbers that were counted twice: never, if all is well."""
    before: Tally | None
    """As the first batch told it."""
    after: Tally | None
    """As the last batch told it."""


def stretch_of(entry: NewEntry) -> Stretch:
    """Return the stretch that is one batch."""
    batch = entry.batch
    sealed = batch.sealed.mono_ns / 1e9
    at = entry.received_at
    if entry.trusted and entry.times:
        at = min(at, entry.times[-1] + sealed - batch.samples[-1].start.mono_ns / 1e9)
    return Stretch(
        agent=entry.agent,
        boot=entry.boot,
        machine_boot=batch.machine_boot,
        hour=int(at // 3600),
        config=batch.config,
        trusted=entry.trusted,
        first=entry.seq,
        last=entry.seq,
        begin=at,
        end=at,
        up=sealed,
        samples=len(batch.samples),
        before=batch.tally,
        after=batch.tally,
    )


def join(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return the same batches in as few stretches as they make, by boot and number."""
    joined: list[Stretch] = []
    for one in sorted(stretches, key=lambda one: (one.agent, one.boot, one.first, one.last)):
        if joined and (_again(joined[-1], one) or follows(joined[-1], one)):
            extend(joined[-1], one)
        else:
            joined.append(one)
    return joined


def follows(before: Stretch, one: Stretch) -> bool:
    """Whether a stretch goes on where another ends."""
    same = (before.agent, before.boot) == (one.agent, one.boot)
    alike = (before.hour, before.config, before.trusted) == (one.hour, one.config, one.trusted)
    near = abs(one.begin - before.end) <= APART_SECONDS  # behind it: the centre's clock was set
    return same and alike and near and one.first == before.last + 1


def _again(before: Stretch, one: Stretch) -> bool:
    """Whether a stretch has numbers of one before: counted twice, which is told whatever else."""
    return (before.agent, before.boot) == (one.agent, one.boot) and one.first <= before.last


def extend(before: Stretch, one: Stretch) -> None:
    """Add a stretch to the one it follows."""
    again = min(before.last, one.last) - one.first + 1
    before.repeated += one.repeated + max(0, again)
    before.samples += one.samples
    if one.last > before.last:
        before.last, before.end, before.after = one.last, one.end, one.after
