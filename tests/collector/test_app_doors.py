"""Who may look at what, what slow and broken clients meet, and when the pages wait."""

import asyncio
import json
import shutil
import time
import zlib

import msgspec
import pytest

from collector.ingest.chain import verify
from tests.collector.ingest.pushes import BOOT, batch, body, push, sample, stamp, zipped
from tests.collector.served import AGENT, OTHER, served
from tests.waiting import until


@pytest.fixture
async def here(tmp_path):
    """Return a running collector."""
    async with served(tmp_path) as running:
        yield running


async def test_a_collector_that_lost_its_state_goes_on_above_what_it_gave_out(tmp_path):
    """Agents refuse a version that goes back: a new disk must not begin at 1."""
    began = int(time.time())
    async with served(tmp_path) as here:
        before = here.centre.told(AGENT)
    shutil.rmtree(tmp_path / "state")
    async with served(tmp_path) as here:
        assert here.centre.told(AGENT).version >= before.version >= began


async def test_the_pages_wait_until_everything_is_known_again(tmp_path, monkeypatch):
    """A page without the open incidents would resolve them: 503 until they are loaded."""
    release = asyncio.Event()

    async def slow(self, stopping):
        waits = [asyncio.create_task(event.wait()) for event in (release, stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    monkeypatch.setattr("collector.centre.Centre._replay", slow)
    async with served(tmp_path, loaded=False) as here:
        try:
            for path in ("/metrics", "/metrics/live", "/-/ready"):
                status, headers, answer = await here.get(path)
                assert (status, json.loads(answer)) == (
                    503,
                    {
                        "code": "busy",
                        "error": "what was known before the start is still being read",
                    },
                )
                assert headers["Retry-After"] == "1"
            assert (await here.get("/-/healthy"))[0] == 200
            await here.push(batch(1))
        finally:
            release.set()  # else the collector's end waits for it too
        await until(lambda: here.centre.loaded, what="loaded")
        pages = [(await here.get(p))[0] for p in ("/metrics", "/metrics/live", "/-/ready")]
        assert pages == [200] * 3


@pytest.mark.parametrize("path", ["/metrics", "/metrics/live"])
async def test_the_pages_are_what_prometheus_reads(here, path):
    """Content type with its version, gzip only where it is accepted, the same text in both."""
    await here.push(batch(1))
    status, headers, plain = await here.get(path, Accept_Encoding="identity")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "Content-Encoding" not in headers
    assert b'thongsuot_site_up{site="04792"} 1\n' in plain
    _, headers, packed = await here.get(path, Accept_Encoding="gzip, deflate")
    assert headers["Content-Encoding"] == "gzip"
    assert b'thongsuot_site_up{site="04792"} 1\n' in zlib.decompress(packed, 31)


async def test_a_collector_is_found_by_http_sd(here):
    """Prometheus' http_sd: the address it asked, and the province's label."""
    status, headers, answer = await here.get("/sd")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(answer) == [
        {"targets": [here.url.removeprefix("http://")], "labels": {"province": "mau"}}
    ]


async def test_without_a_host_there_is_no_target(here):
    """HTTP/1.0 needs no Host, but then nobody knows under which name we were found."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(here.url.rsplit(":", 1)[1]))
    writer.write(b"GET /sd HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert b" 400 " in answer.splitlines()[0]
    assert b"Host: is missing, it is the target" in answer
    writer.close()
    await writer.wait_closed()


async def test_what_is_not_there_is_refused_in_our_words(here):
    """An unknown path and a wrong method are told apart from a proxy's by their JSON."""
    status, _, answer = await here.get("/nothing")
    assert (status, json.loads(answer)) == (
        404,
        {"code": "not_found", "error": "no GET /nothing here"},
    )
    status, headers, answer = await here.get("/api/v1/batches")
    assert (status, json.loads(answer)["code"], headers["Allow"]) == (405, "not_found", "POST")


async def test_a_fault_of_ours_is_busy_and_never_a_traceback(here, monkeypatch, caplog):
    """Agents ask again; the traceback is in the log and nowhere else."""

    async def broken(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(here.centre, "receive", broken)
    status, headers, answer = await here.send(zipped(batch(1)))
    assert (status, headers["Retry-After"], json.loads(answer)) == (
        503,
        "1",
        {"code": "busy", "error": "something failed here; it was written down"},
    )
    assert "request failed method=POST path=/api/v1/batches" in caplog.text
    assert "secret detail" in caplog.text


GUARDED = {
    "/metrics": "scrape_from",
    "/metrics/live": "scrape_from",
    "/sd": "scrape_from",
    "/": "watch_from",
    "/live": "watch_from",
    "/incidents": "watch_from",
    "/-/healthy": "watch_from",
    "/nothing": "watch_from",
}


@pytest.mark.parametrize("path", ["/incidents", "/incidents/mau-250701-001"])
async def test_who_may_not_look_may_not_act(tmp_path, path):
    """The forms are behind the same door as the pages."""
    async with served(tmp_path, more="watch_from: [192.0.2.7]\n") as here:
        fields = {"act": "acknowledge", "name": "Hùng"}
        async with here.session.post(f"{here.url}{path}", data=fields) as answer:
            assert answer.status == 403
            assert (await answer.json(content_type=None))["code"] == "unauthorised"


@pytest.mark.parametrize("path", GUARDED)
async def test_only_listed_addresses_may_look(tmp_path, path):
    """Whoever is not in the list of a path is told which list that is."""
    more = "scrape_from: [192.0.2.0/24]\nwatch_from: ['2001:db8::1']\n"
    async with served(tmp_path, more=more) as here:
        status, _, answer = await here.get(path)
        assert (status, json.loads(answer)) == (
            403,
            {
                "code": "unauthorised",
                "error": f"127.0.0.1 is not in {GUARDED[path]} of collector.yml",
            },
        )
        await here.push(batch(1))


async def test_behind_a_proxy_the_visitors_own_address_counts(tmp_path):
    """Only what the proxy itself added is believed; a visitor it does not name may not look."""
    more = "proxies: [127.0.0.1]\nwatch_from: [192.0.2.7]\n"
    async with served(tmp_path, more=more) as here:
        for forwarded, expected in (
            ("192.0.2.7", 200),
            ("127.0.0.1, 192.0.2.7", 200),
            ("192.0.2.7, 192.0.2.8", 403),
            ("::ffff:192.0.2.7", 200),
            ("nonsense", 403),
        ):
            status, _, _ = await here.get("/", X_Forwarded_For=forwarded)
            assert status == expected, forwarded
        status, _, answer = await here.get("/")
        assert (status, json.loads(answer)["error"]) == (
            403,
            "an unknown address is not in watch_from of collector.yml",
        )
    async with served(tmp_path, more="watch_from: [192.0.2.7]\n") as here:
        assert (await here.get("/", X_Forwarded_For="192.0.2.7"))[0] == 403


async def test_where_an_agent_is_heard_from(tmp_path):
    """The address behind the proxy, as with visitors: that of the office's own line."""
    async with served(tmp_path, more="proxies: [127.0.0.1]\n") as here:
        headers = here.headers(X_Forwarded_For="10.1.2.3, 203.0.113.9")
        assert (await here.send(zipped(), headers=headers))[0] == 200
        assert here.centre.fleet.agents[AGENT].address == "203.0.113.9"
        assert (await here.send(zipped()))[0] == 200
        assert here.centre.fleet.agents[AGENT].address == ""


async def test_a_slow_sender_holds_no_socket_for_ever(tmp_path, monkeypatch):
    """Neither a head nor a body that never ends is waited for; others are served meanwhile."""
    monkeypatch.setattr("collector.app.HEADER_SECONDS", 0.5)
    monkeypatch.setattr("collector.app.BODY_SECONDS", 0.5)
    async with served(tmp_path) as here:
        port = int(here.url.rsplit(":", 1)[1])
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
        head, head_writer = await asyncio.open_connection("127.0.0.1", port)
        head_writer.write(b"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        slow, slow_writer = await asyncio.open_connection("127.0.0.1", port)
        slow_writer.write(
            b"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
            b"Authorization: Bearer " + here.token().encode() + b"\r\n\r\n{"
        )
        await here.push(batch(1))
        async with asyncio.timeout(5):
            assert await silent.read() == b""
            assert await head.read() == b""
            assert b" 408 " in await slow.readline()
        for writer in (silent_writer, head_writer, slow_writer):
            writer.close()
            await writer.wait_closed()


async def test_a_client_that_leaves_in_the_middle_harms_nobody(here, caplog):
    """Half a body and a closed connection: nothing is kept, nothing is logged as a fault."""
    port = int(here.url.rsplit(":", 1)[1])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
        b"Authorization: Bearer " + here.token().encode() + b"\r\n\r\n{"
    )
    await writer.drain()
    writer.transport.abort()
    await here.push(batch(1))
    assert await here.kept() == [(AGENT, 1)]
    assert "request failed" not in caplog.text


async def test_many_agents_at_once_are_all_kept(here):
    """Everything acknowledged under load is there, once, and the chain holds."""
    agents = [AGENT, OTHER, "07900-ttpv", "08209", "dc"]

    async def one(agent: str) -> None:
        for seq in range(1, 21):
            await here.push(batch(seq, agent=agent), agent=agent, boot=BOOT)

    await asyncio.gather(*(one(agent) for agent in agents))
    assert sorted(await here.kept()) == sorted(
        (agent, seq) for agent in agents for seq in range(1, 21)
    )
    assert verify(here.centre.journal.path).entries == 100


async def test_the_wall_is_served(here):
    """A browser gets the overview."""
    status, headers, page = await here.get("/", Accept_Encoding="identity")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "Tỉnh Mẫu" in page.decode()


async def test_an_unsure_clock_is_counted(here, monkeypatch):
    """Samples that nobody vouches for, and such as lie ahead, are kept, counted, not applied."""
    applied = []
    apply = here.centre.fleet.apply

    def noting(agent, sample, at, *, trusted, now):
        applied.append((sample.start.mono_ns // 10**9, trusted))
        apply(agent, sample, at, trusted=trusted, now=now)

    monkeypatch.setattr(here.centre.fleet, "apply", noting)
    ahead = sample(check="gateway", target="192.0.2.1", start=stamp(mono=9_999))
    now = sample(check="gateway", target="192.0.2.1", start=stamp(mono=999))
    old = batch(2, machine_boot="never", synchronised=False)
    await here.push(batch(1, samples=[ahead, now]), old)
    kept = await here.centre.journal.read(0, 10)
    assert [(one.trusted, one.quarantined) for one in kept] == [(True, [0]), (False, [])]
    assert applied == [(999, True), (1_000, False)]
    assert here.metric("thongsuot_ingest_quarantined_samples_total") == 1
    assert here.metric("thongsuot_ingest_untrusted_samples_total") == 1
    (series,) = [
        state
        for series, state in here.centre.fleet.series.items()
        if (series.agent, series.check) == (AGENT, "gateway")
    ]
    assert abs(series.at - (time.time() - 1)) < 2


def test_the_push_of_these_tests_is_one_that_agents_send():
    """The helpers make what the wire says."""
    assert msgspec.json.decode(body(batch(1)), type=type(push())) == push(batch(1))


async def test_http_that_is_none_is_refused(here):
    """Bytes that are no HTTP get a 400 and a closed connection."""
    port = int(here.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    async with asyncio.timeout(5):
        assert b" 400 " in (await reader.read()).splitlines()[0]
    writer.close()
    await writer.wait_closed()
