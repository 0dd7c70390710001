"""One attempt becomes one sample, whatever the probe does."""

import asyncio
from typing import ClassVar

import msgspec
import pytest

from agent.config import Check, Line
from agent.probes import PROBES
from agent.probes.base import Env, ProbeError, Source, Target, Value
from agent.runner import Run, attempt, make_runs
from agent.wire import Failure, Sample, Stamp

START = Stamp(wall_ms=1_751_241_600_000, mono_ns=7)


class Scripted:
    """A probe that does what its test says."""

    kind: ClassVar[str] = "scripted"
    version: ClassVar[int] = 3
    values: ClassVar[tuple[Value, ...]] = ()

    def __init__(self, act):
        self.act = act

    async def run(self, target, rec):
        """Do it."""
        await self.act(rec)


def make_run(act, **check) -> Run:
    """Return a run of a scripted probe."""
    given = Check(id="c", kind="scripted", targets=["t"], interval_seconds=5.0, **check)
    return Run(given, Scripted(act), Target("t", "vnpt"), {})


async def sample_of(act, number=1, **check) -> Sample:
    """Attempt once."""
    return await attempt(make_run(act, **check), number, stamp=lambda: START)


async def test_success():
    """A probe that returns without a word leaves a sample that is up, with all it recorded."""

    async def act(rec):
        with rec.phase("connect"):
            pass
        rec.value("x_seconds", 0.123456789)
        rec.fact("address", "192.0.2.1")

    sample = await sample_of(act, number=2)

    assert sample.up is True
    assert ("c", "t", "vnpt", "scripted", 3, START, 2) == (
        sample.check,
        sample.target,
        sample.line,
        sample.kind,
        sample.version,
        sample.start,
        sample.attempt,
    )
    assert ["connect"] == list(sample.phases)
    assert {"x_seconds": 0.1234568} == sample.values
    assert {"address": "192.0.2.1"} == sample.facts


async def test_deadline_is_the_runners():
    """A probe that hangs is cut off at the deadline, and the phase it hung in is named."""

    async def act(rec):
        with rec.phase("resolve"):
            pass
        with rec.phase("connect"):
            await asyncio.Event().wait()

    sample = await sample_of(act, timeout_seconds=0.01)

    assert Failure.TIMEOUT == sample.failure
    assert "in phase connect" == sample.detail
    assert ["resolve"] == list(sample.phases)


async def test_flown_exception_is_classified():
    """What flies out of a probe is the target's failure, in the phase where it flew."""

    async def act(rec):
        with rec.phase("connect"):
            raise ConnectionRefusedError(111, "Connection refused")

    sample = await sample_of(act)

    assert Failure.REFUSED == sample.failure
    assert "in phase connect: Connection refused" == sample.detail


@pytest.mark.parametrize(
    "exc", [ProbeError("no permission to ping"), PermissionError(1, "Operation not permitted")]
)
async def test_our_inability_is_no_statement(exc):
    """What we could not do is an error: the sample says nothing about the target."""

    async def act(rec):
        raise exc

    sample = await sample_of(act)

    assert sample.up is None
    assert sample.failure is None
    assert "permi" in sample.error
    assert {"errors": 1} == sample.counters


async def test_programming_error_is_visible():
    """A bug in a probe shows as `unknown` with the exception's name and kills nothing."""

    async def act(rec):
        raise KeyError("oops")

    sample = await sample_of(act)

    assert (Failure.UNKNOWN, "KeyError: 'oops'") == (sample.failure, sample.detail)


async def test_cancellation_leaves():
    """The schedule's end is nobody's failure: cancellation passes through."""

    async def act(rec):
        await asyncio.Event().wait()

    task = asyncio.create_task(sample_of(act))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_counters_are_totals():
    """Counters grow from sample to sample and are a copy in each."""

    async def act(rec):
        rec.count("icmp_packets_sent_total", 3)
        if not run.counters:
            rec.fail(Failure.LOSS)

    run = make_run(act)

    first = await attempt(run, 1)
    second = await attempt(run, 1)

    assert (3, 1, 0) == tuple(
        first.counters[name]
        for name in ("icmp_packets_sent_total", "all_success_count", "all_success_sum")
    )
    assert (6, 2, 1) == tuple(
        second.counters[name]
        for name in ("icmp_packets_sent_total", "all_success_count", "all_success_sum")
    )


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (None, Failure.REACHABLE),
        (Failure.REFUSED, None),
        (Failure.TIMEOUT, None),
        (Failure.HTTP_STATUS, Failure.REACHABLE),
    ],
)
async def test_expect_unreachable(failure, expected):
    """Where silence is expected, silence is right and any answer is the failure."""

    async def act(rec):
        if failure:
            rec.fail(failure, "why")

    sample = await sample_of(act, expect="unreachable")

    assert expected == sample.failure


async def test_not_finite_is_not_measured():
    """NaN and infinity are no measurements: absent, for they would not survive the wire."""

    async def act(rec):
        rec.value("nan", float("nan"))
        rec.value("infinite", float("inf"))
        rec.value("fine", 1)

    sample = await sample_of(act)

    assert {"fine": 1} == sample.values


async def test_sample_survives_the_wire():
    """What the runner makes decodes as what it made."""

    async def act(rec):
        rec.value("n", 3)
        rec.fail(Failure.HTTP_STATUS, "503, expected 200-299")

    sample = await sample_of(act)

    assert sample == msgspec.json.decode(msgspec.json.encode(sample), type=Sample)


def test_runs_per_target_and_line():
    """A check becomes a run per target and line; totals of unchanged runs go on."""
    lines = [Line(name="vnpt", select="source", source="192.0.2.7")]
    check = Check(
        id="tcp",
        kind="tcp",
        targets=["a.test:1", "b.test:2"],
        interval_seconds=5,
        lines=("", "vnpt"),
    )
    counters = {("tcp", "a.test:1", ""): {"errors": 4.0}}

    runs = make_runs([check], lines, Env(resolve=None), counters)

    assert [
        ("a.test:1", "", None),
        ("a.test:1", "vnpt", Source(address="192.0.2.7")),
        ("b.test:2", "", None),
        ("b.test:2", "vnpt", Source(address="192.0.2.7")),
    ] == [(run.target.name, run.target.line, run.target.source) for run in runs]
    assert {"errors": 4.0} == runs[0].counters
    assert runs[0].probe is runs[3].probe


def test_probes_are_what_they_say():
    """Key, kind and module name are one word; every value's name begins with a known word."""
    for kind, probe in PROBES.items():
        assert kind == probe.kind == probe.__module__.rpartition(".")[2]
        assert len({value.name for value in probe.values}) == len(probe.values)
        assert all(value.name.endswith("_total") == value.counter for value in probe.values)
