"""A live stream is looked at run by run: it goes on, stands still, ends, or comes too slowly."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.probes.base import Env, Recorder, Target
from agent.probes.hls import Hls, HlsParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, once, open_files
from tests.agent.probes.servers import serve, silent
from tests.agent.probes.tries import Tried
from tests.lab.servers.web import web
from tests.programs import free_port

SEGMENT_BYTES = 50_000
OF_PLAYLIST = ["resolve", "connect", "processing", "transfer"]


@dataclass
class Encoder:
    """Writes a live stream of 1 s segments into a folder that nginx serves."""

    folder: Path
    url: str
    newest: int = 102
    began_at: float = 0.0
    """Wall time at which segment 0 began; 0 leaves dates out."""

    def write(self, *, last_lines: str = "", window: int = 3) -> None:
        """Write the newest segments, then the playlist, as a whole."""
        first = self.newest - window + 1
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        if self.began_at:
            moment = datetime.fromtimestamp(self.began_at + first, UTC).isoformat()
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{moment}")
        for number in range(first, self.newest + 1):
            (self.folder / f"{number}.ts").write_bytes(b"\x47" * SEGMENT_BYTES)
            lines += ["#EXTINF:1.000,", f"{number}.ts"]
        self.publish("\n".join([*lines, last_lines, ""]).encode())

    def publish(self, body: bytes, name: str = "live.m3u8") -> None:
        """Put a file where the old one was, in one step."""
        (self.folder / "new").write_bytes(body)
        (self.folder / "new").rename(self.folder / name)

    def advance(self) -> None:
        """Add a segment."""
        self.newest += 1
        self.write()


class Viewer:
    """One check's probe, which remembers, and a clock that a test can put forward."""

    def __init__(self, env: Env, url: str, **params) -> None:
        self._ahead_ns = 0
        given = msgspec.convert(params, HlsParams)
        assert not Hls.refuse_target(url, given)
        env.monotonic_ns = lambda: time.monotonic_ns() + self._ahead_ns
        self._probe = Hls(given, env)
        self._url = url

    async def look(self, after: float = 0.0, *, line: str = "", seconds: float = 5.0) -> Recorder:
        """Run the probe some seconds later."""
        self._ahead_ns += int(after * 1e9)
        return await once(self._probe, Target(self._url, line), Recorder(), seconds=seconds)


@pytest.fixture(scope="module")
def nginx_port(tmp_path_factory):
    """Run an nginx for all streams."""
    with web(tmp_path_factory.mktemp("hls")) as port:
        yield port


@pytest.fixture
def encoder(tmp_path_factory, nginx_port, request):
    """Begin a stream of its own for a test."""
    www = tmp_path_factory.getbasetemp() / "hls0/www"
    folder = www / request.node.name.replace("[", "-").rstrip("]")
    folder.mkdir()
    begun = Encoder(folder, f"http://127.0.0.1:{nginx_port}/{folder.name}/live.m3u8")
    begun.write()
    return begun


@pytest.mark.real
async def test_first_look(env, encoder):
    """A first look downloads the newest segment and judges no progress."""
    before = open_files()
    rec = await Viewer(env, encoder.url).look()

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == [*OF_PLAYLIST, "segment"]
    assert rec.values.pop("hls_segment_speed_ratio") > 1
    assert rec.values == {
        "ip_protocol": 4,
        "hls_target_duration_seconds": 1,
        "hls_media_sequence": 102,
        "hls_discontinuities": 0,
        "hls_segment_bytes": SEGMENT_BYTES,
    }
    assert rec.counts == {"hls_resets_total": 0}
    assert open_files() == before


@pytest.mark.real
async def test_goes_on_and_stands_still(env, encoder):
    """New segments are progress; without one for 3 target durations the stream has stalled."""
    viewer = Viewer(env, encoder.url)
    await viewer.look()
    encoder.advance()
    rec = await viewer.look(2.0)
    assert rec.failure is None
    assert rec.values["hls_stalled_seconds"] == 0
    assert rec.values["hls_media_sequence"] == 103

    rec = await viewer.look(2.0)
    assert rec.failure is None
    assert 2.0 <= rec.values["hls_stalled_seconds"] < 2.5
    assert "hls_segment_bytes" in rec.values

    rec = await viewer.look(2.0)
    assert rec.failure is Failure.STALLED
    waited = rec.values["hls_stalled_seconds"]
    assert 4.0 <= waited < 4.5
    assert rec.detail == f"found no new segment for {waited:.1f} s, expected one every 1 s"
    assert "hls_segment_bytes" not in rec.values
    assert list(rec.phases) == OF_PLAYLIST

    encoder.advance()
    rec = await viewer.look(10.0)
    assert rec.failure is None
    assert rec.values["hls_stalled_seconds"] == 0


