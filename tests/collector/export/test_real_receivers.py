"""Remote write into the real Prometheus and the real VictoriaMetrics."""

import json

import pytest

from agent.wire import Failure
from collector.export import parts, remote_write
from collector.inventory.model import Series
from tests.collector.a_province import YPHU
from tests.collector.export.receiving import GATEWAY, HOUR, a_sender
from tests.receivers import prometheus, running_receivers, victoria_metrics
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")


def times(receiver, selector: str = "probe_success") -> list[int]:
    """Return the milliseconds of all samples of some series."""
    return sorted(at for points in receiver.stored(selector).values() for at, _ in points)


def names(receiver, check: str) -> set[str]:
    """Return the metrics of a check that are alive."""
    return {one["__name__"] for one in receiver.now(f'{{check="{check}"}}')}


@pytest.mark.parametrize("make", [prometheus, victoria_metrics])
async def test_what_ended_is_gone_at_once(tmp_path, make):
    """A failed attempt ends the status code, silence ends all; the past stays, and revives nothing."""
    receiver = make(tmp_path / "receiver")
    with running_receivers(receiver):
        async with a_sender(tmp_path, receiver.url) as sender, sender.sending():
            (first,) = await sender.keep(3.0, series=HTTP, values={"http_status_code": 200})
            await until(lambda: "probe_http_status_code" in names(receiver, "tthc"), what="alive")
            await sender.keep(1.0, series=HTTP, failure=Failure.TIMEOUT)
            await sender.keep(1.0, series=GATEWAY)
            await until(lambda: "probe_http_status_code" not in names(receiver, "tthc"))
            assert "probe_success" in names(receiver, "tthc")
            await until(lambda: "probe_success" in names(receiver, "gateway"))
            sender.fleet.tick(sender.now() + 60)
            await until(lambda: not names(receiver, "tthc") | names(receiver, "gateway"))
            (old,) = await sender.keep(200.0, heard=False)
            await until(lambda: old in times(receiver), what="history")
            assert names(receiver, "gateway") == set()
            assert len(times(receiver)) == 4
            await sender.keep(0.1)
            await until(lambda: "probe_success" in names(receiver, "gateway"), what="alive again")
            assert times(receiver, "probe_http_status_code") == [first]


async def test_what_victoria_metrics_lost_by_a_kill_is_sent_again(tmp_path):
    """It had said 204 and not yet written it; nothing but the broken connection tells."""
    receiver = victoria_metrics(tmp_path / "receiver")
    with running_receivers(receiver):
        async with a_sender(tmp_path, receiver.url) as sender, sender.sending():
            wanted = await sender.keep(2.0, 1.5, 1.0)
            await until(lambda: sender.counted("samples_total").get(("fake", "live")) == 6)
            receiver.kill()
            receiver.start()
            receiver.up()
            assert times(receiver) == []
            wanted += await sender.keep(0.1)
            await until(lambda: times(receiver) == wanted, what="all of it")
            assert ("fake", "0") not in sender.counted("requests_total")


async def test_what_prometheus_fails_at_for_ever_stops_nobody(tmp_path, monkeypatch):
    """It says 500 to a sample that is too old for it, and to all beside it: those arrive."""
    monkeypatch.setattr(parts, "STICKS_SECONDS", 4.0)
    monkeypatch.setattr(parts, "FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(remote_write, "BACKLOG_PATIENCE_SECONDS", 1.0)
    receiver = prometheus(tmp_path / "receiver", window_hours=1.0)
    with running_receivers(receiver):
        # Its window is said to be larger than it is.
        async with a_sender(tmp_path, receiver.url, window_seconds=6 * HOUR) as sender:
            await sender.keep(1.0)
            async with sender.sending():
                await until(lambda: times(receiver))
                (bad,) = await sender.keep(3 * HOUR, heard=False)
                wanted = await sender.keep(*(100.0 + age for age in range(50)), heard=False)
                wanted += await sender.keep(200.0, series=HTTP, heard=False)

                async def buried():
                    for _ in range(100):
                        wanted.extend(await sender.keep(0.1))
                        await until(lambda: wanted[-1] in times(receiver), seconds=3, what="live")
                        if sender.counted("dead_letter_samples_total").get(("fake", "500")) == 2:
                            return
                    pytest.fail("never given up")

                await buried()
                await until(lambda: set(wanted) <= set(times(receiver)), what="all others")
                assert sender.counted("requests_total")["fake", "500"] > 3
        assert len(times(receiver)) == len(wanted) + 1
        assert bad not in times(receiver)
    lines = (tmp_path / "remote_write" / "fake.dead.jsonl").read_text("utf-8").splitlines()
    letters = [json.loads(line) for line in lines]
    assert {letter["samples"][0][0] for letter in letters} == {bad}
    assert {letter["code"] for letter in letters} == {500}
    assert "too old" in letters[0]["said"]


async def test_what_prometheus_refuses_is_found_by_halves(tmp_path):
    """Without a window it refuses with 400 what is older than its newest; the others arrive."""
    receiver = prometheus(tmp_path / "receiver", window_hours=0.0)
    with running_receivers(receiver):
        async with a_sender(tmp_path, receiver.url) as sender, sender.sending():
            (newest,) = await sender.keep(1.0)
            await until(lambda: times(receiver) == [newest])
            others = [Series(YPHU, "gateway", f"192.168.1.{host}", "") for host in range(2, 12)]
            sender.fleet.inventory.subjects.update(dict.fromkeys(others, YPHU))
            old = await sender.keep(200.0, heard=False)
            wanted = []
            for series in others:
                wanted += await sender.keep(150.0, series=series, heard=False)
            await until(lambda: set(wanted) <= set(times(receiver)), seconds=10)
            refused = {("fake", "400"): 2.0}  # both samples of the old attempt, one after the other
            await until(lambda: sender.counted("dead_letter_samples_total") == refused, what="both")
            assert times(receiver) == sorted([newest, *wanted])
    lines = (tmp_path / "remote_write" / "fake.dead.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["samples"][0][0] for line in lines} == set(old)
    assert "out of order" in json.loads(lines[0])["said"]
