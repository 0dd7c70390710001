"""The fault matrix, receivers of remote write: the real Prometheus and VictoriaMetrics at once.

Each cell ends with two accounts: the journal's, and what each receiver holds of the journal: every
attempt once, with its own time and value.
"""

import asyncio
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.e2e.province import province
from tests.receivers import prometheus, running_receivers, victoria_metrics
from tests.reliability.accounts import journal
from tests.reliability.clocks import WallClock
from tests.reliability.disks import full, small_disk
from tests.reliability.matrix import BUSY, drained, fresh, moments
from tests.reliability.received import (
    all_received,
    configured,
    killed,
    linked,
    received,
    waits,
)
from tests.reliability.test_matrix import stopped

pytestmark = [pytest.mark.real, pytest.mark.slow]
AGENTS = ("04792", "04813")
KILLS = 50
HOUR = 3600
_SOON_SAFE = """
from collector.export import doubt
doubt.SAFE_SECONDS = 3.0
from collector.__main__ import main
main()
"""
SOON_SAFE = [sys.executable, "-c", _SOON_SAFE]
"""A collector that takes for safe what a receiver acknowledged three seconds before it died."""


def busy(collector):
    """Return the busy province with receivers."""
    return replace(BUSY, collector=collector)


def before_a_step_back(folder):
    """Return the ids of what was journalled in the two seconds before the clock was set back."""
    entries = journal(folder)
    backs = [
        one.received_at
        for one, other in pairwise(entries)
        if other.received_at < one.received_at - 60
    ]
    return {
        entry.id for entry in entries if any(0 <= back - entry.received_at < 2 for back in backs)
    }


@pytest.fixture
def receivers(tmp_path):
    """Return both, not started."""
    return prometheus(tmp_path / "prometheus"), victoria_metrics(tmp_path / "victoria-metrics")


async def test_receivers_killed_at_fifty_moments(tmp_path, rng, receivers):
    """Each of them, some at any moment of its start, most while it takes samples."""
    more = busy(configured(receivers))
    with running_receivers(*receivers), province(tmp_path, agents=AGENTS, more=more) as made:
        await made.ready()
        await made.measured()
        spans = ((0.0, 0.4), (0.4, 1.2), (0.4, 1.2))
        await asyncio.gather(*(killed(one, waits(rng, KILLS, *spans)) for one in receivers))
        await all_received(made, receivers)


async def test_receivers_that_hang(tmp_path, rng, receivers):
    """Shortly, and once for longer than the collector waits: they take afterwards what it gave up."""
    more = busy(configured(receivers))
    with running_receivers(*receivers), province(tmp_path, agents=AGENTS, more=more) as made:
        await made.ready()
        await made.measured()
        for work, pause in zip(moments(rng, 4, 1.5), [*moments(rng, 3, 3.0), 17.0], strict=True):
            await asyncio.sleep(work)
            with stopped(*receivers):
                await asyncio.sleep(pause)
        await all_received(made, receivers)


async def test_receivers_whose_disk_runs_full(tmp_path, rng, receivers):
    """Three times to the last byte; one that ends by that is started again, as systemd would."""
    more = busy(configured(receivers))
    with (
        small_disk(receivers[0].data, 200),
        small_disk(receivers[1].data, 60),
        running_receivers(*receivers),
        province(tmp_path, agents=AGENTS, more=more) as made,
    ):
        await made.ready()
        await made.measured()
        for before, filled in zip(moments(rng, 3, 2.0), moments(rng, 3, 4.0), strict=True):
            await asyncio.sleep(before)
            with ExitStack() as filling:
                for one in receivers:
                    filling.enter_context(full(one.data))
                await asyncio.sleep(1.0 + filled)
            for one in receivers:
                if not one.running():
                    print(f"{one.name} ended by itself")
                    one.start()
        await all_received(made, receivers)


async def test_links_to_receivers_that_are_cut(tmp_path, rng, receivers):
    """Six times: packets vanish, or connections are reset; what was under way comes again."""
    async with linked(receivers[0]) as one, linked(receivers[1]) as other:
        more = busy(configured(receivers, [one.url, other.url]))
        with running_receivers(*receivers), province(tmp_path, agents=AGENTS, more=more) as made:
            await made.ready()
            await made.measured()
            for work, pause in zip(moments(rng, 6, 2.0), moments(rng, 6, 3.0), strict=True):
                await asyncio.sleep(work)
                for link in (one, other):
                    link.set(rng.choice(["silent", "reset"]))
                await asyncio.sleep(pause)
                for link in (one, other):
                    link.set("")
            await all_received(made, receivers)


async def test_receivers_restored_from_an_older_state(tmp_path, rng, receivers):
    """What they lost only a person can tell: under new names they get it all, and hold it once."""
    more = busy(configured(receivers))
    with running_receivers(*receivers), province(tmp_path, agents=AGENTS, more=more) as made:
        made.collector.kill()
        made.collector.command[: len(SOON_SAFE)] = SOON_SAFE
        made.collector.start()
        await made.ready()
        await made.measured()
        await fresh(made)
        for one in receivers:
            one.stop()
            shutil.copytree(one.data, tmp_path / f"{one.name}-image")
            one.start()
        await asyncio.sleep(rng.uniform(8.0, 10.0))
        await fresh(made)
        for one in receivers:
            one.stop()
            shutil.rmtree(one.data)
            shutil.copytree(tmp_path / f"{one.name}-image", one.data)
            one.start()
        await fresh(made)
        await drained(made)
        holes = [received(tmp_path, one).missing for one in receivers]
        print(f"missing under the old names: {holes}")
        assert all(holes)
        made.collector.stop()
        config = tmp_path / "collector.yml"
        text = config.read_text("utf-8")
        config.write_text(text.replace(configured(receivers), configured(receivers, names="-2")))
        made.collector.start()
        await all_received(made, receivers)


async def test_clocks_set_by_an_hour_beside_receivers(tmp_path, rng, receivers):
    """Those of collector and agents, ahead and behind of the receivers', which cannot be set.

    What was journalled but not yet sent when the clock is set back lies ahead of it then, and is
    withheld and counted.
    """
    more = busy(configured(receivers))
    with running_receivers(*receivers), province(tmp_path, agents=AGENTS, more=more) as made:
        clock = WallClock(tmp_path)
        for one in (made.collector, *made.agents.values()):
            assert one.stop() in {0, -15}
            clock.given_to(one)
            one.start()
        await made.ready()
        await made.measured()
        offset = 0
        for step in (HOUR, -HOUR, -HOUR, HOUR):
            offset += step
            clock.set(offset)
            await fresh(made)
            await asyncio.sleep(rng.uniform(1.0, 3.0))
            assert [made.check_up(agent) for agent in AGENTS] == [1, 1]
        await all_received(made, receivers, may_lack=before_a_step_back)
