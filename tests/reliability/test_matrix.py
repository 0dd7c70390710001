"""The fault matrix, agents and collector: real processes, and what happens at random moments.

Each cell ends with the account of tests.reliability.accounts, nothing doubled, nothing unaccounted
for, nothing lost, with the product's own ledger, which has to say the same, and with a look at every
incident that was ever opened.
"""

import asyncio
import signal
from contextlib import contextmanager

import pytest

from tests.e2e.province import province
from tests.reliability.disks import full, small_disk
from tests.reliability.matrix import (
    BUSY,
    TIME_ERROR_SECONDS,
    grown,
    killed,
    last_segment,
    moments,
    settled,
    worst_time,
)
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
AGENTS = ("04792", "04813")
KILLS = 50
FILLINGS = 4


@contextmanager
def stopped(*programs):
    """Let processes hang: they hold everything, and do nothing."""
    for program in programs:
        program.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for program in programs:
            program.process.send_signal(signal.SIGCONT)


async def test_agents_killed_at_fifty_moments(tmp_path, rng):
    """Two agents: some kills at any moment of their start, most among their first batches."""

    async def often(agent, starts, written):
        for start in starts:
            await killed(made.agents[agent], [start])
        for after in written:
            before = last_segment(tmp_path, agent)
            await until(
                lambda: last_segment(tmp_path, agent) > before,  # noqa: B023 - awaited here
                seconds=20,
                what="a batch on disk",
            )
            await killed(made.agents[agent], [after])

    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        await made.ready()
        await made.measured()
        await asyncio.gather(
            *(
                often(agent, moments(rng, 5, 0.8), moments(rng, KILLS // 2 - 5, 1.2))
                for agent in AGENTS
            )
        )
        await settled(made)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


async def test_a_collector_killed_at_fifty_moments(tmp_path, rng):
    """Half of the kills at any moment of its start, half soon after it took a batch."""
    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        await made.ready()
        await made.measured()
        starts, taken = (moments(rng, KILLS // 2, longest) for longest in (1.0, 0.5))
        for start, after in zip(starts, taken, strict=True):
            await killed(made.collector, [start])
            await grown(tmp_path)
            await killed(made.collector, [after])
        await settled(made)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


async def test_agents_that_hang(tmp_path, rng):
    """Six times for up to three seconds, also in the middle of a push."""
    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        await made.ready()
        await made.measured()
        for work, pause in zip(moments(rng, 6, 1.0), moments(rng, 6, 3.0), strict=True):
            await asyncio.sleep(work)
            with stopped(*made.agents.values()):
                await asyncio.sleep(pause)
        await settled(made)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


async def test_a_collector_that_hangs(tmp_path, rng):
    """Three times, longer than the agents wait for an answer and than it waits for them."""
    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        await made.ready()
        await made.measured()
        for work, pause in zip(moments(rng, 3, 2.0), moments(rng, 3, 4.0), strict=True):
            await asyncio.sleep(work)
            with stopped(made.collector):
                await asyncio.sleep(4.0 + pause)
        await settled(made)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


@pytest.mark.parametrize("away", [False, True], ids=["centre there", "centre away"])
async def test_agents_whose_disk_runs_full(tmp_path, rng, away):
    """Four times: what finds no room waits in memory and is written when there is some."""
    disks = [tmp_path / agent / "state" for agent in AGENTS]
    with province(tmp_path, agents=(), more=BUSY) as made:
        for agent in AGENTS:
            made.add_agent(agent)
        with small_disk(disks[0], 2), small_disk(disks[1], 2):
            for agent in made.agents.values():
                agent.start()
            await made.ready()
            await made.measured()
            for before, filled in zip(
                moments(rng, FILLINGS, 1.0), moments(rng, FILLINGS, 2.5), strict=True
            ):
                await asyncio.sleep(before)
                if away:
                    made.collector.kill()
                with full(disks[0]), full(disks[1]):
                    await asyncio.sleep(1.0 + filled)
                if away:
                    made.collector.start()
            await settled(made)


async def test_a_collector_whose_disk_runs_full(tmp_path, rng):
    """Four times: nothing is acknowledged that found no room, and nobody is called for it."""
    with small_disk(tmp_path / "state", 16), province(tmp_path, agents=AGENTS, more=BUSY) as made:
        await made.ready()
        await made.measured()
        for before, filled in zip(
            moments(rng, FILLINGS, 1.0), moments(rng, FILLINGS, 3.0), strict=True
        ):
            await asyncio.sleep(before)
            with full(tmp_path / "state"):
                await asyncio.sleep(1.0 + filled)
        await settled(made)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS
