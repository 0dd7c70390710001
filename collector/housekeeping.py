"""Housekeeping: the few jobs that go by the calendar."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from collector.config import Keep
from collector.ingest.access import Access
from collector.ingest.journal import Journal
from collector.past.record import Record
from collector.state.ledger_keep import Keeper
from collector.state.rollup_follow import Follower

REMOVE_SECONDS = 3_600.0
SAVE_USED_SECONDS = 60.0
CHECK_SECONDS = 5.0
CHECK_FOR_SECONDS = 0.05
"""Of these five seconds, the chain is followed for so long: some millions of entries a day."""
_DAY = 86_400.0


class Rooms(Protocol):
    """What is kept in order."""

    journal: Journal
    rollups: Follower
    ledger: Keeper
    access: Access
    record: Record


@contextmanager
def housekeeping(rooms: Rooms, keep: Keep, wall: Callable[[], float]) -> Iterator[None]:
    """Keep journal, rollups, ledger and record within their bounds each hour, note the tokens' use each minute.

    And follow the journal's chain, a little at a time, so that what rots is known in time.
    """

    # At the end the scheduler cancels what runs, and would report that as a failed job.
    async def save_used() -> None:
        with suppress(asyncio.CancelledError):
            await rooms.access.save_used()

    async def remove() -> None:
        with suppress(asyncio.CancelledError):
            oldest = wall() - keep.days * _DAY
            await rooms.rollups.remove(oldest)
            await rooms.ledger.remove(oldest)
            await asyncio.to_thread(rooms.record.remove, oldest)
            await rooms.journal.remove(received_before=oldest, max_bytes=int(keep.gigabytes * 1e9))

    async def check() -> None:
        with suppress(asyncio.CancelledError):
            await rooms.journal.check(CHECK_FOR_SECONDS)

    # Late is better than never, and once is enough, however many were missed.
    scheduler = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None}
    )
    scheduler.add_job(remove, "interval", seconds=REMOVE_SECONDS)
    scheduler.add_job(save_used, "interval", seconds=SAVE_USED_SECONDS)
    scheduler.add_job(check, "interval", seconds=CHECK_SECONDS)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown()
