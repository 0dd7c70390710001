"""`thongsuot-agent once`: every check once, now, in words or as samples."""

import asyncio
from collections.abc import Iterable, Iterator

import msgspec

from agent.config import Check, Line
from agent.probes import BY_SLOT
from agent.probes.base import Env
from agent.runner import Run, attempt, make_runs
from agent.strict import ConfigError
from agent.wire import Sample


def choose(checks: list[Check], wanted: list[str]) -> list[Check]:
    """Return the named checks, or all but those that need the centre's leave.

    ConfigError names every one that is not there.
    """
    known = {check.id for check in checks}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigError([f"no check {name!r}; this agent has: {names}" for name in unknown])
    return [
        check
        for check in checks
        if check.id in wanted or (not wanted and check.kind not in BY_SLOT)
    ]


def left_out(checks: list[Check], chosen: list[Check]) -> Iterator[str]:
    """Yield why each check that nobody named was not run."""
    for check in checks:
        if check.kind in BY_SLOT and check not in chosen:
            yield (
                f"{check.id} left out: {check.kind} loads what all sites share and runs only in a"
                " slot that the centre gives"
            )


async def samples(checks: list[Check], lines: list[Line], env: Env) -> list[Sample]:
    """Probe everything at once, each bounded by its own deadline; in the order of the checks."""
    async with asyncio.TaskGroup() as tasks:
        under_way = [
            tasks.create_task(_attempt(run)) for run in make_runs(checks, lines, env, counters={})
        ]
    return [task.result() for task in under_way]


async def _attempt(run: Run) -> Sample:
    return await attempt(run, 1)


def as_json(found: Iterable[Sample]) -> Iterator[str]:
    """Yield one sample a line, as it would travel."""
    for sample in found:
        yield msgspec.json.encode(sample).decode()


def as_text(found: Iterable[Sample]) -> Iterator[str]:
    """Yield a few lines a sample, for a person at the PC."""
    for sample in found:
        over = f" over {sample.line}" if sample.line else ""
        yield f"{_verdict(sample):5} {sample.check}  {sample.target}{over}  {sample.duration * 1e3:.1f} ms"
        if sample.phases:
            parts = (f"{name} {seconds * 1e3:.1f} ms" for name, seconds in sample.phases.items())
            yield "      " + ", ".join(parts)
        for name, number in sample.values.items():
            yield f"      {name} {number:.10g}"
        for name, text in sample.facts.items():
            yield f"      {name}: {text}"
        if sample.error:
            yield f"      could not measure: {sample.error}"
        if sample.failure:
            yield f"      {sample.failure}: {sample.detail}"


def _verdict(sample: Sample) -> str:
    if sample.up is None:
        return "ERROR"
    return "ok" if sample.up else "FAIL"


def all_well(found: Iterable[Sample]) -> bool:
    """Whether everything was measured and nothing failed."""
    return all(sample.up for sample in found)
