"""Housekeeping: the few jobs that go by the calendar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from collector.config import Keep
from collector.ingest.access import Access
from collector.ingest.journal import Journal

_SECONDS_A_DAY = 86_400.0


@contextmanager
def housekeeping(
    journal: Journal, access: Access, keep: Keep, wall: Callable[[], float]
) -> Iterator[None]:
    """Keep the journal within its bounds each hour, note the tokens' use each minute."""

    async def remove() -> None:
        await journal.remove(
            received_before=wall() - keep.days * _SECONDS_A_DAY,
            max_bytes=int(keep.gigabytes * 1e9),
        )

    async def save_used() -> None:
        access.save_used()

    # Late is better than never, and once is enough, however many were missed.
    scheduler = AsyncIOScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None}
    )
    scheduler.add_job(remove, "interval", hours=1)
    scheduler.add_job(save_used, "interval", minutes=1)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown()
