"""Slots, spread, no overlap, missed runs, re-probes: on a clock of our own."""

import asyncio
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from agent.config import Check
from agent.probes.base import Health, Target
from agent.runner import Run
from agent.schedule import LOOK_AGAIN_SECONDS, SLOT_SECONDS, Schedule, offset
from tests.waiting import until


def make_run(name="c", interval=SLOT_SECONDS, kind="tcp", line="") -> Run:
    """Return a run whose probe is never asked."""
    return Run(
        Check(id=name, kind=kind, targets=["t"], interval_seconds=interval),
        None,
        Target("t", line),
        {},
    )


class Bench:
    """A schedule whose attempts are scripted."""

    def __init__(self, outcomes=()):
        self.outcomes = list(outcomes)
        self.attempts = []
        self.samples = []
        self.changes = 0
        self.downs = []
        self.health = Health()
        self.gate = asyncio.Event()
        self.gate.set()
        self.schedule = Schedule(
            "04792",
            self.samples.append,
            self._changed,
            self.health,
            on_down=lambda run, sample: self.downs.append((run.check.id, sample.number)),
            run_once=self._once,
        )

    def _changed(self):
        self.changes += 1

    async def _once(self, run, number):
        self.attempts.append((run.check.id, number))
        await self.gate.wait()
        up = self.outcomes.pop(0) if self.outcomes else True
        return SimpleNamespace(up=up, number=number)

    async def runs(self, *runs, count):
        """Run until so many samples came."""
        self.schedule.set_runs(list(runs))
        task = asyncio.create_task(self.schedule.run())
        await until(lambda: len(self.samples) >= count, what="samples")
        await self.end(task)

    @staticmethod
    async def end(task):
        """Cancel and wait."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@given(st.text("abc-", min_size=1), st.text("0123456789", min_size=1), st.sampled_from([1, 5, 30]))
def test_offset_is_a_place_in_the_interval(check, agent, interval):
    """A run's place lies within its interval, on a slot, and is the same after a restart."""
    run = make_run(check, float(interval))

    place = offset(agent, run)

    assert 0 <= place < interval
    assert abs(place / SLOT_SECONDS - round(place / SLOT_SECONDS)) < 1e-9
    assert place == offset(agent, run)


def test_agents_do_not_herd():
    """148 agents with the same check use every slot of its interval, none by a crowd."""
    places = [round(offset(f"{n:05}", make_run(interval=5.0)) / SLOT_SECONDS) for n in range(148)]

    assert len(set(places)) > 20
    assert max(places.count(place) for place in places) < 20


async def test_good_run_is_attempted_once():
    """A first success and each that follows needs no second opinion."""
    bench = Bench()

    await bench.runs(make_run(), count=2)

    assert [("c", 1), ("c", 1)] == bench.attempts[:2]
    assert bench.changes == 0


async def test_change_is_confirmed_at_once():
    """After a change a second attempt follows at once; when it agrees, the uplink is woken."""
    bench = Bench([True, False, False, False])

    await bench.runs(make_run(), count=4)

    assert [("c", 1), ("c", 1), ("c", 2), ("c", 1)] == bench.attempts[:4]
    assert bench.changes == 1


async def test_one_lost_attempt_is_no_change():
    """A second attempt that disagrees with the first takes the change back."""
    bench = Bench([True, False, True, True])

    await bench.runs(make_run(), count=4)

    assert [("c", 1), ("c", 1), ("c", 2), ("c", 1)] == bench.attempts[:4]
    assert bench.changes == 0


async def test_a_failing_edge_is_told_once():
    """What goes down is told with the attempt that confirmed it; what stays down, or wavers, is not."""
    bench = Bench([True, False, False, False, True, True, False, True, False, False])

    await bench.runs(make_run(), count=10)

    assert bench.downs == [("c", 2), ("c", 2)]


async def test_a_first_failure_is_an_edge():
    """What was down before the agent came is told too, once two attempts agree."""
    bench = Bench([False, False, False])

    await bench.runs(make_run(), count=3)

    assert bench.downs == [("c", 2)]
    assert bench.schedule.good() == []


async def test_what_is_asked_seldom_goes_down_at_once():
    """A check without re-probes tells its edge with the only attempt there is."""
    bench = Bench([True, False, False])
    run = make_run(interval=300.0)
    bench.schedule.set_runs([run])
    for _ in range(3):
        bench.schedule._under_way[run.key] = None
        await bench.schedule._settle(run)

    assert bench.downs == [("c", 1)]


