"""From a fault at a commune to the call of the person on duty, all parts real.

The limits are the specification's: they hold on a machine of two cores that is busy with this.
"""

import time

import pytest

from tests.e2e.paging import all_closed, incidents, paging, quiet
from tests.e2e.province import province
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
SITE, OTHER = "04792", "04813"


async def took(condition, *, limit: float, what: str, since: float | None = None):
    """Return a condition's first true value; it must come within the limit."""
    begun = time.monotonic() if since is None else since
    value = await until(condition, seconds=30, what=what)
    seconds = time.monotonic() - begun
    print(f"{what}: {seconds:.1f} s (limit {limit:g} s)")
    assert seconds <= limit, f"{what}: {seconds:.1f} s"
    return value


async def test_a_dead_portal_and_a_dead_pc_are_paged_and_closed(tmp_path):
    """Portal stopped: 0 within 3 s, paged within 10 s, closed; PC dead: silent within 5 s, paged."""
    with province(tmp_path, agents=(SITE, OTHER)) as made:
        await made.ready()
        async with paging(tmp_path, made.url) as pager:
            await made.measured()
            assert not pager.of()

            began = time.monotonic()
            made.portal.stop()
            await took(
                lambda: made.check_up(SITE) == 0,
                limit=3,
                since=began,
                what="portal stopped, check_up 0",
            )
            await took(
                lambda: len(incidents(pager)) == 2,
                limit=10,
                since=began,
                what="portal stopped, paged",
            )
            assert {call.annotations["cause"] for call in incidents(pager)} == {"check_down"}
            assert {call.annotations["site"] for call in incidents(pager)} == {SITE, OTHER}

            made.portal.start()
            await took(lambda: made.check_up(SITE) == 1, limit=10, what="portal back, check_up 1")
            await took(lambda: all_closed(pager), limit=10, what="portal back, pages closed")

            began = time.monotonic()
            made.agents[SITE].kill()
            await took(
                lambda: made.site_up(SITE) == 0, limit=5, since=began, what="PC dead, site_up 0"
            )
            silent = await took(
                lambda: incidents(pager, "site_silent"),
                limit=10,
                since=began,
                what="PC dead, paged",
            )
            assert silent[0].annotations["site"] == SITE
            assert silent[0].annotations["summary"] == "Mất liên lạc"
            assert made.site_up(OTHER) == 1

            made.agents[SITE].start()
            await took(lambda: all_closed(pager), limit=15, what="PC back, page closed")
            assert len(incidents(pager)) == 6


async def test_a_collector_that_dies_closes_nothing_and_pages_nothing_twice(tmp_path):
    """Killed and started again with an incident open: no call for 30 s, then exactly one close."""
    with province(tmp_path, agents=(SITE,)) as made:
        await made.ready()
        async with paging(tmp_path, made.url) as pager:
            await made.measured()
            made.portal.stop()
            await until(lambda: incidents(pager), seconds=30, what="the page")
            (page,) = incidents(pager)

            made.collector.kill()
            await quiet(3)  # some scrapes fail: every series is gone, as if all had closed
            made.collector.start()
            await took(
                lambda: made.page("/metrics/live"),
                limit=15,
                what="collector killed, live page back",
            )
            await quiet(30)
            assert incidents(pager) == [page]
            assert made.series("thongsuot_incident", id=page.labels["id"]) == [1]

            made.portal.start()
            await took(lambda: all_closed(pager), limit=10, what="portal back, page closed")
            await quiet(5)
            assert [call.status for call in incidents(pager)] == ["firing", "resolved"]


async def test_a_pc_switched_off_in_order_is_nobodys_page(tmp_path):
    """An agent told to stop says bye: its silence is meant."""
    with province(tmp_path, agents=(SITE, OTHER)) as made:
        await made.ready()
        async with paging(tmp_path, made.url) as pager:
            await made.measured()

            assert made.agents[SITE].stop() == 0
            await quiet(12)  # three times the patience with a silent PC

            assert not pager.of()
            assert made.site_up(OTHER) == 1
