"""Slots of the centre: what is started, when, and what is refused and said."""

import asyncio
from types import SimpleNamespace

import pytest

from agent.config import Check
from agent.leave import Leave
from agent.probes.base import Health, Target
from agent.runner import Run
from agent.schedule import Schedule
from agent.wire import Slot
from tests.waiting import until


def make_run(name="media-sound", kind="media", line="") -> Run:
    """Return a run whose probe is never asked."""
    check = Check(id=name, kind=kind, targets=["t"], interval_seconds=1.0, lines=(line,))
    return Run(check, None, Target("t", line), {"kept": 1.0})


def make_slot(name="s1", **said) -> Slot:
    """Return a slot that begins at once."""
    given = {"check": "media-sound", "target": "t", "starts_in": 0.0}
    return Slot(id=name, max_seconds=33.0, max_bytes=10_000, **{**given, **said})


class Bench:
    """A Leave whose clock and attempts are ours."""

    def __init__(self):
        self.ahead = 0.0
        self.made = []
        self.samples = []
        self.health = Health()
        self.gate = asyncio.Event()
        self.gate.set()
        self.leave = Leave(
            self.samples.append,
            self.health,
            now=lambda: asyncio.get_running_loop().time() + self.ahead,
            run_once=self._once,
        )
        self.leave.set_runs([make_run()])

    async def _once(self, run, number):
        self.made.append((asyncio.get_running_loop().time(), run, number))
        await self.gate.wait()
        return SimpleNamespace(up=False)

    @property
    def slots(self):
        """The slots that runs were made in."""
        return [run.target.slot.id for _, run, _ in self.made]


@pytest.fixture
async def bench():
    """Yield a Leave that runs."""
    bench = Bench()
    task = asyncio.create_task(bench.leave.run())
    yield bench
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def refusals(caplog) -> list[str]:
    """Return the reasons that were logged."""
    return [text.partition("why=")[2] for text in caplog.messages if "slot not used" in text]


async def test_a_run_is_made_when_its_slot_begins(bench):
    """The probe is given the slot with its target; counters are those of the run."""
    begun = asyncio.get_running_loop().time()

    bench.leave.take([make_slot(starts_in=0.2)])
    await until(lambda: bench.samples, what="a sample")

    (at, run, number) = bench.made[0]
    assert 0.19 <= at - begun < 0.5
    assert (make_slot(starts_in=0.2), 1) == (run.target.slot, number)
    assert {"kept": 1.0} == run.counters


async def test_each_slot_is_used_once(bench, caplog):
    """Answers repeat a slot until it began, and some arrive later still: one run, not a word."""
    for starts_in in (0.1, 0.05, 0.0, -1.0, -5.0):
        bench.leave.take([make_slot(starts_in=starts_in)])
    await until(lambda: bench.samples, what="a sample")
    bench.leave.take([make_slot(), make_slot("s2")])
    await until(lambda: len(bench.samples) == 2, what="the second slot's sample")

    assert ["s1", "s2"] == bench.slots
    assert [] == refusals(caplog)


async def test_a_failed_run_is_not_repeated(bench):
    """Asking again at once would load what others wait for."""
    bench.leave.take([make_slot()])
    await until(lambda: bench.samples, what="a sample")
    await asyncio.sleep(0.4)  # longer than the schedule waits before it asks again

    assert ["s1"] == bench.slots


async def test_never_two_at_once_of_one_run(bench, caplog):
    """A slot that begins while the run before it is still under way is refused and said."""
    bench.gate.clear()
    bench.leave.take([make_slot()])
    await until(lambda: bench.made, what="the first run")

    bench.leave.take([make_slot("s2")])
    await until(lambda: refusals(caplog), what="a refusal")

    assert ["the run before is still under way"] == refusals(caplog)
    assert ["s1"] == bench.slots
    assert 1 == bench.health.runs_missed


async def test_lines_of_one_check_are_runs_of_their_own(bench):
    """Two lines may be measured at once when the centre says so."""
    bench.leave.set_runs([make_run(line="vnpt"), make_run(line="viettel")])
    bench.gate.clear()

    bench.leave.take([make_slot("s1", line="vnpt"), make_slot("s2", line="viettel")])
    await until(lambda: len(bench.made) == 2, what="both")

    assert ["vnpt", "viettel"] == [run.target.line for _, run, _ in bench.made]


@pytest.mark.parametrize(
    ("slot", "why"),
    [
        ({"check": "media-video"}, "no such run is in force"),
        ({"target": "elsewhere"}, "no such run is in force"),
        ({"line": "vnpt"}, "no such run is in force"),
        ({"check": "portal"}, "the check runs by its own schedule"),
        ({"starts_in": -2.5}, "it began 2.5 s ago"),
        ({"starts_in": 121.0}, "it begins in 121 s, at most 120 are believed"),
    ],
)
async def test_what_cannot_be_is_refused_and_said(bench, caplog, slot, why):
    """A slot for nothing in force, for another kind, past or far ahead starts nothing."""
    bench.leave.set_runs([make_run(), make_run("portal", "http")])

    for _ in range(3):
        bench.leave.take([make_slot(**slot)])
    await asyncio.sleep(0.05)

    assert [why] == refusals(caplog)
    assert [] == bench.made


async def test_a_slot_that_was_slept_through_is_dropped(bench, caplog):
    """A PC that wakes after its slot's begin leaves the bandwidth to whose turn it is now."""
    bench.leave.take([make_slot(starts_in=0.1)])
    await asyncio.sleep(0.05)
    bench.ahead = 3600.0
    await until(lambda: refusals(caplog), what="a refusal")

    assert refusals(caplog)[0].startswith("it began 3600.0")
    assert [] == bench.made


async def test_a_configuration_that_changed_meanwhile_counts(bench, caplog):
    """A slot whose check went out of force before it began is not used."""
    bench.leave.take([make_slot(starts_in=0.1)])
    bench.leave.set_runs([])
    await until(lambda: refusals(caplog), what="a refusal")

    assert ["no such run is in force"] == refusals(caplog)
    assert [] == bench.made


async def test_ids_are_forgotten_after_minutes(bench):
    """What is remembered does not grow with the weeks."""
    bench.leave.take([make_slot("s1", starts_in=5.0)])
    bench.ahead = 700.0
    bench.leave.take([make_slot("s2", starts_in=5.0)])

    assert {"s2"} == set(bench.leave._known)


def test_the_schedule_never_starts_such_a_run():
    """Without a slot a check of these kinds is never due."""
    schedule = Schedule("04792", lambda _: None, lambda: None, Health())
    schedule.set_runs([make_run(), make_run("load", "throughput"), make_run("portal", "http")])

    assert ["portal"] == [run.check.id for runs in schedule._due.values() for run in runs]


async def test_stopping_ends_what_is_under_way():
    """A stop cancels the run and what waits for its slot; no task is left behind."""
    bench = Bench()
    bench.gate.clear()
    task = asyncio.create_task(bench.leave.run())
    bench.leave.take([make_slot(), make_slot("s2", starts_in=60.0)])
    await until(lambda: bench.made, what="the run")

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert {asyncio.current_task()} == asyncio.all_tasks()
    assert (set(), []) == (bench.leave._under_way, bench.samples)
