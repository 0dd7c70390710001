"""Receivers of remote write: the real Prometheus and the real VictoriaMetrics, and what they hold."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.programs import free_port, listening, program
from tests.waiting import until_sync

HOUR = 3_600.0
Labels = tuple[tuple[str, str], ...]
Stored = dict[Labels, list[tuple[int, float]]]
"""Every sample as it is stored, by its series' labels: milliseconds and value; no stale markers."""


@dataclass(slots=True)
class Receiver:
    """One of both, on a port of its own; its data are in `data`."""

    name: str
    window_hours: float
    command: list[str]
    port: int
    data: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where it takes remote write."""
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT)

    def running(self) -> bool:
        """Whether it goes on."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it without a word."""
        assert self.process
        self.process.kill()
        self.process.wait(15)

    def stop(self) -> None:
        """End it in order."""
        assert self.process
        self.process.terminate()
        self.process.wait(30)

    def ready(self) -> bool:
        """Whether it answers."""
        assert self.running(), self.log.read_text("utf-8", "replace")[-2000:]
        return listening("127.0.0.1", self.port) and self._ask("/-/ready") is not None

    def up(self) -> None:
        """Wait until it answers."""
        until_sync(self.ready, seconds=30, what=f"{self.name} ready")

    def now(self, query: str) -> list[dict[str, str]]:
        """Return the labels of the series that an instant query finds at this moment."""
        return [one["metric"] for one in self._query(query, time.time())]

    def stored(self, selector: str) -> Stored:
        """Return every raw sample of some series, up to two hours ahead."""
        raise NotImplementedError

    def _query(self, query: str, at: float) -> list[dict]:
        asked = urlencode({"query": query, "time": f"{at:.3f}", "nocache": "1"})
        return json.loads(self._ask(f"/api/v1/query?{asked}") or "{}")["data"]["result"]

    def _ask(self, path: str) -> bytes | None:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.read()
        except OSError:
            return None


class Prometheus(Receiver):
    """2.42, its receiver on."""

    def stored(self, selector: str) -> Stored:
        """Return what a range selector finds."""
        found = self._query(f"{selector}[30h]", time.time() + 2 * HOUR)
        return {
            _labels(one["metric"]): [
                (round(float(at) * 1_000), float(value)) for at, value in one["values"]
            ]
            for one in found
        }


class VictoriaMetrics(Receiver):
    """1.79, duplicates of one millisecond taken out."""

    def now(self, query: str) -> list[dict[str, str]]:
        """Return the same, once what was taken can be searched."""
        self._ask("/internal/force_flush")
        return super().now(query)

    def stored(self, selector: str) -> Stored:
        """Return what the export has."""
        self._ask("/internal/force_flush")
        asked = urlencode({"match[]": selector, "end": f"{time.time() + 2 * HOUR:.3f}"})
        found: Stored = {}
        for line in (self._ask(f"/api/v1/export?{asked}") or b"").splitlines():
            one = json.loads(line)
            points = zip(one["timestamps"], one["values"], strict=True)
            samples = [(at, float(value)) for at, value in points if value is not None]
            found.setdefault(_labels(one["metric"]), []).extend(samples)
        return found


def prometheus(folder: Path, *, window_hours: float = 6.0) -> Prometheus:
    """Return one that is not started; a window of 0 hours takes nothing out of order."""
    folder.mkdir(parents=True, exist_ok=True)
    port, config = free_port(), folder / "prometheus.yml"
    window = f"{{tsdb: {{out_of_order_time_window: {window_hours:g}h}}}}" if window_hours else "{}"
    config.write_text(f"global: {{}}\nstorage: {window}\n", "ascii")
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    log = folder / "prometheus.log"
    return Prometheus("prometheus", window_hours, command, port, folder / "data", log)


def victoria_metrics(folder: Path) -> VictoriaMetrics:
    """Return one that is not started."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        program("victoria-metrics"),
        f"-storageDataPath={folder}/data",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-dedup.minScrapeInterval=1ms",
        "-retentionPeriod=1",
        "-memory.allowedBytes=64MB",
        "-search.latencyOffset=0s",
    ]
    log = folder / "victoria-metrics.log"
    return VictoriaMetrics("victoria-metrics", 24.0, command, port, folder / "data", log)


@contextmanager
def running_receivers(*receivers: Receiver) -> Iterator[None]:
    """Start them and end them afterwards, whatever became of them meanwhile."""
    try:
        for one in receivers:
            one.start()
        for one in receivers:
            one.up()
        yield
    except BaseException:
        for one in receivers:
            print(f"--- {one.name}\n{one.log.read_text('utf-8', 'replace')[-2000:]}")
        raise
    finally:
        for one in receivers:
            if one.running():
                one.kill()


def _labels(metric: dict[str, str]) -> Labels:
    return tuple(sorted(metric.items()))