@pytest.mark.real
async def test_in_real_time(env, encoder):
    """With the real clock: a stream that is fed is up; frozen, it has stalled after 3 s."""
    probe = Hls(HlsParams(), env)

    async def look():
        return await once(probe, Target(encoder.url), Recorder())

    for _ in range(3):
        rec = await look()
        assert rec.failure is None
        await asyncio.sleep(0.2)
        encoder.advance()
    await look()
    frozen = time.monotonic()
    while (rec := await look()).failure is None:
        assert time.monotonic() - frozen < 5
        await asyncio.sleep(0.1)

    assert rec.failure is Failure.STALLED
    assert 2.9 < time.monotonic() - frozen < 3.6


@pytest.mark.real
async def test_each_line_has_its_own_memory(env, encoder):
    """What one line saw says nothing of the other."""
    viewer = Viewer(env, encoder.url)
    await viewer.look(line="vnpt")

    rec = await viewer.look(9.0, line="viettel")
    assert rec.failure is None
    assert "hls_stalled_seconds" not in rec.values
    assert (await viewer.look(line="vnpt")).failure is Failure.STALLED


@pytest.mark.real
async def test_ended(env, encoder):
    """A live channel must not end."""
    encoder.write(last_lines="#EXT-X-ENDLIST")
    rec = await Viewer(env, encoder.url).look()

    assert rec.failure is Failure.ENDED
    assert rec.detail == "found #EXT-X-ENDLIST, expected a live stream"
    assert "hls_segment_bytes" not in rec.values


@pytest.mark.real
async def test_numbering_begins_anew(env, encoder):
    """A restarted encoder is told and counted, and is no failure; one segment back is nothing."""
    viewer = Viewer(env, encoder.url)
    await viewer.look()
    encoder.newest = 101
    encoder.write()
    rec = await viewer.look(1.0)
    assert rec.counts == {"hls_resets_total": 0}
    assert rec.values["hls_stalled_seconds"] >= 1.0

    encoder.newest = 20
    encoder.write()
    rec = await viewer.look(1.0)
    assert rec.failure is None
    assert rec.counts == {"hls_resets_total": 1}
    assert rec.facts["reset"] == "segments went on from 102 with 20"
    assert rec.values["hls_stalled_seconds"] == 0


@pytest.mark.real
async def test_live_edge(env, encoder):
    """Where the playlist tells times, the age of the newest segment's end is told."""
    env.wall = lambda: 1_800_000_000.0
    encoder.began_at = 1_800_000_000.0 - 103 - 7.5
    encoder.write()
    rec = await Viewer(env, encoder.url).look()

    assert rec.values["hls_live_edge_age_seconds"] == pytest.approx(7.5, abs=1e-3)


@pytest.mark.real
@pytest.mark.parametrize(("variant", "chosen"), [("lowest", 200_000), ("highest", 2_000_000)])
async def test_master(env, encoder, variant, chosen):
    """Of a master playlist the variant that the check names is watched, wherever it lies."""
    encoder.publish(
        b'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="a,b",RESOLUTION=1280x720\nhd.m3u8\n'
        b"#EXT-X-STREAM-INF:BANDWIDTH=200000\n../" + encoder.folder.name.encode() + b"/sd.m3u8\n",
        "master.m3u8",
    )
    live = (encoder.folder / "live.m3u8").read_bytes()
    encoder.publish(live, "hd.m3u8" if variant == "highest" else "sd.m3u8")
    rec = await Viewer(env, encoder.url.replace("live", "master"), variant=variant).look()

    assert rec.failure is None
    assert rec.values["hls_variants"] == 2
    assert rec.values["hls_media_sequence"] == 102
    assert rec.facts["variant"].startswith(f"{chosen} bit/s")


