"""A whole collector with a receiver."""

import time

import pytest

from agent.wire import Stamp
from tests.collector.export.pages import named
from tests.collector.export.receiving import receiving
from tests.collector.ingest import pushes
from tests.collector.served import AGENT, served
from tests.waiting import until


@pytest.fixture
async def receiver():
    """Return a receiver that takes everything."""
    async with receiving() as one:
        yield one


def configured(url: str) -> str:
    """Return what stands in collector.yml."""
    return f"remote_write: [{{name: fake, url: '{url}', window_hours: 6}}]\n"


async def test_a_measurement_is_on_the_page_or_sent_never_both(receiver, tmp_path):
    """With a receiver /metrics has everything but probe_*; /metrics/live is as ever."""
    async with served(tmp_path, more=configured(receiver.url)) as here:
        series = here.centre.fleet.inventory.series_of_agent[AGENT][0]
        now = time.time()
        stamp = Stamp(wall_ms=round(now * 1e3), mono_ns=10**12)
        sample = pushes.sample(
            check=series.check, target=series.target, line=series.line, start=stamp
        )
        batch = pushes.batch(1, samples=[sample], sealed=stamp)
        await here.push(batch, sent=stamp)
        await until(receiver.times)

        _, _, page = await here.get("/metrics")
        _, _, live = await here.get("/metrics/live")

    assert named(page, "probe_") == []
    assert named(page, "thongsuot_agent_up{")
    assert named(page, "thongsuot_check_up{") == named(live, "thongsuot_check_up{") != []
    assert named(page, "thongsuot_dropped_values ") == ["thongsuot_dropped_values 0"]
    pending = 'thongsuot_remote_write_pending_batches{lane="live",receiver="fake"} 0.0'
    assert pending in page.decode().splitlines()
    assert abs(receiver.times()[0] / 1_000 - now) < 2
    assert receiver.times(agent=AGENT, check=series.check, instance=series.target)


async def test_a_restarted_collector_goes_on_where_it_stood(receiver, tmp_path):
    """What the receiver took last is sent again as it was, and what came in meanwhile."""
    for seq in (1, 2):
        async with served(tmp_path, more=configured(receiver.url)) as here:
            series = here.centre.fleet.inventory.series_of_agent[AGENT][0]
            stamp = Stamp(wall_ms=round(time.time() * 1e3), mono_ns=10**12 * seq)
            sample = pushes.sample(check=series.check, target=series.target, start=stamp)
            await here.push(
                pushes.batch(seq, samples=[sample], sealed=stamp, machine_boot=f"{seq:032}"),
                machine_boot=f"{seq:032}",
                sent=stamp,
            )
            await until(lambda seq=seq: len(receiver.times()) == seq)
    assert receiver.conflicts == []
