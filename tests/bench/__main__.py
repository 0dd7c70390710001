"""Run every comparison and write docs/benchmarks.md: `make bench`."""

import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import ingest, probes, reflector, rollup, whole_pc
from tests.bench.measure import machine, table
from tests.bench.peers import targets

PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`; nothing else edits this page.
Peer and product take turns in one run, everything on loopback; figures are medians with [least-most].
CPU is user and system time of the whole process, the kernel's loopback work included, for both sides alike.
A ratio below 1 means that ours needs less. The target is the ratio that docs and issues ask for.

"""


def main() -> None:
    """Measure, print, write."""
    wanted = set(sys.argv[1:]) or {"probes", "whole_pc", "ingest", "reflector", "rollup"}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with targets(work) as where:
            if "probes" in wanted:
                rows += probes.compare(work, where)
            if "whole_pc" in wanted:
                rows += whole_pc.compare(work, where)
        if "ingest" in wanted:
            rows += ingest.compare(work)
        if "reflector" in wanted:
            rows += reflector.compare(work)
        if "rollup" in wanted:
            rows += rollup.compare(work)
    text = table(rows)
    print(text)
    if not sys.argv[1:]:
        PAGE.write_text(f"{HEAD}{_when()}\n\n{text}\n\n{_peers()}\n", "utf-8")


def _when() -> str:
    return f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {machine()}."


def _peers() -> str:
    names = ["irtt", "prometheus", "prometheus-blackbox-exporter", "prometheus-pushgateway"]
    out = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *names],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return "Peers, as Debian ships them: " + ", ".join(out.split("\n")[:-1]) + "."


if __name__ == "__main__":
    main()
