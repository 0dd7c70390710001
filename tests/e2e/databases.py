"""A real Prometheus and a real VictoriaMetrics as receivers, with what is shipped for them."""

import json
import re
import shlex
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.demo import alerting
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync

FLAGS = Path(__file__).parents[2] / "configs/victoriametrics/victoria-metrics.default"


class Database:
    """One that runs. Times are seconds, as its query interface wants them."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.data = data

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, str]:
        """Post; return the code and what was said."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    def write(self, body: bytes) -> tuple[int, str]:
        """Post a remote write request."""
        return self.post(
            "/api/v1/write",
            body,
            Content_Encoding="snappy",
            Content_Type="application/x-protobuf",
            X_Prometheus_Remote_Write_Version="0.1.0",
        )

    def points(self, name: str, seconds: int) -> dict[str, list[tuple[int, float]]]:
        """Return a metric's raw samples of so long back, by target: milliseconds and value."""
        return {
            one["metric"]["instance"]: [
                (round(float(at) * 1_000), float(value)) for at, value in one["values"]
            ]
            for one in self._ask(f"{name}[{seconds}s]", nocache="1")
        }

    def values(self, name: str) -> list[float]:
        """Return what a graph shows of a metric now."""
        return [float(one["value"][1]) for one in self._ask(name)]

    def _ask(self, query: str, **more: str) -> list[dict[str, Any]]:
        asked = urllib.parse.urlencode({"query": query, **more})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}") as answer:
            return json.loads(answer.read())["data"]["result"]


@contextmanager
def prometheus(folder: Path) -> Iterator[Database]:
    """Run Prometheus with the shipped file, as a receiver. Run anew, it has what it had."""
    port = free_port()
    command = alerting.prometheus(
        folder, collector="http://127.0.0.1:9", alertmanager="127.0.0.1:9", port=port
    )
    command[0] = program(command[0])
    with running([*command, "--web.enable-remote-write-receiver"], log=folder / "log") as process:
        url = f"http://127.0.0.1:{port}"
        until_sync(lambda: process.poll() is not None or ready(url), seconds=30, what="ready")
        yield Database(url, folder / "data")


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[Database]:
    """Run VictoriaMetrics with the shipped flags, but for where it listens and keeps its data."""
    (arguments,) = re.findall(r'^ARGS="(.*)"$', FLAGS.read_text("utf-8"), re.MULTILINE)
    port = free_port()
    here = {"-storageDataPath": str(folder / "vm"), "-httpListenAddr": f"127.0.0.1:{port}"}
    flags = [flag.split("=", 1)[0] for flag in shlex.split(arguments)]
    assert set(here) <= set(flags)
    command = [
        f"{flag}={here[flag]}" if flag in here else whole
        for flag, whole in zip(flags, shlex.split(arguments), strict=True)
    ]
    log = folder / "vm.log"
    with running([program("victoria-metrics"), *command], log=log) as process:
        until_sync(
            lambda: process.poll() is not None or listening("127.0.0.1", port),
            seconds=30,
            what="listening",
        )
        assert process.poll() is None, log.read_text("utf-8")
        yield Database(f"http://127.0.0.1:{port}", folder / "vm")


def ready(url: str) -> bool:
    """Whether Prometheus has read its own files and answers."""
    try:
        with urllib.request.urlopen(f"{url}/-/ready") as answer:
            return answer.status == 200
    except OSError:
        return False
