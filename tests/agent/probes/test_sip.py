"""SIP OPTIONS against peers that refuse, lie, flood, stall or hang up (test_sip_servers: real ones)."""

import asyncio
import socket
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.probes.sip import Sip, SipParams
from agent.probes.sip_message import T1_SECONDS
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.resolvers import odd
from tests.agent.probes.servers import break_off, saying, serve, silent
from tests.agent.probes.tries import Tried
from tests.programs import free_port


def answer(request: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return the right answer to a request."""
    lines = request.decode().split("\r\n")
    via, sender, to, call_id, cseq = (
        next(line for line in lines if line.startswith(name))
        for name in ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
    )
    echoed = (via, sender, f"{to};tag=1", call_id, cseq)
    return "\r\n".join(
        (f"SIP/2.0 {status}", *echoed, *headers, "Content-Length: 0", "", "")
    ).encode()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_refused(env, transport):
    """A port where nothing listens is refused, by TCP's answer or by ICMP's."""
    before = open_files()
    rec = await attempt(Sip, env, f"127.0.0.1:{free_port()}", transport=transport)

    assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
    assert rec.current_phase == ("request" if transport == "udp" else "connect")
    assert open_files() == before


async def test_strays_are_waited_past(env):
    """Keepalives, requests, answers to others and nonsense before the answer change nothing."""

    def act(request):
        other = answer(request).replace(b"z9hG4bK", b"z9hG4bKx")
        return [
            b"",
            b"\r\n\r\n",
            request,
            other,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            answer(request),
        ]

    async with odd(act) as peer:
        rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}")

    assert rec.failure is None
    assert rec.values["sip_attempts"] == 1
    assert "sip_rtt_seconds" in rec.values


async def test_wrong_sender(env):
    """The right words from another port are nobody's answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))

        def act(request):
            liar.sendto(answer(request), peer.asked[-1])
            return []

        async with odd(act) as peer:
            rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}", seconds=0.2)

    assert rec.failure is Failure.TIMEOUT


@pytest.mark.parametrize(
    ("said", "failure", "detail"),
    [
        (b"220 not SIP\r\n\r\n", Failure.MALFORMED, "found `220 not SIP`, expected a SIP message"),
        (b"\r\n\r\n", Failure.TIMEOUT, "TimeoutError"),
    ],
)
async def test_nothing_but_strays(env, said, failure, detail):
    """Who only talks nonsense is named for it when the time is up; who only pings was silent."""
    async with odd(lambda _: [said]) as peer:
        rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}", seconds=T1_SECONDS + 0.2)

    assert (rec.failure, rec.detail) == (failure, detail)
    assert rec.values == {"ip_protocol": 4, "sip_attempts": 2}


async def test_flood(env):
    """A peer that never stops talking does not hold the agent."""
    async with odd(lambda _: [b"x"] * 100) as peer:
        rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}")

    assert rec.failure is Failure.MALFORMED
    assert rec.detail == "64 messages came, none of them a final answer"


async def test_rewriting_router(env):
    """A router's SIP helper that leaves its own address in our headers is found out."""

    def act(request):
        return [answer(request).replace(b"UDP 127.0.0.1", b"UDP 203.0.113.7")]

    async with odd(act) as peer:
        rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}")

    assert rec.failure is None
    assert rec.values["sip_alg_detected"] == 1
    port = peer.asked[0][1]
    assert rec.facts["sip_alg"] == f"Via: found 203.0.113.7:{port}, expected 127.0.0.1:{port}"


async def test_moved_port(env):
    """A NAT that gives us another port is told: a bridge that sends to ours would not reach us."""

    def act(request):
        return [answer(request).replace(b";rport", b";received=203.0.113.7;rport=1024")]

    async with odd(act) as peer:
        rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}")

    assert rec.values["sip_mapped_port_preserved"] == 0
    assert rec.facts["mapped_address"] == "203.0.113.7"
    assert rec.facts["mapped_port"] == "1024"


async def test_repetitions_are_the_same_request(env):
    """What is sent again is what was sent: same branch, same number (RFC 3261 17.1.2)."""
    async with odd(lambda request: [answer(request)] if len(peer.queries) > 1 else []) as peer:
        rec = await attempt(Sip, env, f"127.0.0.1:{peer.port}", domain="mcu.phu-tho.example")

    assert rec.failure is None
    assert len(peer.queries) == 2
    assert len(set(peer.queries)) == 1
    assert peer.queries[0].startswith(b"OPTIONS sip:mcu.phu-tho.example SIP/2.0\r\n")


