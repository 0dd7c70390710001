"""What an earlier run of an agent left on its PC's disk, as that agent would have written it.

It ran before the PC was last started, by a clock that was right: so the past may be longer than the
machine of the test has been up.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.clock import read_stamp
from agent.config import SpoolLimits
from agent.spool import Spool
from agent.wire import WIRE_VERSION, Batch, Sample, Stamp

UPTIME_NS = 30 * 86_400 * 10**9
"""How long that run of the machine lasted."""
ENDED_SECONDS = 30.0
"""How long ago, so that nothing of it is live."""


def leave_behind(
    state_directory: Path,
    agent: str,
    *,
    batches: int,
    samples: int = 1,
    every: float = 1.0,
    ago: float | None = None,
    target: str = "https://portal.example/",
    check: str = "portal",
    limits: SpoolLimits | None = None,
    alter: Callable[[int, list[Sample]], list[Sample]] = lambda _, samples: samples,
) -> str:
    """Write batches of one run of one check into an agent's spool; return the boot's name.

    The first sample was measured `ago` seconds before now, by default so that the last one is old
    enough to be history; `alter` is given each batch's number and samples.
    """
    boot, machine = os.urandom(16).hex(), os.urandom(16).hex()
    now = Stamp(wall_ms=read_stamp().wall_ms, mono_ns=UPTIME_NS)
    began = ago if ago is not None else batches * samples * every + ENDED_SECONDS
    state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    spool = Spool(state_directory / "spool", limits or SpoolLimits(), boot=boot)
    done = 0
    for number in range(1, batches + 1):
        measured = []
        for _ in range(samples):
            start = _moved(now, done * every - began)
            done += 1
            measured.append(_sample(check, target, start, done))
        spool.append(
            Batch(
                v=WIRE_VERSION,
                agent=agent,
                boot=boot,
                machine_boot=machine,
                seq=0,
                sealed=_moved(measured[-1].start, 0.1),
                synchronised=True,
                config=1,
                program="0.1.0",
                samples=alter(number, measured),
            )
        )
    spool.close()
    return boot


def failed(sample: Sample) -> Sample:
    """Return a sample as it would be had the target not answered."""
    return msgspec.structs.replace(sample, failure="timeout", detail="in phase connect")


def _moved(stamp: Stamp, seconds: float) -> Stamp:
    nanoseconds = int(seconds * 1e9)
    return Stamp(
        wall_ms=stamp.wall_ms + nanoseconds // 1_000_000, mono_ns=stamp.mono_ns + nanoseconds
    )


def _sample(check: str, target: str, start: Stamp, number: int) -> Sample:
    return Sample(
        check=check,
        target=target,
        kind="http",
        version=1,
        start=start,
        duration=round(0.05 + number % 97 / 1e3, 6),
        phases={"connect": 0.02, "transfer": 0.01 + number % 89 / 1e4},
        values={"http_status_code": 200},
        counters={"all_success_count": number, "all_success_sum": number},
        facts={"address": "192.0.2.7"},
    )
