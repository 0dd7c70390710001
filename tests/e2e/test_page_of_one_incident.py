"""The life of one page through a real Prometheus and Alertmanager; only the collector is a stand-in.

It shows what the product's own exposition makes of an incident, so that the incident can be led
through everything that may happen to it within a minute.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from collector.export.exposition import Exposition
from tests.collector.diagnosis.test_routing import HERE
from tests.collector.export.test_incident_series import MASS, OUTAGE
from tests.collector.state.fleets import a_fleet
from tests.e2e.paging import Call, Pager, paging, quiet
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]


class StandIn:
    """A collector of which only the pages are there."""

    def __init__(self) -> None:
        self.exposition = Exposition(a_fleet(HERE), url="https://wall.example")
        self.exposition.show([])
        self.answering = True
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        """Return the live page, or none as a collector does that has just started."""
        if not self.answering:
            return web.Response(status=503)
        return web.Response(body=self.exposition.live(time.time()))


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    """Serve the pages until the block ends."""
    made = StandIn()
    app = web.Application()
    app.router.add_get("/{page:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


def heard(pager: Pager, receiver: str) -> list[tuple[str, str]]:
    """Return what a receiver was told of incidents: alert and status, in order."""
    return [
        (call.labels["alertname"].removeprefix("ThongSuot"), call.status)
        for call in _calls(pager, receiver)
    ]


def _calls(pager: Pager, receiver: str) -> list[Call]:
    return [call for call in pager.of(receiver) if "id" in call.labels]


async def test_a_page_is_the_same_page_until_its_incident_closes(tmp_path):
    """Understood, reassigned, escalated, the collector away: one page and one close for each called."""
    async with stand_in() as collector, paging(tmp_path, collector.url) as pager:
        begun = time.monotonic()
        collector.exposition.show([MASS])
        await until(lambda: heard(pager, "oncall"), seconds=15, what="the page")
        first = _calls(pager, "oncall")[0]
        print(f"shown to webhook: {first.at - begun:.1f} s")
        assert first.annotations["summary"] == "Nhiều nơi cùng mất liên lạc"
        assert "VNPT" not in str(first)

        collector.exposition.show([OUTAGE])
        await until(lambda: heard(pager, "vnpt"), seconds=15, what="the carrier called")
        (call,) = _calls(pager, "vnpt")
        assert call.annotations["description"].startswith("Đứt đường VNPT diện rộng từ ")
        assert call.annotations["sms"].startswith(f"TS {MASS.id} Dut duong VNPT dien rong tu ")

        collector.exposition.show([OUTAGE], {MASS.id: ["room"]})
        await until(lambda: heard(pager, "escalated"), seconds=15, what="the next in charge called")
        collector.exposition.show([OUTAGE], {MASS.id: ["room", "head"]})
        await until(lambda: len(heard(pager, "escalated")) == 2, seconds=15, what="the second tier")

        collector.answering = False
        await quiet(4)
        collector.answering = True
        await quiet(6)
        opened = [("Incident", "firing")]
        assert heard(pager, "oncall") == opened
        assert heard(pager, "vnpt") == [("IncidentReassigned", "firing")]
        assert heard(pager, "escalated") == [("IncidentEscalated", "firing")] * 2

        collector.exposition.show([])
        await until(
            lambda: sum(call.status == "resolved" for call in pager.of(id=MASS.id)) == 4,
            seconds=15,
            what="all closed",
        )
        await quiet(5)
        assert heard(pager, "oncall") == [*opened, ("Incident", "resolved")]
        assert [status for _, status in heard(pager, "vnpt")] == ["firing", "resolved"]
        assert {call.labels["tier"] for call in _calls(pager, "escalated")} == {"1", "2"}
        assert len(pager.of(id=MASS.id)) == 8
