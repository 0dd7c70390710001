"""The fault matrix: disks and clocks that come back from the past, or from the future."""

import asyncio
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.e2e.province import COLLECTOR, ROOT, province
from tests.reliability.accounts import account, journal
from tests.reliability.clocks import WallClock
from tests.reliability.ledgers import hold_ledger
from tests.reliability.matrix import (
    BUSY,
    TIME_ERROR_SECONDS,
    drained,
    ended,
    fresh,
    moments,
    opened,
    settled,
    worst_time,
)
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
AGENTS = ("04792", "04813")
HOUR = 3600
FIRST_BATCHES = 24
_SAME_BOOT = """
from agent import service
from agent.__main__ import main
class Os:
    urandom = staticmethod(lambda n: bytes(range(n)))
service.os = Os
main()
"""
SAME_BOOT = [sys.executable, "-c", _SAME_BOOT]
"""An agent whose every run has the same name: what two runs of one image of memory would be."""


def copy(folder, to):
    """Copy a folder that may be written to meanwhile: what an image of a running PC holds."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, copy_function=_copied, ignore=lambda *_: ["control.sock"])


def _copied(source, to):
    with suppress(FileNotFoundError):  # gone meanwhile
        shutil.copyfile(source, to)


async def test_pcs_restored_from_an_older_image(tmp_path, rng):
    """Five times: what they had handed over since, they hand over again; it is stored once."""
    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        await made.ready()
        await made.measured()
        for work in moments(rng, 5, 1.5):
            made.collector.kill()  # so that the image holds batches that are handed over later
            await asyncio.sleep(1.0)
            for agent in AGENTS:
                copy(tmp_path / agent / "state", tmp_path / agent / "image")
            made.collector.start()
            await fresh(made)
            await drained(made)
            await asyncio.sleep(work)
            for agent, program in made.agents.items():
                assert program.stop() == 0
                copy(tmp_path / agent / "image", tmp_path / agent / "state")
                program.start()
        await fresh(made)
        assert made.series("thongsuot_ingest_duplicates_total", page="/metrics")[0] > 0
        await settled(made)


async def test_two_runs_of_one_name_are_told_and_the_first_is_kept(tmp_path):
    """Numbers given out twice for different batches: none is doubled, each conflict is counted."""
    with province(tmp_path, agents=(), more=BUSY) as made:
        agent = made.add_agent(AGENTS[0], command=SAME_BOOT)
        agent.start()
        await made.ready()
        await made.measured()
        # The other run is stopped at its first conflicts, long before it passes the numbers of this.
        await until(lambda: len(journal(tmp_path)) >= FIRST_BATCHES, seconds=60, what="a long run")
        assert agent.stop() == 0
        first = [entry.body for entry in journal(tmp_path)]
        shutil.rmtree(tmp_path / AGENTS[0] / "state")
        agent.start()
        conflicts = await until(
            lambda: sum(made.series("thongsuot_ingest_conflicts_total", page="/metrics")),
            seconds=20,
            what="conflicts counted",
        )
        assert agent.stop() == 0
        assert made.collector.stop() == 0
        assert [entry.body for entry in journal(tmp_path)][: len(first)] == first
        found = account(tmp_path)
        print(f"account: {found}; {conflicts:g} conflicts")
        assert (found.doubled, found.unaccounted) == (0, 0)
        hold_ledger(tmp_path, found)


@pytest.mark.parametrize("gone", [False, True], ids=["PCs still have it", "PCs have deleted it"])
@pytest.mark.parametrize("image", [False, True], ids=["backup", "image"])
async def test_a_centre_restored_from_an_older_state(tmp_path, rng, image, gone):
    """What it acknowledged since comes again from the PCs; what they deleted is a hole that shows."""
    with province(tmp_path, agents=(), more=BUSY) as made:
        for agent in AGENTS:
            small = "spool: {max_bytes: 65536}\n" if gone else ""  # segments of 4 kB
            made.add_agent(agent, more=small).start()
        await made.ready()
        await made.measured()
        await fresh(made)
        save(made, image=image)
        await fresh(made)
        await asyncio.sleep(rng.uniform(2.0, 4.0))
        await drained(made)
        made.collector.kill()
        had = identities(tmp_path)
        put_back(made, image=image)
        made.collector.start()
        await fresh(made)
        if not gone:
            await settled(made)
            assert had <= identities(tmp_path)
            return
        await drained(made)
        ended(made)
        found, hole = account(tmp_path), had - identities(tmp_path)
        print(f"account: {found}; {len(hole)} acknowledged after the backup")
        assert hole
        assert found.unaccounted == len(hole), "no agent gave them up"
        assert found.doubled == 0
        hold_ledger(tmp_path, found, unaccounted=len(hole))
        assert not opened(tmp_path)


def save(made, *, image):
    """Back a running centre up by its own command, or its machine by an image of the disk."""
    if image:
        made.collector.kill()
        copy(made.folder / "state", made.folder / "backup")
        made.collector.start()
    else:
        _collector("backup", "-c", f"{made.folder}/collector.yml", f"{made.folder}/backup")


def put_back(made, *, image):
    """Put the centre's state back as it was saved."""
    shutil.rmtree(made.folder / "state")
    if image:
        copy(made.folder / "backup", made.folder / "state")
    else:
        _collector("restore", "-c", f"{made.folder}/collector.yml", f"{made.folder}/backup")


