"""The fault matrix: the line between agents and collector, cut in the middle of pushes."""

import asyncio
from contextlib import ExitStack

import pytest

from tests.reliability.matrix import TIME_ERROR_SECONDS, fresh, moments, settled, worst_time
from tests.reliability.offices import offices

pytestmark = [pytest.mark.real, pytest.mark.slow]
AGENTS = ("04792", "04813")
CUTS_OF_EACH = 3
SILENCE = ("site_silent",)
"""Who cannot be heard is said to be silent, and nothing else is said."""


async def cut_often(rng, ways):
    """Break a line in each way several times, in a random order, for up to two seconds."""
    faults = list(ways.items()) * CUTS_OF_EACH
    rng.shuffle(faults)
    for (_, fault), work in zip(faults, moments(rng, len(faults), 1.2), strict=True):
        await asyncio.sleep(work)
        with fault():
            await asyncio.sleep(rng.uniform(0.1, 2.0))


async def robbed(made, no_answer, *resets):
    """Cut a line between storing and answering, and break connections, until batches come again."""
    before = told_again(made)
    async with asyncio.timeout(60):
        while told_again(made) == before:
            await fresh(made)
            with no_answer(), ExitStack() as stack:
                await asyncio.sleep(1.0)
                for reset in resets:
                    stack.enter_context(reset())
                await asyncio.sleep(0.5)
            await fresh(made)


async def test_agents_whose_line_is_cut(tmp_path, rng):
    """Thirty cuts: no light, one direction or both swallowed, connections reset."""
    with offices(tmp_path, AGENTS) as here:
        made = here.made
        for agent in made.agents.values():
            agent.start()
        await made.ready()
        await made.measured()
        await asyncio.gather(*(cut_often(rng, here.cuts_at(office)) for office in here.places))
        for office in here.places:
            ways = here.cuts_at(office)
            await robbed(made, ways["no answer arrives"], ways["reset"])
        print(f"{told_again(made):g} batches came again")
        await settled(made, causes=SILENCE)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


async def test_a_collector_whose_line_is_cut(tmp_path, rng):
    """A dozen cuts that hit all agents at once."""
    with offices(tmp_path, AGENTS) as here:
        made = here.made
        for agent in made.agents.values():
            agent.start()
        await made.ready()
        await made.measured()
        ways = here.cuts_at_centre()
        await cut_often(rng, ways)
        resets = [here.cuts_at(office)["reset"] for office in here.places]
        await robbed(made, ways["no answer leaves"], *resets)
        print(f"{told_again(made):g} batches came again")
        await settled(made, causes=SILENCE)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


def told_again(made):
    """Return how many batches the collector got that it had already."""
    return sum(made.series("thongsuot_ingest_duplicates_total", page="/metrics"))
