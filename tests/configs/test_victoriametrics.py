"""The shipped flags for VictoriaMetrics, under VictoriaMetrics itself."""

import time
from pathlib import Path

import pytest
import yaml

from collector.export.write_request import compress, write_labels, write_request
from tests.e2e.databases import FLAGS, victoria_metrics
from tests.waiting import until_sync

ROOT = Path(__file__).parents[2]


@pytest.mark.real
def test_a_request_that_comes_twice_is_stored_once(tmp_path):
    """A lost answer and the same request again; and the newest value is shown at once."""
    with victoria_metrics(tmp_path) as database:
        now = round(time.time()) * 1_000
        series = write_labels({"__name__": "probe_success", "instance": "192.0.2.1"})
        points = [(now - 5_000, 1.0), (now, 0.0)]
        body = compress(write_request({series: points}))
        for _ in range(2):
            assert database.write(body) == (204, "")
            database.post("/internal/force_flush", b"")

        until_sync(
            lambda: database.points("probe_success", 60) == {"192.0.2.1": points},
            seconds=10,
            what="both samples, once",
        )
        until_sync(
            lambda: database.values("probe_success") == [0.0], seconds=8, what="the newest value"
        )


def test_windows_fit_the_receivers():
    """What collector.yml sends is never older than what the shipped receivers take."""
    example = yaml.safe_load((ROOT / "configs/collector.example.yml").read_text("utf-8"))
    prometheus = yaml.safe_load((ROOT / "configs/prometheus/prometheus.yml").read_text("utf-8"))
    flags = FLAGS.read_text("utf-8")

    (receiver,) = example["remote_write"]
    assert (
        f"{receiver['window_hours']}h" == prometheus["storage"]["tsdb"]["out_of_order_time_window"]
    )
    assert "-retentionPeriod=1y" in flags
    assert "window_hours 8760" in flags
