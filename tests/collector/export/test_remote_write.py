import json
import time

import pytest

from agent.wire import EVIDENCE, Failure
from collector.export import doubt, parts, remote_store, remote_write
from collector.inventory.model import Series
from tests.collector.a_province import YPHU, a_sample
from tests.collector.export.receiving import GATEWAY, HOUR, a_sender, receiving
from tests.collector.export.write_requests import read
from tests.programs import free_port
from tests.waiting import until

HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")


@pytest.fixture
async def receiver():
    """Return a receiver that takes everything."""
    async with receiving() as one:
        yield one


@pytest.fixture
async def sender(receiver, tmp_path):
    """Return what sends to it."""
    async with a_sender(tmp_path, receiver.url) as one:
        yield one


@pytest.fixture
def quick(monkeypatch):
    """Let trouble stick, and be asked again, sooner."""
    monkeypatch.setattr(parts, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(remote_write, "BACKLOG_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(remote_write, "LIVE_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(remote_write, "LIVE_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(remote_write, "LOOK_SECONDS", 0.05)


async def test_a_sample_arrives_with_its_own_time(receiver, sender):
    """As /metrics would show it, with the headers of remote write 1.0, and once."""
    async with sender.sending():
        (at,) = await sender.keep(3.0, duration=0.25)
        await until(receiver.times, what="the sample")
        assert sender.counted("samples_total") == {("fake", "live"): 2.0}
    assert receiver.stored == {
        (
            ("__name__", name),
            ("agent", YPHU),
            ("check", "gateway"),
            ("instance", "192.168.1.1"),
            ("job", "thongsuot"),
            ("site", YPHU),
        ): {at: bits}
        for name, bits in (
            ("probe_success", 0x3FF0000000000000),
            ("probe_duration_seconds", 0x3FD0000000000000),
        )
    }
    ((_, _, _, headers),) = receiver.requests
    wanted = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    assert wanted.items() <= headers.items()
    assert headers["User-Agent"].startswith("thongsuot-collector/")


async def test_after_a_restart_only_the_last_minute_is_sent_again(receiver, sender, monkeypatch):
    """The receiver may have been restarted meanwhile; what it took earlier is on its disk."""
    monkeypatch.setattr(doubt, "SAFE_SECONDS", 0.3)
    async with sender.sending():
        await sender.keep(3.0)
        (first,) = await until(receiver.times)
        taken_at = time.monotonic()
        await until(lambda: time.monotonic() > taken_at + 0.4)
        (second,) = await sender.keep(2.0)
        await until(lambda: len(receiver.times()) == 2)
    receiver.stored.clear()
    async with sender.sending():
        (third,) = await sender.keep(1.0)
        await until(lambda: len(receiver.times()) == 2)
        await until(lambda: sender.counted("pending_batches")["fake", "backlog"] == 0)
    assert receiver.times() == [second, third]
    assert first not in receiver.times()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("noticed", [True, False], ids=["while away", "between two requests"])
async def test_what_a_receiver_lost_when_it_died_is_sent_again(tmp_path, noticed):
    """It had acknowledged it. With the same times, beside what is live, and retention waits for it."""
    port = free_port()
    async with a_sender(tmp_path, f"http://127.0.0.1:{port}/api/v1/write") as sender:
        async with sender.sending():
            async with receiving(port) as receiver:
                wanted = await sender.keep(100.0, heard=False)
                wanted += await sender.keep(3.0, 2.0)
                await until(lambda: len(receiver.times()) == 3)
            if noticed:
                wanted += await sender.keep(1.0)
                await until(lambda: sender.counted("requests_total").get(("fake", "0")))
            async with receiving(port) as receiver:
                wanted += await sender.keep(0.5)
                await until(lambda: len(receiver.times()) == len(wanted))
                assert receiver.times() == sorted(wanted)
                await until(lambda: sender.counted("pending_batches")["fake", "backlog"] == 0)
                assert len(receiver.requests) <= 4
        assert sender.journal.readers["remote_write/fake"].done == 0
        assert ("fake", "0") in sender.counted("requests_total") or not noticed


async def test_a_connection_that_was_to_be_closed_is_no_sign(receiver, sender):
    """VictoriaMetrics says so each two minutes: nothing is sent again for it."""
    receiver.answer = lambda _: (204, "", {"Connection": "close"})
    async with sender.sending():
        for number in range(1, 4):
            await sender.keep(0.1)
            await until(lambda number=number: len(receiver.times()) == number)
        await until(lambda: sender.counted("pending_batches")["fake", "live"] == 0)
        assert sender.counted("pending_batches")["fake", "backlog"] == 0
    assert len(receiver.requests) == 3


async def test_a_receiver_that_cuts_each_connection_is_not_flooded(receiver, sender):
    """Nothing tells that from a crash: but it is sent again ever less often."""
    receiver.cut = True
    async with sender.sending():
        for number in range(1, 16):
            await sender.keep(0.1)
            await until(lambda number=number: len(receiver.times()) == number)
        await until(lambda: sender.counted("pending_batches")["fake", "backlog"] == 0)
    sent = [at for _, _, body, _ in receiver.requests for _, points in read(body) for at in points]
    assert 30 < len(sent) < 3 * 30


async def test_a_new_receiver_gets_what_it_takes_of_the_past(receiver, sender):
    """What was received within its window, as backlog; retention waits for it."""
    await sender.keep(7 * HOUR, received=7 * HOUR, heard=False)
    wanted = await sender.keep(5 * HOUR, received=5 * HOUR, heard=False)
    wanted += await sender.keep(4 * HOUR, received=3 * HOUR, heard=False)
    async with sender.sending():
        await until(lambda: len(receiver.times()) == 2)
        await until(lambda: sender.counted("pending_batches")["fake", "backlog"] == 0)
        assert sender.counted("samples_total") == {("fake", "backlog"): 4.0}
    assert receiver.times() == wanted


async def test_retention_waits_until_what_was_taken_is_safe(receiver, sender, monkeypatch):
    """The journal keeps what may have to be sent again."""
    monkeypatch.setattr(doubt, "SAFE_SECONDS", 0.5)
    async with sender.sending():
        await sender.keep(3.0)
        await until(lambda: sender.counted("pending_batches")["fake", "live"] == 0)
        assert sender.journal.readers["remote_write/fake"].done == 0
        taken_at = time.monotonic()
        await until(lambda: time.monotonic() > taken_at + 0.6)
        await sender.keep(1.0)
        await until(lambda: sender.journal.readers["remote_write/fake"].done == 1)


async def test_live_does_not_wait_for_the_backlog(tmp_path, monkeypatch):
    """While an outage is paid at its rate, what happens now arrives at once, never in one request."""
    monkeypatch.setattr(remote_write, "LOAD_POINTS", 100)
    monkeypatch.setattr(parts, "MAX_POINTS", 100)
    async with (
        receiving() as receiver,
        a_sender(tmp_path, receiver.url, samples_per_second=700.0) as sender,
    ):
        for hour in (3, 2, 1):  # newest first, as some agent may send it
            for number in range(10):
                times = [hour * HOUR - 50 * number - step for step in range(50)]
                await sender.keep(*times, heard=False)
        async with sender.sending():
            sent_at = {}
            for _ in range(6):
                now = time.time()
                (at,) = await sender.keep(0.2)
                await until(lambda at=at: at in receiver.times(), what="live")
                sent_at[at] = time.time() - now
                await until(lambda now=now: time.time() > now + 0.2)
            assert max(sent_at.values()) < 2
            behind = sum(map(len, receiver.stored.values())) - 12
            assert 0 < behind < 3_000
            assert sender.counted("pending_batches")["fake", "backlog"] > 0
            oldest = sender.counted("oldest_unsent_timestamp_seconds")["fake", "backlog"]
            assert 0.9 * HOUR < time.time() - oldest < 3.2 * HOUR
            await until(lambda: len(receiver.times()) == 1_506, seconds=15)
            await until(lambda: sender.counted("pending_batches")["fake", "backlog"] == 0)
            assert ("fake", "backlog") not in sender.counted("oldest_unsent_timestamp_seconds")
        for _, _, body, _ in receiver.requests:
            ages = {at > min(sent_at) - 1_000 for _, points in read(body) for at, _ in points}
            assert len(ages) == 1
        began = receiver.requests[0][0]
        assert receiver.requests[-1][0] - began > 3_000 / 700.0 * 0.8, "faster than it may"


async def test_a_lost_answer_is_healed_by_the_same_bytes(receiver, sender):
    """The receiver had it: the same request again changes nothing there."""
    receiver.lose_answers = 2
    async with sender.sending():
        await sender.keep(3.0, 2.0)
        await until(lambda: sender.counted("samples_total"))
    bodies = [body for _, _, body, _ in receiver.requests]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert receiver.conflicts == []


async def test_a_refused_series_is_a_dead_letter_and_the_others_arrive(receiver, sender, tmp_path):
    """One line of JSON with its labels, samples, and the receiver's own words."""

    def answer(sent):
        bad = any(labels["__name__"] == "probe_http_status_code" for labels, _ in sent)
        return (400, "label value\ntoo long") if bad else (204, "")

    receiver.answer = answer
    async with sender.sending():
        (at,) = await sender.keep(1.0, series=HTTP, values={"http_status_code": 200})
        await until(lambda: sender.counted("dead_letter_samples_total"))
        assert sender.counted("dead_letter_samples_total") == {("fake", "400"): 1.0}
        await until(lambda: len(receiver.times("probe_duration_seconds")) == 1)
        (after,) = await sender.keep(0.5)
        await until(lambda: receiver.times(check="gateway") == [after])
        assert sender.counted("pending_batches") == {("fake", "live"): 0, ("fake", "backlog"): 0}
    (line,) = (tmp_path / "remote_write" / "fake.dead.jsonl").read_text("utf-8").splitlines()
    letter = json.loads(line)
    assert abs(letter.pop("at") - time.time()) < 10
    assert letter == {
        "lane": "live",
        "code": 400,
        "said": "label value too long",
        "labels": {
            "__name__": "probe_http_status_code",
            "agent": YPHU,
            "check": "tthc",
            "instance": "https://tthc.example/",
            "job": "thongsuot",
            "site": YPHU,
        },
        "samples": [[at, 200.0]],
    }
    assert receiver.times(check="tthc") == [at]


async def test_what_must_not_be_sent_is_counted(receiver, sender):
    """Too old for the window, ahead of the clock, of a time nobody vouches for, or unknown."""
    async with sender.sending():
        await sender.keep(7 * HOUR, 8 * HOUR, heard=False)
        await sender.keep(-20.0, 2.0, quarantined=(0,))
        await sender.keep(3.0, quarantined=(0,))  # it was ahead when it came
        await sender.keep(1.0, 3 * HOUR, trusted=False)
        await sender.keep(1.0, series=Series(YPHU, "gone", "192.168.1.1", ""))
        await sender.keep(1.0, kind=EVIDENCE, failure=Failure.TIMEOUT)
        wanted = {
            ("fake", "too_old"): 4.0,
            ("fake", "ahead"): 4.0,
            ("fake", "untrusted"): 4.0,
            ("fake", "unknown_series"): 1.0,
        }
        await until(lambda: sender.counted("withheld_samples_total") == wanted)
    assert len(receiver.times()) == 1


@pytest.mark.usefixtures("quick")
async def test_an_outage_of_the_receiver_costs_live_nothing(tmp_path, monkeypatch):
    """Back after hours, it is told first what is now; then all of the outage, in order."""
    monkeypatch.setattr(remote_write, "LIVE_RETRY_SECONDS", 0.5)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/write"
    async with a_sender(tmp_path, url) as sender, sender.sending():
        wanted = []
        for _ in range(150):
            sender.ahead += 60.0
            wanted += await sender.keep(1.0, heard=False)
        await until(lambda: sender.counted("requests_total")["fake", "0"] > 20)
        sender.ahead += 60.0
        (now,) = await sender.keep(1.0, heard=False)
        async with receiving(port) as receiver:
            await until(lambda: len(receiver.times()) == 151, seconds=20)
            first = [at for _, points in read(receiver.requests[0][2]) for at, _ in points]
            assert now - min(first) < 75_000
            assert receiver.times() == [*wanted, now]
            assert receiver.conflicts == []


async def test_live_does_not_read_its_way_through_an_outage(receiver, sender):
    """What was received long ago is owed unread: a day of it is a million batches."""
    async with sender.sending():
        await sender.keep(1.0)
        await until(receiver.times)
    for _ in range(500):
        await sender.keep(HOUR, heard=False, received=HOUR)
    (now,) = await sender.keep(1.0)
    read_before = []
    read_entries = sender.journal.read

    async def reading(after, limit):
        if now not in receiver.times():
            read_before.append(after)
        return await read_entries(after, limit)

    sender.journal.read = reading
    async with sender.sending():
        await until(lambda: now in receiver.times())
        assert [after for after in read_before if 100 < after < 500] == []
        await until(lambda: len(receiver.times()) == 502)


@pytest.mark.usefixtures("quick")
async def test_killed_at_any_moment_it_loses_nothing(receiver, sender):
    """The same samples with the same times, again where the answer was on its way."""
    wanted = []
    for round_ in range(12):
        receiver.hang = bool(round_ % 3 == 1)
        async with sender.sending(orderly=False):
            seen = len(receiver.requests)
            wanted += await sender.keep(*(100.0 + step for step in range(20)), heard=False)
            wanted += await sender.keep(1.0, 2.0, heard=False)
            if round_ % 3:
                await until(lambda seen=seen: len(receiver.requests) > seen)
    receiver.hang = False
    async with sender.sending():
        await until(lambda: len(receiver.times()) == len(wanted))
    assert receiver.times() == sorted(wanted)
    assert receiver.conflicts == []


@pytest.mark.usefixtures("quick")
async def test_a_sample_that_is_always_500_stops_nobody(receiver, sender, monkeypatch, tmp_path):
    """In either lane: the others go on within moments, the one is given up once that is proven."""
    monkeypatch.setattr(parts, "STICKS_SECONDS", 4.0)
    monkeypatch.setattr(remote_write, "BACKLOG_PATIENCE_SECONDS", 1.0)
    poisoned = "192.168.1.2"

    def answer(sent):
        bad = any(labels["instance"] == poisoned for labels, _ in sent)
        return (500, "too old sample") if bad else (204, "")

    receiver.answer = answer
    bad = Series(YPHU, "gateway", poisoned, "")
    async with sender.sending():
        await sender.keep(100.0, series=bad, heard=False)
        await sender.keep(1.0, series=bad)
        wanted = []
        deadline = time.time() + 15
        while sender.counted("dead_letter_samples_total").get(("fake", "500"), 0) < 4:
            assert time.time() < deadline
            wanted += await sender.keep(0.1)
            await until(lambda: len(receiver.times()) == len(wanted), seconds=2)  # noqa: B023
    assert receiver.times() == wanted
    lines = (tmp_path / "remote_write" / "fake.dead.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["labels"]["instance"] for line in lines} == {poisoned}


async def test_one_series_has_one_number_at_one_time(receiver, sender):
    """Of two attempts in one millisecond the first stands: a receiver refuses a request with both."""
    async with sender.sending():
        at = int(sender.now()) - 0.5
        both = [a_sample(GATEWAY, duration=seconds) for seconds in (0.25, 0.5)]
        await sender.keep_at([at, at + 0.0001], both)
        await until(receiver.times)
    assert receiver.values("probe_duration_seconds") == [0.25]
    assert [len(points) for _, points in read(receiver.requests[0][2])] == [1, 1]


async def test_a_silent_agents_series_end_at_once(receiver, sender):
    """The moment /metrics drops them, each gets a stale marker; backlog revives nothing."""
    async with sender.sending():
        (at,) = await sender.keep(1.0, duration=0.5)
        await until(receiver.times)
        assert receiver.markers() == []
        sender.fleet.tick(sender.now() + 60)
        await until(receiver.markers)
        await sender.keep(100.0, heard=False)
        await until(lambda: len(receiver.times()) == 2)
    assert len(receiver.markers("probe_success")) == 1
    assert len(receiver.markers("probe_duration_seconds")) == 1
    assert receiver.markers()[0] > at
    assert abs(receiver.markers()[0] / 1_000 - time.time()) < 10


async def test_a_failed_attempt_ends_what_it_lacks(receiver, sender):
    """The last status code must not stand beside a failure for five minutes."""
    async with sender.sending():
        await sender.keep(2.0, series=HTTP, values={"http_status_code": 200})
        (failed,) = await sender.keep(1.0, series=HTTP, failure=Failure.TIMEOUT)
        await until(lambda: receiver.markers("probe_http_status_code"))
    assert receiver.markers("probe_http_status_code") == [failed]
    assert receiver.values("probe_success") == [1.0, 0.0]
    assert receiver.markers("probe_success") == []


async def test_after_a_restart_the_silent_are_ended_too(receiver, sender):
    """What was shown before a kill is known from the fleet, which goes through the journal again."""
    async with sender.sending(orderly=False):
        await sender.keep(1.0)
        await until(receiver.times)
    sender.fleet.tick(sender.now() + 60)
    async with sender.sending():
        await until(receiver.markers)
    assert len(receiver.markers()) == 1


@pytest.mark.usefixtures("quick")
async def test_a_marker_that_was_lost_is_told_again(tmp_path):
    """The receiver died with it: the series must not come back to life there."""
    port = free_port()
    async with (
        a_sender(tmp_path, f"http://127.0.0.1:{port}/api/v1/write") as sender,
        sender.sending(),
    ):
        async with receiving(port) as receiver:
            (at,) = await sender.keep(1.0)
            await until(receiver.times)
            sender.fleet.tick(sender.now() + 60)
            await until(receiver.markers)
        async with receiving(port) as receiver:
            await sender.keep(0.5, series=HTTP)
            await until(receiver.markers)
            await until(lambda: at in receiver.times())
            assert receiver.markers(check="gateway")[0] > at


@pytest.mark.usefixtures("quick")
async def test_a_marker_that_could_not_be_told_is_told_later(tmp_path):
    """The receiver was away when the agent fell silent."""
    port = free_port()
    async with a_sender(tmp_path, f"http://127.0.0.1:{port}/api/v1/write") as sender:
        async with receiving(port) as receiver, sender.sending(orderly=False):
            await sender.keep(1.0)
            await until(receiver.times)
        async with sender.sending():
            sender.fleet.tick(sender.now() + 60)
            await until(lambda: sender.counted("requests_total").get(("fake", "0"), 0) > 3)
            sender.ahead += 120.0  # the first marker is no longer worth telling
            failed = sender.counted("requests_total")["fake", "0"]
            await until(lambda: sender.counted("requests_total")["fake", "0"] > failed + 3)
            async with receiving(port) as receiver:
                await until(receiver.markers)


async def test_a_receiver_may_ask_for_patience(receiver, sender):
    """429 with Retry-After: not before, and nothing is parted or given up."""
    receiver.answer = lambda _: (429, "slower", {"Retry-After": "1"})
    async with sender.sending():
        await sender.keep(1.0)
        await until(lambda: receiver.requests)
        receiver.answer = lambda _: (204, "")
        await until(receiver.times)
    (first, _, one, _), (second, _, other, _) = receiver.requests
    assert second - first >= 1.0
    assert one == other


@pytest.mark.parametrize("way", ["bearer", "basic"])
async def test_a_credential_is_read_anew_for_each_request(receiver, tmp_path, way):
    """A token that was replaced needs no restart."""
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    settings = (
        {"bearer_file": secret} if way == "bearer" else {"user": "u", "password_file": secret}
    )
    async with a_sender(tmp_path, receiver.url, **settings) as sender, sender.sending():
        await sender.keep(1.0)
        await until(lambda: len(receiver.requests) == 1)
        secret.write_text("two")
        await sender.keep(0.5)
        await until(lambda: len(receiver.requests) == 2)
    said = [headers["Authorization"] for _, _, _, headers in receiver.requests]
    wanted = (
        ["Bearer one", "Bearer two"] if way == "bearer" else ["Basic dTpvbmU=", "Basic dTp0d28="]
    )
    assert said == wanted


async def test_a_journal_put_back_is_sent_from_there(receiver, tmp_path):
    """A restored backup gives its ids again: what comes under them is new."""
    async with a_sender(tmp_path, receiver.url) as sender, sender.sending():
        for _ in range(3):
            await sender.keep(1.0)
        await until(lambda: len(receiver.times()) == 3)
    for file in tmp_path.glob("journal.sqlite*"):
        file.unlink()
    async with a_sender(tmp_path, receiver.url) as sender, sender.sending():
        await sender.keep(1.0)
        await until(lambda: len(receiver.times()) == 4)


async def test_what_retention_took_is_counted(receiver, sender):
    """The journal is the buffer, and it has an end. One was taken, but was not safe yet."""
    await sender.keep(HOUR, heard=False, received=HOUR)
    async with sender.sending():
        await until(lambda: sender.counted("pending_batches")["fake", "live"] == 0)
        await until(receiver.times)
    sender.receiver = type(sender.receiver)(
        name="fake", url="http://127.0.0.1:9/", window_seconds=6 * HOUR
    )
    for _ in range(4):
        await sender.keep(HOUR, heard=False, received=HOUR)
    async with sender.sending():
        await until(lambda: sender.counted("pending_batches")["fake", "backlog"] == 5)
        await sender.journal.remove(received_before=sender.now(), max_bytes=0)
        assert sender.counted("lost_batches") == {("fake",): 5.0}


def test_dead_letters_are_bounded(tmp_path):
    """The full file takes the place of the one before it."""
    file = remote_store.DeadLetterFile(tmp_path / "a.dead.jsonl", max_bytes=2_000)
    for number in range(100):
        letters = remote_store.dead_letters(
            {b"": [(number, 1.0)]}, at=0, lane="live", code=400, said=""
        )
        file.write(letters)
    kept = sorted(tmp_path.iterdir())
    assert [one.name for one in kept] == ["a.dead.jsonl", "a.dead.old.jsonl"]
    assert all(one.stat().st_size <= 2_000 for one in kept)
    assert kept[0].stat().st_mode & 0o777 == 0o600
    last = json.loads(kept[0].read_text().splitlines()[-1])
    assert last["samples"] == [[99, 1.0]]
