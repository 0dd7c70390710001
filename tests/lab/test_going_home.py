"""Offices that close: said or not, nobody is paged when the day's work is over."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.lab.province.folder import GATEWAY, LINE, PROVINCE
from tests.lab.province.pages import Play, Scenario, Step
from tests.lab.province.plan import many
from tests.lab.province.raising import raised

pytestmark = [pytest.mark.real, pytest.mark.slow]
OFFICES = many(8, vnpt_only=4, dual=2)
MINUTES = 2
"""Until they close: long enough to raise them."""


def closing_soon() -> tuple[str, float]:
    """Return a province whose offices close soon, where it is about noon, and when (UTC seconds)."""
    now = datetime.now(UTC)
    zone = f"Etc/GMT{now.hour - 12:+d}"  # the sign is the other way about in these names
    end = (now + timedelta(minutes=MINUTES)).replace(second=0, microsecond=0)
    local = end.astimezone(ZoneInfo(zone))
    hours = (
        "office_hours:\n  days: [mon, tue, wed, thu, fri, sat, sun]\n"
        f'  spans: ["00:00-{local:%H:%M}"]\n'
    )
    return PROVINCE.replace("Asia/Ho_Chi_Minh", zone) + hours, end.timestamp()


async def test_an_evening(tmp_path):
    """Half say bye before they close, half are unplugged afterwards; no page, by day nor by night."""
    province, end = closing_soon()
    sites = tuple(place.site for place in OFFICES)
    async with raised(tmp_path, OFFICES, [GATEWAY, LINE], province=province) as here:
        await here.well()
        assert time.time() < end - 25, "closed before all were off"
        orderly = Step("switched off", sites[:4], over=15.0, heals_over=1.0)
        unplugged = Step("power off", sites[4:], over=10.0, heals_over=1.0)
        lasts = end - time.time()
        await Play(here, Scenario("closing time", (orderly,), lasts=lasts - 15)).run()
        await Play(here, Scenario("after hours", (unplugged,), lasts=10.0)).run()
        assert not [call for call in here.pager.of() if "id" in call.labels]
