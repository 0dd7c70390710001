"""Whatever a server answers, the http probe says what is wrong with it, once and in time."""

import asyncio
import gzip
import socket
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.probes.base import Env
from agent.probes.http import Http
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import break_off, saying, serve

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = OK + b"Content-Encoding: gzip\r\n\r\n"


async def get(env, act, *, seconds=5.0, **params):
    """Probe a server of one act; it is met exactly once, and nothing of it stays open."""
    met = []

    async def counted(reader, writer):
        met.append(writer)
        await act(reader, writer)

    before = open_files()
    async with serve(counted) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/", seconds=seconds, **params)
    assert len(met) == 1
    assert open_files() == before
    return rec


@pytest.mark.parametrize(
    ("answer", "failure", "detail"),
    [
        (b"", Failure.CLOSED, "the connection was closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nServ", Failure.CLOSED, "the connection was closed inside the header"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Failure.MALFORMED, "Expected HTTP/"),
        (b"\x15\x03\x01\x00\x02\x02\x16", Failure.MALFORMED, "Expected HTTP/"),
        (b"HTTP/1.1 abc\r\n\r\n", Failure.MALFORMED, "Invalid status code"),
        (OK + b"Content-Length: -1\r\n\r\n", Failure.MALFORMED, "Content-Length"),
        (OK + b"Long: " + b"x" * 9000 + b"\r\n\r\n", Failure.MALFORMED, "Got more than 8190 bytes"),
        (OK + b"Some: x\r\n" * 200 + b"\r\n", Failure.MALFORMED, "Too many headers received"),
        (
            OK + b"Content-Length: 9\r\n\r\nabc",
            Failure.CLOSED,
            "the connection was closed after 3 bytes of the body",
        ),
        (CHUNKED + b"3\r\nabc\r\n", Failure.CLOSED, "the connection was closed after 3 bytes"),
        (
            CHUNKED + b"3\r\nabcdefgh\r\n0\r\n\r\n",
            Failure.MALFORMED,
            "Expected LF after chunk data",
        ),
        (CHUNKED + b"xyz\r\nabc\r\n", Failure.MALFORMED, "Invalid character in chunk size"),
        (ZIPPED + b"this is no gzip", Failure.MALFORMED, "Can not decode content-encoding: gzip"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", Failure.HTTP_STATUS, "101 Switching"),
        (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", Failure.HTTP_STATUS, "404"),
    ],
)
async def test_bad_answers(env, answer, failure, detail):
    """Each bad answer has its word, and a line for people that says where it went wrong."""
    rec = await get(env, saying(answer))

    assert rec.failure is failure
    assert detail in rec.detail
    assert "\n" not in rec.detail


@pytest.mark.parametrize(
    ("answer", "version", "length", "size"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 1.0, None, 10),
        (OK + b"Content-Length: 3\r\n\r\nabc", 1.1, 3, 3),
        (OK + b"content-length: 0\r\n\r\n", 1.1, 0, 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 1.1, None, 0),
        (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n", 1.1, None, 5),
        (CHUNKED + b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n", 1.1, None, 40_000),
        (ZIPPED + gzip.compress(b"x" * 300_000), 1.1, None, 300_000),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx",
            1.1,
            1,
            1,
        ),
    ],
)
async def test_good_answers(env, answer, version, length, size):
    """Each way to send a body is understood, and its length is told only where the header does."""
    rec = await get(env, saying(answer))

    assert rec.failure is None
    assert rec.values["http_version"] == version
    assert rec.values.get("http_content_length") == length
    assert rec.values["http_uncompressed_body_length"] == size
    assert list(rec.phases) == ["resolve", "connect", "processing", "transfer"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_what_follows_is_not_ours(env, method, pause):
    """Bytes behind a whole answer change nothing, in one packet with it or not."""
    parts = [OK + b"Content-Length: 3\r\n\r\n", b"abc", b"more"]
    if not pause:
        parts = [b"".join(parts)]
    rec = await get(env, saying(*parts, pause=pause), method=method)

    assert rec.failure is None
    assert rec.values["http_uncompressed_body_length"] == (3 if method == "GET" else 0)


async def test_status_of_a_broken_answer(env):
    """A good header is told although the body behind it, in the same packet, is broken."""
    rec = await get(env, saying(CHUNKED + b"xyz\r\n"))

    assert rec.failure is Failure.MALFORMED
    assert rec.values["http_status_code"] == 200


async def test_whole_is_enough(env):
    """A response that is whole ends the attempt, although the server leaves the connection open."""

    async def act(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 3\r\n\r\nabc")
        assert await reader.read() == b""

    rec = await get(env, act)

    assert rec.failure is None


async def test_slow_header(env):
    """The first byte ends `processing`; the rest of the header belongs to `transfer`."""
    answer = [OK[:4], OK[4:], b"Content-Length: 3\r\n\r\nabc"]
    rec = await get(env, saying(*answer, pause=0.05))

    assert rec.failure is None
    assert rec.phases["processing"] < 0.05 < rec.phases["transfer"]


@pytest.mark.parametrize(
    ("parts", "phase", "timed"),
    [
        ([], "processing", ["resolve", "connect"]),
        ([OK], "transfer", ["resolve", "connect", "processing"]),
        ([OK + b"Content-Length: 9\r\n\r\nabc"], "transfer", ["resolve", "connect", "processing"]),
    ],
)
async def test_server_that_stops_halfway(env, parts, phase, timed):
    """A deadline names the phase it struck in; what was known by then is kept."""

    async def act(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines(parts)
        await asyncio.Event().wait()

    rec = await get(env, act, seconds=0.1)

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == phase
    assert list(rec.phases) == timed
    assert rec.values.get("http_status_code") == (200 if b"Content" in b"".join(parts) else None)


@pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 9\r\n\r\nabc"])
async def test_reset(env, said):
    """A connection that breaks is a reset, wherever it does."""

    async def act(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        for _ in range(3):  # the probe, on this same loop, reads before the reset voids it
            await asyncio.sleep(0)
        break_off(writer)

    rec = await get(env, act)

    assert (rec.failure, rec.detail) == (Failure.RESET, "Connection reset by peer")


async def test_bomb(env):
    """A small answer that decodes to a large body is given up at the limit, in little memory."""
    bomb = ZIPPED + gzip.compress(bytes(100 << 20))
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        rec = await get(env, saying(bomb))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (rec.failure, rec.detail) == (Failure.TOO_LARGE, "the body is larger than 1048576 bytes")
    assert peak < 8 << 20
    assert "http_uncompressed_body_length" not in rec.values


@pytest.mark.parametrize(("size", "failure"), [(1000, None), (1001, Failure.TOO_LARGE)])
async def test_limit_is_exact(env, size, failure):
    """A body of just the limit is read; with one byte more it is too large, and left unread."""
    answer = OK + b"\r\n" + b"x" * size
    rec = await get(env, saying(answer), max_body_bytes=1000)

    assert rec.failure is failure


async def test_endless_body(env):
    """A body that does not end is read up to the limit and no further."""
    sent = 0

    async def act(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        while True:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
            sent += 0x10000

    rec = await get(env, act)

    assert rec.failure is Failure.TOO_LARGE
    assert sent < 16 << 20  # what fits into the kernel's buffers on both sides, beside 1 MiB read


ANSWERS = [
    OK + b"Content-Length: 5\r\nContent-Type: text/html; charset=utf-8\r\n\r\nhello",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    ZIPPED + gzip.compress(b"hello"),
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nhello",
]


@st.composite
def changed_answers(draw):
    """Draw an answer with bytes changed, taken out or put in."""
    answer = bytearray(draw(st.sampled_from(ANSWERS)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(answer) - 1))
        answer[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(answer)


@settings(max_examples=200)
@given(answer=changed_answers())
def test_no_answer_is_beyond_words(answer):
    """Whatever comes back, the attempt ends at once, and by one of the words there are."""

    async def resolve(_host, _ip_version):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async def probe():
        async with serve(saying(answer)) as port:
            name, env = f"http://127.0.0.1:{port}/", Env(resolve=resolve)
            return await attempt(Http, env, name, seconds=2, body_contains=["hello"])

    rec = asyncio.run(probe())

    assert rec.failure not in {Failure.UNKNOWN, Failure.TIMEOUT}