async def test_answer_in_pieces(env):
    """Over TCP an answer is read however it is cut, after pings and answers to others."""

    async def act(reader, writer):
        right = answer(await reader.readuntil(b"\r\n\r\n"))
        other = right.replace(b"z9hG4bK", b"z9hG4bKx")
        for piece in (b"\r", b"\n\r\n" + other[:50], other[50:] + right[:100], right[100:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    async with serve(act) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}", transport="tcp")

    assert rec.failure is None
    assert rec.values["sip_response_code"] == 200
    assert "sip_rtt_seconds" in rec.values


async def resets(reader, writer):
    """Break the connection instead of an answer."""
    await reader.readuntil(b"\r\n\r\n")
    break_off(writer)


@pytest.mark.parametrize(
    ("act", "failure", "detail"),
    [
        (saying(), Failure.CLOSED, "the connection was closed before the answer"),
        (
            saying(b"SIP/2.0 200 OK\r\nVia"),
            Failure.CLOSED,
            "the connection was closed before the answer",
        ),
        (resets, Failure.RESET, "Connection reset by peer"),
        (silent, Failure.TIMEOUT, "TimeoutError"),
        (
            saying(b"HTTP/1.1 400 Bad Request\r\n"),
            Failure.MALFORMED,
            "found `HTTP/1.1 400 Bad Request`, expected a SIP message",
        ),
    ],
)
async def test_bad_streams(env, act, failure, detail):
    """What does not answer over TCP fails in its own way, and nothing is left behind."""
    before = open_files()
    async with serve(act) as port:
        rec = await attempt(Sip, env, f"127.0.0.1:{port}", seconds=0.3, transport="tcp")

    assert (rec.failure, rec.detail) == (failure, detail)
    assert "sip_response_code" not in rec.values
    assert "sip_rtt_seconds" not in rec.values
    assert open_files() == before


async def test_bad_certificate(env, pki):
    """A bridge whose certificate has expired is refused for that, and the date is told."""
    async with serve(silent, tls=pki.expired) as port:
        rec = await attempt(
            Sip, env, f"127.0.0.1:{port}", transport="tls", ca_file=str(pki.ca_file)
        )

    assert rec.failure is Failure.TLS_EXPIRED
    assert rec.values["ssl_earliest_cert_expiry"] == pki.expired.earliest_expiry
    assert "sip_attempts" not in rec.values


async def test_cancelled(env):
    """An attempt that is called off ends at once and leaves no socket."""
    async with odd(lambda _: []) as peer:
        before = open_files()
        task = asyncio.create_task(attempt(Sip, env, f"127.0.0.1:{peer.port}"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_files() == before


def test_targets():
    """A target that is none is refused with what was expected of it."""
    assert not Sip.refuse_target("mcu.phu-tho.example:5060", SipParams())
    expected = "expected host:port, or [address]:port for IPv6"
    assert Sip.refuse_target("sip:mcu.phu-tho.example", SipParams()) == (
        "expected a port from 1 to 65535 after the host"
    )
    assert Sip.refuse_target("mcu.phu-tho.example", SipParams()) == expected


@pytest.mark.parametrize("name", ["server_name", "domain"])
def test_names_must_be_such(name):
    """Names that no server can have are refused when configured."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({name: "mcu@phu-tho.example"}, SipParams)

    assert str(caught.value) == (
        f"{name} 'mcu@phu-tho.example': expected a host name of letters, digits, '-' and '_'"
    )


@asynccontextmanager
async def tried(pki):
    """Offer a server over TLS that says where we come from, and one that is busy elsewhere."""

    async def busy(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(request, "503 Service Unavailable", "Retry-After: 5"))
        await reader.read()

    async def good(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        port = writer.get_extra_info("peername")[1]
        writer.write(answer(request).replace(b";rport", f";rport={port}".encode()))
        await reader.read()

    secure = {"transport": "tls", "ca_file": str(pki.ca_file)}
    async with serve(good, tls=pki.good) as well, serve(busy) as badly:
        yield (
            Tried(f"127.0.0.1:{well}", secure),
            Tried(f"127.0.0.1:{badly}", {"transport": "tcp"}),
        )