def identities(folder):
    """Return what names each batch of the journal."""
    return {(entry.agent, entry.boot, entry.seq) for entry in journal(folder)}


async def test_pcs_whose_clocks_are_set_by_an_hour(tmp_path, rng):
    """Eight steps while they run, each PC's its own: no time is off, no check changes its state."""
    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        clocks = []
        for agent, started in made.agents.items():
            assert started.stop() in {0, -15}
            clocks.append(WallClock(tmp_path / agent))
            clocks[-1].given_to(started)
            started.start()
        await made.ready()
        await made.measured()
        for work in moments(rng, 8, 2.0):
            for clock in clocks:
                clock.set(rng.choice([-HOUR, 0, HOUR]))
            await asyncio.sleep(work)
            assert [made.check_up(agent) for agent in AGENTS] == [1, 1]
        await settled(made)
        assert worst_time(tmp_path) < TIME_ERROR_SECONDS


async def test_a_centre_whose_clock_is_set_by_an_hour(tmp_path, rng):
    """Steps ahead, back, behind, back: live goes on within seconds, times follow the new clock."""
    with province(tmp_path, agents=AGENTS, more=BUSY) as made:
        assert made.collector.stop() in {0, -15}
        clock = WallClock(tmp_path)
        clock.given_to(made.collector)
        made.collector.start()
        await made.ready()
        await made.measured()
        offset = 0
        for step in (HOUR, -HOUR, -HOUR, HOUR):
            offset += step
            clock.set(offset)
            await fresh(made)
            await asyncio.sleep(rng.uniform(1.0, 3.0))
            assert [made.check_up(agent) for agent in AGENTS] == [1, 1]
            assert [made.site_up(agent) for agent in AGENTS] == [1, 1]
        await settled(made, ahead=lambda: ahead(tmp_path))
        truth = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        for entry in journal(tmp_path):
            late = entry.received_at - truth - entry.batch.sealed.mono_ns / 1e9
            shown = HOUR * round(late / HOUR)
            for at, sample in zip(entry.times, entry.batch.samples, strict=True):
                off = at - truth - shown - sample.start.mono_ns / 1e9
                assert abs(off) < TIME_ERROR_SECONDS, (entry.id, off)
            assert not entry.quarantined


def ahead(folder):
    """Return how many attempts stand in hours behind that of the journal's newest entry."""
    entries = journal(folder)
    hour = entries[-1].received_at // HOUR
    return sum(at // HOUR > hour for entry in entries for at in entry.times)


def _collector(*arguments):
    subprocess.run([*COLLECTOR, *arguments], cwd=ROOT, check=True, timeout=60)
