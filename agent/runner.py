"""One attempt: deadline, duration, classification, and the sample that comes of it."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.clock import read_stamp
from agent.config import Check, Line
from agent.probes import PROBES
from agent.probes.base import Env, Probe, ProbeError, Recorder, Target
from agent.probes.classify import classify
from agent.wire import Failure, Sample, Stamp

# What a check that expects silence is content with: nothing there let us in.
SILENCE = frozenset(
    {
        Failure.TIMEOUT,
        Failure.REFUSED,
        Failure.RESET,
        Failure.HOST_UNREACHABLE,
        Failure.NETWORK_UNREACHABLE,
        Failure.PROHIBITED,
        Failure.RESOLVE_FAILED,
    }
)


@dataclass(slots=True)
class Run:
    """One check on one target over one line: what the schedule starts and re-probes."""

    check: Check
    probe: Probe
    target: Target
    counters: dict[str, float]
    """Totals since the agent's boot; every sample carries them as they stood."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Name the run across configurations: totals of an unchanged run go on."""
        return self.check.id, self.target.name, self.target.line


def make_runs(
    checks: list[Check],
    lines: list[Line],
    env: Env,
    counters: dict[tuple[str, str, str], dict[str, float]],
) -> list[Run]:
    """Turn checks that were found valid into runs, one per target and line.

    `counters` is kept by the caller across configurations and gains what is new.
    """
    sources = {line.name: line.chosen_by() for line in lines}
    runs = []
    for check in checks:
        kind = PROBES[check.kind]
        probe = kind(msgspec.convert(check.params, kind.Params, strict=True), env)
        for name in check.targets:
            for line in check.lines:
                target = Target(name, line, sources.get(line))
                totals = counters.setdefault((check.id, name, line), {})
                runs.append(Run(check, probe, target, totals))
    return runs


async def attempt(run: Run, number: int, stamp: Callable[[], Stamp] = read_stamp) -> Sample:
    """Probe once and return the sample; only cancellation from outside leaves as an exception."""
    rec = Recorder()
    error = ""
    start = stamp()
    begun = time.monotonic_ns()
    try:
        async with asyncio.timeout(run.check.timeout_seconds):
            await run.probe.run(run.target, rec)
    except ProbeError as exc:
        error = str(exc)
    except Exception as exc:  # noqa: BLE001  classify() names every one; a gap shows as `unknown`
        error = _record(exc, rec)
    duration = (time.monotonic_ns() - begun) / 1e9
    failure, detail = rec.failure, rec.detail
    if run.check.expect == "unreachable" and not error:
        failure, detail = _turned(failure, detail)
    _count(run.counters, rec.counts, duration, failure=failure, error=error)
    return Sample(
        check=run.check.id,
        target=run.target.name,
        line=run.target.line,
        kind=run.probe.kind,
        version=run.probe.version,
        start=start,
        duration=round(duration, 6),
        phases={name: round(seconds, 7) for name, seconds in rec.phases.items()},
        values={
            name: _short(number) for name, number in rec.values.items() if math.isfinite(number)
        },  # JSON has no word for what is not finite, and it measured nothing
        counters=dict(run.counters),
        facts=rec.facts,
        failure=failure,
        detail=detail,
        error=error,
        attempt=number,
    )


def _record(exc: Exception, rec: Recorder) -> str:
    """Write a flown exception down as the target's failure, or return it as our own error."""
    try:
        failure, detail = classify(exc)
    except ProbeError as ours:
        return str(ours)
    if isinstance(exc, TimeoutError):
        detail = ""  # asyncio's has no words; the phase says it all
    where = f"in phase {rec.current_phase}" if rec.current_phase else ""
    rec.fail(failure, ": ".join(part for part in (where, detail) if part))
    return ""


def _turned(failure: Failure | None, detail: str) -> tuple[Failure | None, str]:
    """Judge a check of `expect: unreachable`: silence is right, any answer at all is wrong."""
    if failure in SILENCE:
        return None, ""
    answer = "answered" if failure is None else f"answered ({failure}: {detail})"
    return Failure.REACHABLE, f"{answer}, although the check expects that it cannot be reached"


def _count(
    totals: dict[str, float],
    counts: dict[str, float],
    duration: float,
    *,
    failure: Failure | None,
    error: str,
) -> None:
    if error:
        totals["errors"] = totals.get("errors", 0) + 1
        return
    counts = {
        **counts,
        "all_success_count": 1,
        "all_success_sum": int(failure is None),
        "all_duration_seconds_sum": duration,
    }
    for name, number in counts.items():
        totals[name] = round(totals.get(name, 0) + number, 6)


def _short(number: Any) -> float:
    """Keep whole numbers whole and seconds to 0.1 µs: what follows is noise on the wire."""
    return number if isinstance(number, int) else round(float(number), 7)
