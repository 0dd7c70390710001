"""`pc` reads figures that are true of this very process."""

import time
from contextlib import asynccontextmanager

import pytest

from agent.clock import machine_boot, read_stamp, synchronised
from agent.probes.base import Env, Health, Recorder, Target
from agent.probes.pc import Pc, PcParams
from tests.agent.probes.tries import Tried


async def measure(probe: Pc) -> Recorder:
    """Run the probe once."""
    rec = Recorder()
    await probe.run(Target("self"), rec)
    return rec


async def test_reads_this_machine():
    """Every declared value is there and within what can be true."""
    env = Env(resolve=None, health=Health(runs=7, runs_missed=2, schedule_lag_seconds=0.01))
    rec = await measure(Pc(PcParams(), env))

    assert {value.name for value in Pc.values} == rec.values.keys() | rec.counts.keys()
    assert 0 < rec.values["pc_memory_available_ratio"] < 1
    assert 0 <= rec.values["pc_disk_free_ratio"] <= 1
    assert rec.values["pc_agent_resident_bytes"] > 5_000_000
    assert 3 <= rec.values["pc_agent_open_files"] < 10_000
    assert (7, 2) == (rec.counts["pc_agent_runs_total"], rec.counts["pc_agent_runs_missed_total"])
    assert rec.failure is None


@pytest.mark.parametrize("configured_anew", [False, True])
async def test_counts_what_came_since(configured_anew):
    """A second reading counts only what was spent between the two, also after a new configuration."""
    health = Health(runs=7)
    env = Env(resolve=None, health=health)
    probe = Pc(PcParams(), env)
    await measure(probe)
    if configured_anew:
        probe = Pc(PcParams(), env)
    health.runs = 10
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        pass

    rec = await measure(probe)

    assert 3 == rec.counts["pc_agent_runs_total"]
    assert 0.05 <= rec.counts["pc_agent_cpu_seconds_total"] < 1


def test_only_one_target():
    """Another target than this PC is refused with what was expected."""
    assert "" == Pc.refuse_target("self", PcParams())
    assert "expected self" == Pc.refuse_target("192.0.2.1", PcParams())


def test_stamps_read_both_clocks():
    """A stamp holds UTC milliseconds and a monotonic clock that goes on."""
    first, second = read_stamp(), read_stamp()

    assert abs(first.wall_ms / 1e3 - time.time()) < 1
    assert first.mono_ns < second.mono_ns


def test_boot_and_synchronisation():
    """The machine's boot has a name of 32 hex digits, and the kernel answers about its clock."""
    assert 32 == len(machine_boot())
    assert int(machine_boot(), 16) > 0
    assert synchronised() in {True, False}


@asynccontextmanager
async def tried(_):
    """Only succeed: reading the PC's own figures cannot fail."""
    yield Tried("self", {}), None
