"""A day that was missed comes in beside what is live, which is never late for it."""

import time

import pytest

from tests.lab.backlog import DAY, draining
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]

LIVE_SECONDS = 2.0
DRAIN_SECONDS = 60.0
BATCHES = DAY // 3


async def test_a_day_on_a_free_line(province, tmp_path):
    """432,000 samples in 86,400 batches within a minute, the live ones never older than 2 s."""
    async with draining(province, province.offices[0], tmp_path) as drain:
        await until(lambda: drain.ages, seconds=20, what="live")
        begun = time.monotonic()
        await until(lambda: drain.drained() == DAY, seconds=4 * DRAIN_SECONDS, what="drained")
        took = time.monotonic() - begun
        print(f"free line: {DAY} batches in {took:.1f} s, {drain.told()}")
    assert took <= DRAIN_SECONDS
    assert max(drain.ages) <= LIVE_SECONDS


async def test_a_day_on_a_slow_line(province, tmp_path):
    """2 Mbit/s and 200 ms there and back: it takes its time, and nothing live waits for it."""
    slow = {"bits_per_second": 2e6, "delay_seconds": 0.1}
    async with draining(
        province, province.offices[0], tmp_path, line=slow, batches=BATCHES
    ) as drain:
        await until(lambda: drain.ages, seconds=20, what="live")
        begun = time.monotonic()
        await until(lambda: drain.drained() == BATCHES, seconds=900, what="drained")
        took = time.monotonic() - begun
        print(f"2 Mbit/s, 200 ms: {BATCHES} batches in {took:.1f} s, {drain.told()}")
    assert max(drain.ages) <= LIVE_SECONDS