async def test_what_is_good():
    """Good is what is up as far as is known: not what was never attempted, nor what went down."""
    bench = Bench([True])
    runs = [make_run("up"), make_run("unknown", 3600.0)]

    await bench.runs(*runs, count=1)

    assert bench.schedule.good() == [runs[0]]
    bench.schedule.set_runs(runs[1:])
    assert bench.schedule.good() == []


async def test_our_error_is_no_outcome():
    """An attempt that could not measure is not repeated and changes nothing."""
    bench = Bench([True, None, True])

    await bench.runs(make_run(), count=3)

    assert [("c", 1)] * 3 == bench.attempts[:3]


async def test_never_two_runs_of_one_check():
    """A run that is still under way when it is due again is missed and counted, not doubled."""
    bench = Bench()
    bench.gate.clear()
    bench.schedule.set_runs([make_run()])
    task = asyncio.create_task(bench.schedule.run())

    await until(lambda: bench.health.runs_missed >= 1, what="a missed run")

    assert [("c", 1)] == bench.attempts
    assert bench.health.runs_busy == bench.health.runs_missed
    await bench.end(task)


async def test_sleep_is_not_made_up_for():
    """A PC that slept for an hour runs each check once on waking and counts what it missed."""
    bench = Bench()
    ahead = 0.0
    bench.schedule._now = lambda: asyncio.get_running_loop().time() + ahead
    bench.schedule.set_runs([make_run(interval=1.0)])
    task = asyncio.create_task(bench.schedule.run())
    await until(lambda: bench.samples, what="a first sample")
    before = len(bench.attempts)

    ahead = 3600.0
    await until(lambda: len(bench.attempts) > before, what="a run after waking")

    assert before + 1 == len(bench.attempts)
    assert 3598 <= bench.health.runs_missed <= 3600
    assert bench.health.runs_stalled >= bench.health.runs_missed - 1
    await bench.end(task)


async def test_new_runs_come_into_force_at_once():
    """A configuration that arrives while the schedule sleeps for long does not wait for it."""
    bench = Bench()
    bench.schedule.set_runs([make_run("slow", 3600.0)])
    task = asyncio.create_task(bench.schedule.run())
    await asyncio.sleep(0)

    bench.schedule.set_runs([make_run("quick")])
    await until(lambda: bench.attempts, what="the new check")

    assert ("quick", 1) == bench.attempts[0]
    await bench.end(task)


async def test_a_failing_check_has_the_layers_below_asked_at_once():
    """Gateway, anchors of its line and resolver, once each: not other lines, nor what is seldom."""
    bench = Bench()
    page = make_run("page", kind="http", line="vnpt")
    below = [
        make_run("gateway", 200.0, "icmp"),
        make_run("anchor", 200.0, "icmp", "vnpt"),
        make_run("other-anchor", 200.0, "icmp", "viettel"),
        make_run("dns", 200.0, "dns"),
        make_run("seldom", 300.0, "icmp"),
        make_run("slow", 200.0, "throughput"),
    ]
    bench.schedule.set_runs([page, *below])
    bench.schedule._due = {slot: [page] for slot in list(bench.schedule._due)[:1]}
    bench.outcomes = [False]
    task = asyncio.create_task(bench.schedule.run())
    await until(lambda: len(bench.samples) >= 5, what="the page twice and what lies below")
    task.cancel()

    asked = [name for name, _ in bench.attempts if name != "page"]
    assert sorted(asked) == ["anchor", "dns", "gateway"]


async def test_layers_below_are_not_asked_for_ever():
    """What is down already and what was asked a moment ago is left alone."""
    bench = Bench()
    clock = [100.0]
    bench.schedule._now = lambda: clock[0]
    bench.schedule._runs = {run.key: run for run in [make_run("gateway", 200.0, "icmp")]}
    started = []
    bench.schedule._start = lambda run: started.append(run.check.id)
    failing = make_run("page", kind="http")

    for _ in range(3):
        bench.schedule._look_below(failing)
    assert started == ["gateway"]

    clock[0] += LOOK_AGAIN_SECONDS
    bench.schedule._settled[next(iter(bench.schedule._runs))] = False
    bench.schedule._look_below(failing)
    assert started == ["gateway"]
