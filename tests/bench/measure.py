"""What a process costs, and how a comparison is told: medians, spread, ratio."""

import math
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

TICK = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(*pids: int) -> float:
    """Return user and system time of whole processes so far (proc(5), 10 ms steps)."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_bytes(*pids: int) -> int:
    """Return the memory that processes hold, shared pages counted for each."""
    return sum(
        int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES for pid in pids
    )


@dataclass(slots=True)
class Row:
    """One figure of one comparison: rounds of peer and product in turn."""

    what: str
    unit: str
    peer_name: str
    target: str
    peer: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours to the peer's, by medians; not a number where the peer's is 0."""
        return median(self.ours) / (median(self.peer) or math.nan)


def spread(values: list[float]) -> str:
    """Return `median [min-max]`."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{median(values):.3g} [{min(values):.3g}-{max(values):.3g}]"


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = [
        "| what | unit | peer | peer's | ours | ratio | target |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.what} | {row.unit} | {row.peer_name} | {spread(row.peer)} | {spread(row.ours)} "
        f"| {'-' if math.isnan(row.ratio) else f'**{row.ratio:.2f}**'} | {row.target} |"
        for row in rows
    ]
    return "\n".join(lines)


def machine() -> str:
    """Say what was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )
