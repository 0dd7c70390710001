"""Evidence: what is worth collecting, how much of it, and that it disturbs nobody."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from agent import evidence as module
from agent.config import Check
from agent.evidence import AGAIN_SECONDS, DEADLINE_SECONDS, MOST, MOST_SECONDS, Evidence
from agent.probes.base import Target
from agent.runner import Run
from agent.scene import World
from agent.wire import EVIDENCE, Hop, Path, Sample, Stamp
from tests.waiting import until


def make_run(check="portal", target="192.0.2.1:443", line="", kind="tcp", **more) -> Run:
    """Return a run whose probe is never asked."""
    told = Check(id=check, kind=kind, targets=[target], interval_seconds=5.0, **more)
    return Run(told, None, Target(target, line), {})


def a_failure(run: Run, failure="timeout", **facts) -> Sample:
    """Return the attempt that confirmed a run's end."""
    return Sample(
        check=run.check.id,
        target=run.target.name,
        line=run.target.line,
        kind=run.check.kind,
        version=1,
        start=Stamp(wall_ms=1_000_000, mono_ns=5_000_000_000),
        duration=2.0,
        facts=facts,
        failure=failure,
        detail="in phase connect",
        attempt=2,
    )


class Bench:
    """Evidence on a clock of ours; what is collected is told, not looked for."""

    def __init__(self, monkeypatch):
        self.clock = 1000.0
        self.up: list[Run] = []
        self.samples: list[Sample] = []
        self.begun: list[str] = []
        self.ended = asyncio.Event()
        self.ended.set()
        world = World(SimpleNamespace(), lambda: self.up, dict, list)
        self.evidence = Evidence(world, self.samples.append, now=lambda: self.clock)
        monkeypatch.setattr(module, "collect", self._collect)
        monkeypatch.setattr(module, "trace", self._trace)

    async def _collect(self, case, _world, seconds):
        self.begun.append(case.run.check.id)
        self.seconds = seconds
        await self.ended.wait()
        if case.run.check.id == "broken":
            raise ValueError("a bug of ours")
        return {"path": "tcp 192.0.2.1 443"}

    async def _trace(self, aimed, address, _source):
        self.begun.append(f"good {aimed.host}")
        if aimed.host == "192.0.2.66":
            raise OSError(101, "no way there")
        return Path(aimed.protocol, address, aimed.port, (Hop(1, address, (0.1,), 0, "answered"),))

    def fail(self, *runs: Run, failure="timeout") -> None:
        """Tell of failures."""
        for run in runs:
            self.evidence.failed(run, a_failure(run, failure))

    def taken(self) -> list[str]:
        """Take every case that may begin now, in its order."""
        cases = []
        while case := self.evidence.next_case():
            cases.append(case.run.check.id)
        return cases


@pytest.fixture
def bench(monkeypatch):
    """Return a bench."""
    return Bench(monkeypatch)


async def test_once_in_five_minutes(bench):
    """A target that flaps is looked into once in five minutes; another line of it is another."""
    bench.fail(make_run())
    assert bench.taken() == ["portal"]
    bench.clock += AGAIN_SECONDS - 1
    bench.fail(make_run(), make_run(line="vnpt"))
    assert bench.taken() == ["portal"]
    bench.clock += 2
    bench.fail(make_run())
    assert bench.taken() == ["portal"]


async def test_twelve_in_ten_minutes(bench):
    """When everything fails at once only the most telling is looked into."""
    bench.fail(*(make_run(f"c{n}") for n in range(25)))
    assert len(bench.taken()) == MOST
    bench.clock += MOST_SECONDS - 11
    bench.fail(make_run("late"))
    assert bench.taken() == []
    bench.clock += 12
    bench.fail(make_run("later"))
    assert bench.taken() == ["later"]


async def test_the_most_telling_first(bench):
    """One for each line before a second of any, and lower layers before higher ones."""
    bench.fail(
        make_run("page", line="vnpt"),
        make_run("name", "192.0.2.53", "vnpt", "dns", params={"query_name": "portal.test"}),
        make_run("anchor", "192.0.2.9", "vnpt", "icmp"),
        make_run("page-viettel", line="viettel"),
    )

    assert bench.taken() == ["anchor", "page-viettel", "name", "page"]


async def test_what_waits_too_long_gives_up(bench):
    """A failure that had no turn within 10 s, or that is over, is not looked into any more."""
    over = make_run("over")
    bench.fail(make_run("old"))
    bench.clock += 10.1
    bench.fail(over, make_run("new"))
    bench.up = [over]

    assert bench.taken() == ["new"]


@pytest.mark.parametrize(
    "run",
    [
        make_run(expect="unreachable"),
        make_run("pc", "self", kind="pc"),
        make_run("nic", "eth0", kind="nic"),
        make_run(target="127.0.0.1:80"),
        make_run(target="[::1]:80"),
        make_run(target="http://localhost/", kind="http"),
    ],
    ids=lambda run: run.target.name,
)
async def test_what_is_never_looked_into(bench, run):
    """Silence that is right, and this PC itself."""
    bench.fail(run)

    assert bench.taken() == []