@pytest.mark.real
async def test_master_of_masters(env, encoder):
    """A variant that is a master again is followed no further."""
    encoder.publish(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n")
    rec = await Viewer(env, encoder.url).look()

    assert rec.failure is Failure.MALFORMED
    path = f"/{encoder.folder.name}/live.m3u8"
    assert rec.detail == f"found variants at {path}, expected segments"


@pytest.mark.real
async def test_redirected(env, encoder):
    """A redirect is followed, and segments are looked for where it led."""
    rec = await Viewer(env, encoder.url.replace("/test_", "/moved/test_")).look()

    assert rec.failure is None
    assert rec.values["hls_segment_bytes"] == SEGMENT_BYTES


@pytest.mark.real
async def test_segment_is_missing(env, encoder):
    """A playlist whose newest segment is not there fails in phase segment."""
    (encoder.folder / "102.ts").unlink()
    rec = await Viewer(env, encoder.url).look()

    assert (rec.failure, rec.detail) == (Failure.HTTP_STATUS, "404 Not Found")
    assert rec.current_phase == "segment"
    assert rec.values["hls_media_sequence"] == 102
    assert "hls_segment_speed_ratio" not in rec.values


@pytest.mark.real
async def test_too_slow(env, encoder):
    """A line that is slower than the stream is known as soon as a viewer would stall, not later."""
    begun = time.monotonic()
    rec = await Viewer(env, encoder.url.replace("/test_", "/slow/test_")).look()

    assert rec.failure is Failure.TOO_SLOW
    assert rec.detail.endswith("expected 1 s of the stream")
    share = rec.values["hls_segment_bytes"] / SEGMENT_BYTES
    assert 0.5 * share < rec.values["hls_segment_speed_ratio"] < share < 1
    assert rec.values["hls_segment_bytes"] < SEGMENT_BYTES
    assert time.monotonic() - begun < 2


@pytest.mark.real
async def test_large_segment(env, encoder):
    """Of a segment over the bound so much is downloaded and judged."""
    (encoder.folder / "102.ts").write_bytes(bytes(4 << 20))
    rec = await Viewer(env, encoder.url, max_segment_bytes=100_000).look()

    assert rec.failure is None
    assert 100_000 <= rec.values["hls_segment_bytes"] < 1 << 20
    assert rec.values["hls_segment_speed_ratio"] > 1


@pytest.mark.real
async def test_part_of_a_file(env, encoder):
    """A segment that is a part of a file is asked for as such."""
    (encoder.folder / "all.ts").write_bytes(bytes(1000) + b"\x47" * 500)
    encoder.publish(
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n#EXT-X-BYTERANGE:500@1000\nall.ts\n"
    )
    rec = await Viewer(env, encoder.url).look()

    assert rec.failure is None
    assert rec.values["hls_segment_bytes"] == 500


@pytest.mark.real
async def test_no_segment_yet(env, encoder):
    """A channel that has not begun is watched, and stalls if it does not begin."""
    encoder.publish(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n")
    viewer = Viewer(env, encoder.url)
    rec = await viewer.look()
    assert rec.failure is None
    assert "hls_media_sequence" not in rec.values

    assert (await viewer.look(3.0)).failure is Failure.STALLED


@pytest.mark.real
async def test_playlist_is_too_large(env, encoder):
    """A playlist that never ends is read only so far."""
    encoder.publish(b"#EXTM3U\n" + b"#\n" * (1 << 19))
    rec = await Viewer(env, encoder.url).look()

    assert rec.failure is Failure.TOO_LARGE
    assert rec.detail == "the playlist is larger than 1048576 bytes"


@pytest.mark.real
async def test_playlist_is_missing(env, encoder):
    """A playlist that is not there is the server's answer, said as such."""
    rec = await Viewer(env, encoder.url + "x").look()

    assert (rec.failure, rec.detail) == (Failure.HTTP_STATUS, "404 Not Found")
    assert set(rec.values) == {"ip_protocol"}


def answering(answers, asked=None):
    """Return an act that answers each path with its bytes."""

    async def act(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head.decode())
        writer.write(answers[head.split(b" ")[1].decode()])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return act


def ok(body: bytes, *headers: str) -> bytes:
    """Return a response with a body of known length."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


LIVE = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ns.ts?token=x\n"
PAGE = b"\n<!DOCTYPE html><html>Login</html>"


@pytest.mark.parametrize(
    ("answers", "verdict", "phase"),
    [
        (
            {"/": ok(PAGE)},
            (Failure.MALFORMED, "found nothing, expected #EXTM3U"),
            "",
        ),
        (
            {"/": ok(LIVE), "/s.ts?token=x": ok(PAGE)},
            (Failure.MALFORMED, "found a page of HTML, expected a segment"),
            "segment",
        ),
        (
            {"/": ok(LIVE), "/s.ts?token=x": ok(b"")},
            (Failure.MALFORMED, "found no bytes, expected a segment"),
            "segment",
        ),
        (
            {"/": ok(LIVE), "/s.ts?token=x": ok(b"\x47" * 99)[:-1]},
            (Failure.CLOSED, "the connection was closed after 98 bytes of the body"),
            "segment",
        ),
        (
            {"/": ok(LIVE.replace(b"s.ts?", b"ftp://cdn.test/s.ts?"))},
            (
                Failure.MALFORMED,
                "found 'ftp://cdn.test/s.ts?token=x', expected http://host/… or https://host/…",
            ),
            "segment",
        ),
        (
            {
                "/": ok(LIVE.replace(b"s.ts?", b"#EXT-X-BYTERANGE:9@0\ns.ts?")),
                "/s.ts?token=x": ok(b"\x47" * 99),
            },
            (Failure.HTTP_STATUS, "200, expected 206 for a part of a file"),
            "segment",
        ),
        (
            {"/": b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"},
            (Failure.HTTP_REDIRECT, "redirected more than 5 times"),
            "",
        ),
        (
            {"/": b"HTTP/1.1 302 Found\r\nLocation: rtsp://cdn.test/\r\n\r\n"},
            (Failure.HTTP_REDIRECT, "to 'rtsp://cdn.test/', which is not HTTP"),
            "transfer",
        ),
    ],
)
async def test_bad_server(env, answers, verdict, phase):
    """Each lie has its word and its phase; nothing stays open, no speed is told."""
    before = open_files()
    async with serve(answering(answers)) as port:
        rec = await Viewer(env, f"http://127.0.0.1:{port}/").look()

    assert (rec.failure, rec.detail) == verdict
    assert rec.current_phase == phase
    assert "hls_segment_speed_ratio" not in rec.values
    assert open_files() == before


async def test_what_is_asked(env):
    """Playlist and segment are asked for once each, over connections that end with the answer."""
    asked = []
    answers = {"/": ok(LIVE, "Age: 7", "X-Cache: HIT"), "/s.ts?token=x": ok(b"\x47")}
    async with serve(answering(answers, asked)) as port:
        rec = await Viewer(env, f"http://127.0.0.1:{port}/").look()

    assert rec.failure is None
    assert [head.splitlines()[0] for head in asked] == [
        "GET / HTTP/1.1",
        "GET /s.ts?token=x HTTP/1.1",
    ]
    assert all("\r\nConnection: close\r\n" in head for head in asked)
    assert (rec.facts["age"], rec.facts["x_cache"]) == ("7", "HIT")


async def test_byte_order_mark(env):
    """What some players stumble over is told, and is no failure."""
    answers = {"/": ok(b"\xef\xbb\xbf" + LIVE), "/s.ts?token=x": ok(b"\x47")}
    async with serve(answering(answers)) as port:
        rec = await Viewer(env, f"http://127.0.0.1:{port}/").look()

    assert rec.failure is None
    assert rec.facts["playlist"] == "begins with a byte order mark, at which some players stop"


async def test_segment_of_an_untrusted_host(env, pki):
    """A segment's certificate is judged as the playlist's is."""
    segment = answering({"/s.ts": ok(b"\x47")})
    async with serve(segment, tls=pki.expired) as cdn:
        live = LIVE.replace(b"s.ts?token=x", f"https://127.0.0.1:{cdn}/s.ts".encode())
        async with serve(answering({"/": ok(live)})) as port:
            viewer = Viewer(env, f"http://127.0.0.1:{port}/", ca_file=str(pki.ca_file))
            rec = await viewer.look()

    assert (rec.failure, rec.detail) == (Failure.TLS_EXPIRED, "certificate has expired")
    assert rec.current_phase == "segment"


async def test_hung_and_dead(env):
    """A server that says nothing runs into the deadline; where none is, it is refused."""
    before = open_files()
    async with serve(silent) as port:
        rec = await attempt(Hls, env, f"http://127.0.0.1:{port}/", seconds=0.2)
    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "processing")

    rec = await attempt(Hls, env, f"http://127.0.0.1:{free_port()}/")
    assert (rec.failure, rec.current_phase) == (Failure.REFUSED, "connect")
    assert open_files() == before


def test_targets():
    """A target is the URL of a playlist."""
    assert not Hls.refuse_target("https://live.test/a.m3u8", HlsParams())
    expected = "expected http://host/… or https://host/…"
    assert Hls.refuse_target("live.test/a.m3u8", HlsParams()) == expected
    expected = "expected no user or password in the URL"
    assert Hls.refuse_target("https://a:b@live.test/", HlsParams()) == expected


@asynccontextmanager
async def tried(pki):
    """Offer a stream with a segment, and one that has ended."""
    variants = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlive\n"
    dated = LIVE.replace(b"#EXTINF", b"#EXT-X-PROGRAM-DATE-TIME:2026-07-01T00:00:00Z\n#EXTINF")
    answers = {
        "/": ok(variants),
        "/live": ok(dated),
        "/s.ts?token=x": ok(b"\x47"),
        "/ended": ok(LIVE + b"#EXT-X-ENDLIST\n"),
    }
    params = {"ca_file": str(pki.ca_file)}
    async with serve(answering(answers), tls=pki.good) as port:
        url = f"https://127.0.0.1:{port}/"
        yield Tried(url, params, looks=2), Tried(f"{url}ended", params)
