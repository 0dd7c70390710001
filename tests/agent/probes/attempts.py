"""One attempt as the runner makes it, without the runner."""

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.probes.base import Env, Probe, ProbeError, Recorder, Source, Target
from agent.probes.classify import classify


async def attempt(
    kind: type[Probe],
    env: Env,
    name: str,
    *,
    seconds: float = 5.0,
    source: Source | None = None,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    **params,
) -> Recorder:
    """Probe a target once, by a deadline; ProbeError flies, what else flew is classified."""
    given = msgspec.convert(params, kind.Params, strict=True)
    assert not kind.refuse_target(name, given)
    target = Target(name, source=source)
    return await once(kind(given, env), target, Recorder(monotonic_ns), seconds=seconds)


async def once(probe: Probe, target: Target, rec: Recorder, *, seconds: float = 5.0) -> Recorder:
    """Do the same with a probe that remembers its attempts."""
    try:
        async with asyncio.timeout(seconds):
            await probe.run(target, rec)
    except ProbeError:
        raise
    except Exception as exc:  # noqa: BLE001  as the runner does: classify() names every one
        rec.fail(*classify(exc))
    return rec


def open_files() -> int:
    """Return how many descriptors this process holds; collects what only awaits collection."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
