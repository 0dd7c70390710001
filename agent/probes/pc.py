"""`pc`: the office PC itself and the agent on it, a cause of much that looks like a bad line."""

import os
import resource
import shutil
import time
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PcParams(Struct, frozen=True, forbid_unknown_fields=True):
    """`pc` has nothing to set."""


class Pc:
    """Reads the kernel's own figures; sends nothing. Never fails: thresholds are the centre's."""

    kind: ClassVar[str] = "pc"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = PcParams
    phases: ClassVar[tuple[str, ...]] = ()
    values: ClassVar[tuple[Value, ...]] = (
        Value(
            "pc_cpu_seconds_total", "Processor time the whole PC has spent working.", counter=True
        ),
        Value("pc_uptime_seconds", "Time since the PC was switched on."),
        Value("pc_memory_available_ratio", "Memory that programs could still get, of all."),
        Value("pc_disk_free_ratio", "Free space, of all, where the agent keeps its spool."),
        Value("pc_agent_cpu_seconds_total", "Processor time the agent has spent.", counter=True),
        Value("pc_agent_resident_bytes", "Memory the agent holds."),
        Value("pc_agent_open_files", "File descriptors the agent holds."),
        Value("pc_agent_runs_total", "Attempts the agent has started.", counter=True),
        Value("pc_agent_runs_missed_total", "Runs skipped: still busy, or asleep.", counter=True),
        Value("pc_agent_schedule_lag_seconds", "How late the latest slot of the schedule began."),
    )

    def __init__(self, params: PcParams, env: Env) -> None:
        self._health = env.health
        # Kept across configurations: else each would count the whole life of the PC once more
        self._before: dict[str, float] = env.keep("pc totals", dict)

    @classmethod
    def refuse_target(cls, name: str, params: PcParams) -> str:
        """Accept the one target there is."""
        return "" if name == "self" else "expected self"

    async def run(self, target: Target, rec: Recorder) -> None:
        """Read; everything here takes microseconds."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._total(rec, "pc_agent_cpu_seconds_total", usage.ru_utime + usage.ru_stime)
        self._total(rec, "pc_cpu_seconds_total", _busy_seconds())
        self._total(rec, "pc_agent_runs_total", self._health.runs)
        self._total(rec, "pc_agent_runs_missed_total", self._health.runs_missed)
        rec.value("pc_agent_schedule_lag_seconds", self._health.schedule_lag_seconds)
        rec.value("pc_uptime_seconds", time.clock_gettime(time.CLOCK_BOOTTIME))
        rec.value("pc_memory_available_ratio", _memory_available_ratio())
        disk = shutil.disk_usage(self._health.state_directory)
        rec.value("pc_disk_free_ratio", disk.free / disk.total)
        resident = int((PROC / "self/statm").read_text("ascii").split()[1]) * PAGE_BYTES
        rec.value("pc_agent_resident_bytes", resident)
        rec.value("pc_agent_open_files", sum(1 for _ in (PROC / "self/fd").iterdir()))

    def _total(self, rec: Recorder, name: str, total: float) -> None:
        """Count what came since the last reading; the first one counts from the boot of each."""
        rec.count(name, total - self._before.get(name, 0.0))
        self._before[name] = total


def _busy_seconds() -> float:
    """Return user, nice, system, irq, softirq and steal time of all processors (proc(5))."""
    ticks = [
        int(field) for field in (PROC / "stat").read_text("ascii").split("\n", 1)[0].split()[1:]
    ]
    return sum(ticks[:3] + ticks[5:8]) / os.sysconf("SC_CLK_TCK")


def _memory_available_ratio() -> float:
    lines = (PROC / "meminfo").read_text("ascii").splitlines()
    kilobytes = {
        name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)
    }
    return kilobytes["MemAvailable"] / kilobytes["MemTotal"]