async def test_a_target_that_resolves_to_this_pc(bench):
    """A name of this PC is no way; a resolver that is a daemon of it is looked into."""
    page = make_run("page", "http://here.test/", kind="http")
    name = make_run("name", "system", kind="dns", params={"query_name": "portal.test"})
    bench.evidence.failed(page, a_failure(page, address="127.0.1.1"))
    bench.evidence.failed(name, a_failure(name, address="127.0.0.53"))

    assert bench.taken() == ["name"]


async def test_a_sample_like_any(bench):
    """It bears the failed run's names and failure, of a kind of its own."""
    run = make_run(line="vnpt")
    task = asyncio.create_task(bench.evidence.run())
    bench.fail(run, failure="refused")
    await until(lambda: bench.samples, what="a sample")

    [sample] = bench.samples
    assert (sample.check, sample.target, sample.line) == run.key
    assert (sample.kind, sample.version, sample.failure) == (EVIDENCE, 1, "refused")
    assert (sample.detail, sample.error, sample.attempt) == ("in phase connect", "", 2)
    assert sample.facts == {"path": "tcp 192.0.2.1 443"}
    assert bench.seconds == DEADLINE_SECONDS
    await ended(task)


async def test_two_at_once(bench):
    """A third failure waits until one of two is done."""
    bench.ended.clear()
    task = asyncio.create_task(bench.evidence.run())
    bench.fail(*(make_run(f"c{n}") for n in range(5)))
    await until(lambda: len(bench.begun) == 2, what="two under way")
    await asyncio.sleep(0.05)
    assert len(bench.begun) == 2
    bench.ended.set()
    await until(lambda: len(bench.samples) == 5, what="all five")
    await ended(task)


async def test_a_bug_costs_its_evidence_only(bench, caplog):
    """What goes wrong is written down, and the next failure is looked into."""
    task = asyncio.create_task(bench.evidence.run())
    bench.fail(make_run("broken"), make_run("fine"))
    await until(lambda: bench.samples, what="the next one")

    assert [sample.check for sample in bench.samples] == ["fine"]
    assert caplog.messages == ["no evidence check=broken target=192.0.2.1:443"]
    await ended(task)


async def ended(task) -> None:
    """Cancel; what is under way ends with it."""
    task.cancel()
    [result] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError)


async def test_the_last_good_path_beside_the_bad(bench):
    """A check that is up is traced once a day; its failure shows that path and how old it is."""
    run, other = make_run(), make_run("page", "https://192.0.2.1/", kind="http")
    bench.up = [run, other, make_run("gone", "192.0.2.66:1")]
    for _ in range(5):
        await bench.evidence.trace_one_baseline()
    assert sorted(bench.begun) == ["good 192.0.2.1", "good 192.0.2.1", "good 192.0.2.66"]
    bench.up = []
    task = asyncio.create_task(bench.evidence.run())
    bench.fail(run)
    await until(lambda: bench.samples, what="a sample")

    facts = bench.samples[0].facts
    assert facts["last_good_path"] == "tcp 192.0.2.1 443\n1 192.0.2.1 0.1 answered"
    assert facts["last_good_age_seconds"] == "0"
    await ended(task)
    bench.up = [run]
    bench.clock += 86_399
    await bench.evidence.trace_one_baseline()
    assert len(bench.begun) == 4  # the three, and the failure
    bench.clock += 2
    await bench.evidence.trace_one_baseline()
    assert bench.begun[4:] == ["good 192.0.2.1"]


async def test_a_path_that_broke_meanwhile_is_no_good_one(bench, monkeypatch):
    """What went down while its way was traced has no good path from then."""
    run = make_run()
    bench.up = [run]

    async def broke(aimed, address, _source):
        bench.up = []
        return Path(aimed.protocol, address, aimed.port)

    monkeypatch.setattr(module, "trace", broke)
    await bench.evidence.trace_one_baseline()

    assert bench.evidence._baselines == {}


async def test_one_good_path_a_minute(bench, monkeypatch):
    """After the start the first comes within a minute, each further one a minute after."""
    waits = []

    async def wait(seconds):
        waits.append(seconds)
        if len(waits) == 4:
            raise asyncio.CancelledError

    bench.up = [make_run(f"c{n}", f"192.0.2.{n}:443") for n in range(9)]
    monkeypatch.setattr(module.asyncio, "sleep", wait)
    with pytest.raises(asyncio.CancelledError):
        await bench.evidence._keep_baselines()

    assert 0 <= waits[0] <= 60
    assert waits[1:] == [60.0] * 3
    assert len(bench.begun) == 3


def test_a_failure_that_cannot_be_understood(bench, caplog):
    """The schedule is told of nothing that goes wrong here."""
    run = make_run(target="https://[", kind="http")
    with caplog.at_level(logging.ERROR):
        bench.fail(run)

    assert caplog.messages == ["no evidence check=portal target=https://["]
