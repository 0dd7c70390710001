"""The fault matrix: PCs that lose power while they write, and start as another run of the machine.

Everything in the PC's namespace is killed at a random moment, its disk keeps what was on it and
nothing that the kernel only held in memory, and what was written last is torn.
"""

import asyncio
from contextlib import ExitStack

import pytest

from agent import segments
from tests.lab.namespaces import in_namespace
from tests.reliability.accounts import journal
from tests.reliability.clocks import machine
from tests.reliability.disks import PcDisk, slow_syncs, torn
from tests.reliability.matrix import TIME_ERROR_SECONDS, last_segment, moments, settled
from tests.reliability.offices import offices
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
AGENTS = ("04792", "04813")
CUTS_OF_EACH = 12
UPTIME_SECONDS = 40.0
SYNC_SECONDS = 0.1
"""What the disk of such a PC may take while others write to it."""
SILENCE = ("site_silent",)


@pytest.mark.parametrize("line", [True, False], ids=["line there", "line cut"])
async def test_pcs_that_lose_power(tmp_path, rng, line):
    """Twice twelve times: of what was on disk nothing is lost, and the centre is all it needs.

    With the line cut meanwhile, the disk is all there is of eleven runs.
    """
    with offices(tmp_path, AGENTS) as here, ExitStack() as stack:
        made, slow = here.made, slow_syncs(tmp_path, SYNC_SECONDS)
        disks = {}
        for office in here.places:
            image = tmp_path / f"{office.agent}.image"
            disks[office.agent] = PcDisk(image, tmp_path / office.agent / "state")
            stack.callback(disks[office.agent].unmount)
            stack.callback(office.power_off)
            started(made, office, slow, 0)
        await made.ready()
        await made.measured()
        if not line:
            for office in here.places:
                office.line.set(both={"down": True})
        lost = await asyncio.gather(
            *(cut_often(made, office, disks[office.agent], slow, rng) for office in here.places)
        )
        for office in here.places:
            office.line.set(both={"down": False})
        boots = len({entry.boot for entry in journal(tmp_path)})
        print(f"{sum(lost)} batches were being written; {boots} runs were heard by then")
        assert sum(lost), "no cut in the midst of a write"
        await settled(made, causes=SILENCE)
        entries = journal(tmp_path)
        runs = {(entry.agent, entry.batch.machine_boot) for entry in entries}
        assert len(runs) >= len(AGENTS) * (CUTS_OF_EACH + 1) - sum(lost), "some had one batch"
        untrusted = sum(not entry.trusted for entry in entries)
        print(f"{untrusted} of {len(entries)} batches by a clock nobody vouches for")
        assert max(off(entry) for entry in entries if entry.trusted) < TIME_ERROR_SECONDS


async def cut_often(made, office, disk, slow, rng):
    """Cut the power again and again; return how many batches were lost while they were written.

    At any moment after a run's first batch was begun, every other time as soon as one more is.
    """
    spool = made.folder / office.agent / "state" / "spool"
    lost = 0
    for number, after in enumerate(moments(rng, CUTS_OF_EACH, 0.7), start=1):
        before = last_segment(made.folder, office.agent) if number > 1 else 0
        await until(
            lambda: last_segment(made.folder, office.agent) > before,  # noqa: B023 - awaited here
            seconds=30,
            what="a batch written",
        )
        await asyncio.sleep(after)
        if number % 2:
            size = written_bytes(spool)
            await until(lambda: written_bytes(spool) > size, seconds=30, what="one more written")  # noqa: B023
        made.agents[office.agent].process.kill()
        office.power_off()
        made.agents[office.agent].kill()
        office.portal.kill()
        written = records(spool)
        disk.lose_power()
        gone = [one for one in written if one not in {*records(spool)}]
        # A batch follows when the one before it is on disk: only the last may still be under way.
        assert gone in ([], written[-1:]), gone
        lost += len(gone)
        torn(spool, rng)
        started(made, office, slow, number)
    return lost


def started(made, office, slow, number):
    """Switch a PC on: its agent runs as of another run of the machine."""
    on = machine(made.folder / office.agent, number + 1, uptime=UPTIME_SECONDS)
    agent = made.agents[office.agent]
    words = ["run", "-c", f"{made.folder / office.agent}/agent.yml"]
    agent.command = in_namespace(office.pc, *slow, *on, *words)
    agent.start()
    if number:
        office.portal.start()


def written_bytes(spool):
    """Return the size of the segment that is written to."""
    newest = max(spool.glob("*.seg"), default=None)
    try:
        return (newest.name, newest.stat().st_size) if newest else ("", 0)
    except FileNotFoundError:  # all of it is at the centre
        return ("", 0)


def records(spool):
    """Return what names each batch on a PC's disk, in the order they were written."""
    return [
        (record.boot, record.seq)
        for path in sorted(spool.glob("*.seg"))
        for record in segments.scan(path.read_bytes())[0]
    ]


def off(entry):
    """Return by how much a batch's times are off; the PC's wall clock is this machine's."""
    return max(
        abs(at - sample.start.wall_ms / 1e3)
        for at, sample in zip(entry.times, entry.batch.samples, strict=True)
    )
