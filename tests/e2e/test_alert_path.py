"""From a fault at a commune to the call of the person on duty, all parts real.

The limits are the specification's: they hold on a machine of two cores that is busy with this.
"""

import time

import pytest

from tests.e2e.paging import paging
from tests.e2e.province import province
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
SITE = "04792"


async def took(condition, *, limit: float, what: str, patience: float = 30.0) -> float:
    """Return after how many seconds a condition came true; it must be within the limit."""
    begun = time.monotonic()
    await until(condition, seconds=patience, what=what)
    seconds = time.monotonic() - begun
    print(f"{what}: {seconds:.1f} s (limit {limit:g} s)")
    assert seconds <= limit, f"{what}: {seconds:.1f} s"
    return seconds


async def test_a_dead_portal_and_a_dead_pc_are_paged_and_closed(tmp_path):
    """Portal stopped: 0 within 3 s, paged within 10 s, closed; PC dead: silent within 5 s, paged."""
    with province(tmp_path, agents=(SITE, "04813")) as made:
        await made.ready()
        async with paging(tmp_path, made.url) as pager:
            await made.measured()
            assert not pager.of()

            began = time.monotonic()
            made.portal.kill()
            await took(lambda: made.check_up(SITE) == 0, limit=3, what="portal dead, check_up 0")
            await until(lambda: pager.of(severity="page"), seconds=30, what="a page")
            (first, *_) = pager.of(severity="page")
            print(f"portal dead, webhook called: {first.at - began:.1f} s (limit 10 s)")
            assert first.at - began <= 10
            assert first.annotations["cause"] == "check_down"
            pages = {call.labels["id"] for call in pager.of(severity="page")}

            made.portal.start()
            await took(lambda: made.check_up(SITE) == 1, limit=10, what="portal back, check_up 1")
            await took(
                lambda: (
                    pages <= {call.labels["id"] for call in pager.of() if call.status == "resolved"}
                ),
                limit=10,
                what="portal back, every page closed",
            )

            before = len(pager.calls)
            began = time.monotonic()
            made.agents[SITE].kill()
            await took(lambda: made.site_up(SITE) == 0, limit=5, what="PC dead, site_up 0")
            await until(lambda: _silent(pager), seconds=30, what="a page about the silent site")
            print(f"PC dead, webhook called: {_silent(pager)[0].at - began:.1f} s (limit 10 s)")
            assert _silent(pager)[0].at - began <= 10
            assert made.site_up("04813") == 1
            assert {
                call.annotations["cause"] for call in pager.calls[before:] if "id" in call.labels
            } == {"site_silent"}

            made.agents[SITE].start()
            await took(
                lambda: _silent(pager)[-1].status == "resolved",
                limit=15,
                what="PC back, page closed",
            )


async def test_a_collector_that_dies_closes_nothing_and_pages_nothing_twice(tmp_path):
    """Killed and started again with an incident open: no call for 30 s, then exactly one close."""
    with province(tmp_path, agents=(SITE,)) as made:
        await made.ready()
        async with paging(tmp_path, made.url) as pager:
            await made.measured()
            made.portal.kill()
            await until(lambda: pager.of(severity="page"), seconds=30, what="the page")
            (page,) = pager.of()

            made.collector.kill()
            made.collector.start()
            await took(made.live, limit=15, what="collector killed, live page back")
            deadline = time.monotonic() + 30
            await until(lambda: time.monotonic() > deadline, seconds=31, what="30 s of quiet")
            assert [call for call in pager.of() if "id" in call.labels] == [page]

            made.portal.start()
            await until(
                lambda: len(pager.of(id=page.labels["id"])) > 1, seconds=30, what="the close"
            )
            assert [call.status for call in pager.of() if "id" in call.labels] == [
                "firing",
                "resolved",
            ]


async def test_a_pc_switched_off_in_order_is_nobodys_page(tmp_path):
    """An agent told to stop says bye: its silence is meant."""
    with province(tmp_path, agents=(SITE, "04813")) as made:
        await made.ready()
        async with paging(tmp_path, made.url) as pager:
            await made.measured()

            assert made.agents[SITE].stop() == 0
            deadline = time.monotonic() + 12
            await until(
                lambda: time.monotonic() > deadline, seconds=13, what="12 s, thrice the patience"
            )

            assert not pager.of()
            assert made.site_up("04813") == 1


def _silent(pager):
    return [call for call in pager.of() if call.annotations.get("cause") == "site_silent"]
