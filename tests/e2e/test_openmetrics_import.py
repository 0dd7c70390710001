"""What was too old to be sent reaches a real Prometheus and a real VictoriaMetrics, by a file."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from collector.export.write_request import Row, compress, write_request
from collector.ingest.entries import NewEntry
from collector.ingest.journal import Journal
from collector.inventory.load import load
from tests.collector.a_province import a_sample
from tests.collector.ingest.pushes import batch
from tests.collector.inventory import folders
from tests.e2e.databases import Database, prometheus, victoria_metrics
from tests.programs import program
from tests.waiting import until_sync

AGENT, HOUR, DAYS = "04792", 3_600.0, 5 * 86_400
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.real, pytest.mark.slow]


class Home:
    """A collector's files, and the requests that remote write would make of them."""

    def __init__(self, folder: Path) -> None:
        folders.write(folder)
        self.folder = folder
        self.config = folder / "collector.yml"
        self.config.write_text("province: mau\nstate_directory: state\n")
        inventory = load(folder / "mau")
        self.series = next(
            one for one in inventory.series_of_agent[AGENT] if one.check == "gateway"
        )
        self.row = Row(self.series, inventory.subjects[self.series])
        self.begin = round(time.time() - 80 * HOUR) + 0.123
        self.kept: list[tuple[int, float]] = []

    def keep(self, *groups: list[float]) -> None:
        """Journal an attempt at each moment, each group a batch that arrives now."""
        asyncio.run(self._keep(groups))

    async def _keep(self, groups: tuple[list[float], ...]) -> None:
        journal = Journal(self.folder / "state" / "journal.sqlite", time.time)
        for seq, times in enumerate(groups, 1):
            samples = [
                a_sample(
                    self.series, duration=float(round(at) % 1_000), counters={"errors": float(seq)}
                )
                for at in times
            ]
            one = batch(seq, samples=samples)
            entry = NewEntry(
                agent=AGENT,
                boot=one.boot,
                seq=seq,
                batch=one,
                body=msgspec.json.encode(one),
                times=times,
                trusted=True,
                quarantined=[],
                received_at=time.time(),
            )
            await journal.append([entry])
            self.kept += [(round(at * 1_000), float(round(at) % 1_000)) for at in times]
        await journal.close()
        self.kept.sort()

    def request(self, *times: float) -> bytes:
        """Return what remote write sends of these."""
        series: dict[bytes, list[tuple[int, float]]] = {}
        for at in times:
            for name, number in self.row.numbers(
                a_sample(self.series, duration=float(round(at) % 1_000))
            ):
                series.setdefault(name, []).append((round(at * 1_000), number))
        return compress(write_request(series))

    def export(self, begin: float, end: float) -> tuple[Path, str]:
        """Run the command; return its file and what it said to people."""
        out = self.folder / "history.om"
        window = [datetime.fromtimestamp(at, UTC).isoformat() for at in (begin, end)]
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "collector", "export", "openmetrics"),
                *("-c", str(self.config), "--from", window[0], "--to", window[1], str(out)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith(f"{out}: ")
        return out, ended.stderr

    def stored(self, database: Database) -> list[tuple[int, float]]:
        """Return what a database has of the attempts."""
        return database.points("probe_duration_seconds", DAYS).get(self.series.target, [])


def test_prometheus_gets_what_its_window_refused(tmp_path):
    """80 hours old: refused by remote write, taken as blocks, each sample once, beside the live ones.

    What the window took before is in the file too, and is not doubled by it.
    """
    home = Home(tmp_path)
    old = [home.begin + 10.007 * number for number in range(500)]
    late = [home.begin + 10 * HOUR + 10 * number for number in range(50)]
    live = [time.time() - 2 + number for number in (0.0, 1.0)]
    home.keep(late, live, old[250:], old[:250])
    with prometheus(tmp_path / "prometheus") as database:
        assert database.write(home.request(*live)) == (204, "")
        assert database.write(home.request(*late)) == (204, "")
        code, said = database.write(home.request(*old))
        assert code >= 400, said
        out, notes = home.export(home.begin - HOUR, late[-1] + 1)
        assert "3 hours" not in notes
        made = subprocess.run(
            [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", out, database.data],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
    with prometheus(tmp_path / "prometheus") as database:  # it would see them within a minute, too
        until_sync(lambda: len(home.stored(database)) >= len(home.kept), seconds=20, what="blocks")
        assert home.stored(database) == home.kept
        assert database.points("probe_errors_total", DAYS) == {
            home.series.target: [
                *((round(at * 1_000), 4.0) for at in old[:250]),
                *((round(at * 1_000), 3.0) for at in old[250:]),
                *((round(at * 1_000), 1.0) for at in late),
            ]
        }


def test_victoriametrics_takes_the_same_file(tmp_path):
    """Twice, beside what remote write brought: each sample once, to the millisecond."""
    home = Home(tmp_path)
    old = [home.begin + 10.007 * number for number in range(500)]
    live = [time.time() - 2 + number for number in (0.0, 1.0)]
    home.keep(live, old)
    with victoria_metrics(tmp_path) as database:
        assert database.write(home.request(*live, *old[:50])) == (204, "")
        out, notes = home.export(home.begin - HOUR, time.time() + 1)
        assert "less than 3 hours ago" in notes
        for _ in range(2):
            code, said = database.post("/api/v1/import/prometheus", out.read_bytes())
            assert code == 204, said
        database.post("/internal/force_flush", b"")
        until_sync(lambda: len(home.stored(database)) >= len(home.kept), seconds=20, what="all")
        assert home.stored(database) == home.kept
