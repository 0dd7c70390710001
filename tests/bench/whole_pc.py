"""The whole PC part: our agent against blackbox_exporter and Prometheus in agent mode.

25 targets each 5 s (5 of icmp, tcp, http, https, dns), delivered to a centre: ours to a collector
that fsyncs, the peers' by remote write to a Prometheus. Both are checked to have all 25 up.
"""

import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.bench.measure import Row, cpu_seconds, resident_bytes
from tests.bench.peers import Targets, blackbox, prometheus, query, wait
from tests.bench.province import AGENT, collector, write_province
from tests.programs import running

ROUNDS = 3
SECONDS = 60.0
INTERVAL = 5
KINDS = ("icmp", "tcp", "http", "https", "dns")
EACH = 5


def compare(work: Path, where: Targets) -> list[Row]:
    """Return the rows of CPU and memory."""
    peer = "blackbox_exporter + Prometheus agent mode"
    cpu = Row("whole PC part, 25 checks each 5 s: CPU", "% of a core", peer, "<= 0.15")
    rss = Row("whole PC part: RSS after a minute", "MiB", peer, "<= 0.65")
    for number in range(ROUNDS):
        for side, run in (("peer", _peer), ("ours", _ours)):
            home = work / f"{side}{number}"
            home.mkdir()
            with run(home, where) as pids:
                before = cpu_seconds(*pids)
                time.sleep(SECONDS)
                share = (cpu_seconds(*pids) - before) / SECONDS * 100
                getattr(cpu, side).append(share)
                getattr(rss, side).append(resident_bytes(*pids) / 2**20)
    return [cpu, rss]


@contextmanager
def _peer(home: Path, where: Targets) -> Iterator[list[int]]:
    with (
        prometheus(
            home,
            "centre",
            "global: {}",
            "--storage.tsdb.path=HOME/data",
            "--web.enable-remote-write-receiver",
        ) as (_, centre),
        blackbox(home, where.ca) as (exporter, address),
        prometheus(
            home,
            "agent",
            _scrapes(where, address, centre),
            "--enable-feature=agent",
            "--storage.agent.path=HOME/data",
        ) as (agent, _),
    ):
        up = "sum(last_over_time(probe_success[20s]))"

        def all_up() -> bool:
            return any(float(series["value"][1]) == 25 for series in query(centre, up))

        wait(all_up, "25 of 25 at the peers' centre", 30)
        yield [exporter, agent]
        assert all_up()


def _scrapes(where: Targets, exporter: str, centre: str) -> str:
    jobs = [
        {
            "job_name": kind,
            "metrics_path": "/probe",
            "params": {"module": [kind]},
            "static_configs": [
                {"targets": [where.of(kind)], "labels": {"number": str(n)}} for n in range(EACH)
            ],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__address__"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": exporter},
            ],
        }
        for kind in KINDS
    ]
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": f"{INTERVAL}s", "scrape_timeout": f"{INTERVAL}s"},
            "scrape_configs": jobs,
            "remote_write": [{"url": f"http://{centre}/api/v1/write"}],
        }
    )


@contextmanager
def _ours(home: Path, where: Targets) -> Iterator[list[int]]:
    write_province(home / "province", _checks(where))
    with collector(home, home / "province") as centre:
        (home / "token").write_text(centre.token(AGENT))
        (home / "agent.yml").write_text(
            yaml.safe_dump(
                {
                    "agent": AGENT,
                    "collector": {"url": centre.url, "token_file": "token"},
                    "state_directory": "state",
                }
            )
        )
        command = [sys.executable, "-m", "agent", "run", "-c", str(home / "agent.yml")]
        with running(command, log=home / "agent.log") as agent:

            def all_up() -> bool:
                page = urllib.request.urlopen(f"{centre.url}/metrics/live", timeout=5).read()
                return page.decode().count("\nthongsuot_check_up{") == 25 and b"} 0" not in page

            wait(all_up, "25 of 25 at our centre", 30)
            yield [agent.pid]
            assert agent.poll() is None
            assert all_up()


def _checks(where: Targets) -> list[dict]:
    params = {"https": {"ca_file": str(where.ca)}, "dns": {"query_name": "portal.test"}}
    return [
        {
            "id": f"{kind}-{n}",
            "name": {"vi": kind, "en": kind},
            "system": "bench",
            "layer": "service",
            "kind": {"https": "http"}.get(kind, kind),
            "targets": [where.of(kind)],
            "interval_seconds": INTERVAL,
            "params": {**params.get(kind, {}), **({"count": 1} if kind == "icmp" else {})},
        }
        for kind in KINDS
        for n in range(EACH)
    ]
