"""A time server is asked, believed only if it answered us, and the PC's clock is held against it."""

import asyncio
import socket
import struct
import time
from contextlib import asynccontextmanager

import pytest

from agent.probes.base import Env, ProbeError, Source
from agent.probes.ntp import Ntp, NtpParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.resolvers import odd
from tests.agent.probes.tries import Tried
from tests.lab.servers.chrony import chrony
from tests.programs import free_port

NEAR = 0.005  # what a busy machine may make of an exchange with itself


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a chronyd that takes its own clock for right."""
    with chrony(tmp_path_factory.mktemp("chrony")) as port:
        yield port


def answer(
    query: bytes,
    *,
    ahead: float = 0.0,
    held: float = 0.0,
    flags: int = 0x24,
    stratum: int = 2,
    reference: bytes = bytes([192, 0, 2, 7]),
    **other,
) -> bytes:
    """Return a server's answer as RFC 5905 draws it; its clock is so much ahead of ours."""
    now = time.time() + ahead + 2_208_988_800
    stamps = [int(moment * 2**32) % 2**64 for moment in (now - held, now)]
    fields = {"origin": query[40:48], "received": stamps[0], "transmitted": stamps[1]} | other
    return struct.pack(
        "!BBBbII4s8s8sQQ",
        *(flags, stratum, 6, -20, 0x0001_8000, 0x0000_4000, reference, bytes(8)),
        *(fields["origin"], fields["received"], fields["transmitted"]),
    )


async def ask(env: Env, act, **kwargs):
    """Ask a server that does what a test says."""
    async with odd(act) as asked:
        return await attempt(Ntp, env, f"127.0.0.1:{asked.port}", **kwargs)


@pytest.mark.real
@pytest.mark.parametrize(("host", "version"), [("127.0.0.1", 4), ("::1", 6)])
async def test_real_server(tmp_path, host, version):
    """All that the probe declares is there; this machine's own clock is not off from itself."""
    env = Env(resolve=None)
    with chrony(tmp_path, host=host) as port:
        rec = await attempt(Ntp, env, f"[{host}]:{port}" if version == 6 else f"{host}:{port}")

    assert (rec.failure, rec.detail) == (None, "")
    assert rec.values.keys() == {value.name for value in Ntp.values}
    assert abs(rec.values["ntp_offset_seconds"]) < NEAR
    assert 0 < rec.values["ntp_rtt_seconds"] < NEAR
    assert rec.values["ntp_stratum"] == 10
    assert (rec.values["ntp_leap"], rec.values["ip_protocol"]) == (0, version)
    assert list(rec.phases) == ["resolve", "request"]
    assert rec.facts == {"address": host, "reference": "127.127.1.1"}
    assert env.health.clock_offset_seconds == rec.values["ntp_offset_seconds"]
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - env.health.clock_measured_at < 5


@pytest.mark.real
@pytest.mark.parametrize("behind", [3600.0, -0.25, 1.7e9])
async def test_wrong_clock(server, behind):
    """A PC's clock that is behind by hours, ahead by a little or in the seventies is found out."""
    env = Env(resolve=None, wall=lambda: time.time() - behind)
    rec = await attempt(Ntp, env, f"127.0.0.1:{server}")

    assert rec.failure is None
    assert rec.values["ntp_offset_seconds"] == pytest.approx(behind, abs=NEAR)
    assert rec.values["ntp_rtt_seconds"] < NEAR


@pytest.mark.real
async def test_unsynchronised_server(tmp_path):
    """A server that knows no time says so; nothing is measured by it, and nothing noted."""
    env = Env(resolve=None)
    with chrony(tmp_path, settings=()) as port:
        rec = await attempt(Ntp, env, f"127.0.0.1:{port}")

    assert (rec.failure, rec.detail) == (Failure.UNSYNCHRONISED, "leap 3, stratum 0")
    assert rec.values == {"ip_protocol": 4, "ntp_leap": 3, "ntp_stratum": 0}
    assert env.health.clock_offset_seconds is None


async def test_server_ahead(env):
    """Offset is the server's clock less ours; what the server took itself is no round trip."""

    def act(query):
        time.sleep(0.1)
        return [answer(query, ahead=90.0, held=0.1)]

    rec = await ask(env, act)

    assert rec.failure is None
    assert rec.values["ntp_offset_seconds"] == pytest.approx(90.0, abs=NEAR)
    assert rec.values["ntp_rtt_seconds"] < 2 * NEAR
    assert rec.values["ntp_root_delay_seconds"] == 1.5
    assert rec.values["ntp_root_dispersion_seconds"] == 0.25
    assert rec.facts["reference"] == "192.0.2.7"


async def test_busy_agent(env):
    """An answer that waits for a busy agent bears the time at which the kernel took it in."""

    def act(query):
        replies = [answer(query)]
        asyncio.get_running_loop().call_soon(time.sleep, 0.2)  # before the probe may read it
        return replies

    rec = await ask(env, act)
    rec = await ask(env, act)  # the machine's first stamped socket gets its stamps late

    assert rec.phases["request"] > 0.2
    assert rec.values["ntp_rtt_seconds"] < 0.1
    assert abs(rec.values["ntp_offset_seconds"]) < 0.05


async def test_tells_nothing_of_the_pc(env):
    """A request is a client's of version 4 and holds nothing but a new nonce."""
    async with odd(lambda query: [answer(query)]) as asked:
        for _ in range(2):
            await attempt(Ntp, env, f"127.0.0.1:{asked.port}")

    assert [query[:40] for query in asked.queries] == [b"\x23" + bytes(39)] * 2
    assert len({query[40:] for query in asked.queries} | {bytes(8)}) == 3


async def test_asks_once_more(env):
    """A lost datagram costs a second, not the attempt; the time of the second one is taken."""
    queries = []

    def act(query):
        queries.append(query)
        return [answer(query)] if len(queries) == 2 else []

    rec = await ask(env, act)

    assert rec.failure is None
    assert queries[0][40:] != queries[1][40:]
    assert 1.0 <= rec.phases["request"] < 1.5
    assert rec.values["ntp_rtt_seconds"] < 0.5


async def test_answer_to_the_first_after_the_second(env):
    """An answer that took longer than a second is held against the request it belongs to."""
    queries = []

    def act(query):
        queries.append(query)
        return [answer(queries[0], held=0.5)] if len(queries) == 2 else []

    rec = await ask(env, act)

    assert rec.failure is None
    assert rec.values["ntp_rtt_seconds"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("said", "failure", "detail", "measured"),
    [
        (
            {"flags": 0xE4, "stratum": 0, "reference": b"RATE"},
            *(Failure.STATUS, "kiss code RATE", {"ntp_leap": 3, "ntp_stratum": 0}),
        ),
        (
            {"stratum": 0, "reference": b"DENY"},
            *(Failure.STATUS, "kiss code DENY", {"ntp_leap": 0, "ntp_stratum": 0}),
        ),
        (
            {"flags": 0xE4, "stratum": 0, "reference": b"INIT"},
            *(Failure.UNSYNCHRONISED, "leap 3, stratum 0", {"ntp_leap": 3, "ntp_stratum": 0}),
        ),
        (
            {"flags": 0xE4},
            *(Failure.UNSYNCHRONISED, "leap 3, stratum 2", {"ntp_leap": 3, "ntp_stratum": 2}),
        ),
        (
            {"stratum": 16},
            *(Failure.UNSYNCHRONISED, "leap 0, stratum 16", {"ntp_leap": 0, "ntp_stratum": 16}),
        ),
        ({"flags": 0x25}, Failure.MALFORMED, "found mode 5, expected 4", {}),
        (
            {"transmitted": 0},
            *(Failure.MALFORMED, "a time stamp of the server's is missing", {}),
        ),
        (
            {"received": 0},
            *(Failure.MALFORMED, "a time stamp of the server's is missing", {}),
        ),
        (
            {"held": 5.0},
            *(Failure.MALFORMED, "the server's time stamps contradict the time it took", {}),
        ),
        (
            {"held": -5.0},
            *(Failure.MALFORMED, "the server's time stamps contradict the time it took", {}),
        ),
    ],
)
async def test_no_time_to_be_had(env, said, failure, detail, measured):
    """A server that refuses, has no time or makes no sense is told apart, and no offset is made up."""
    rec = await ask(env, lambda query: [answer(query, **said)])

    assert (rec.failure, rec.detail) == (failure, detail)
    assert rec.values == {"ip_protocol": 4, **measured}
    assert env.health.clock_offset_seconds is None


@pytest.mark.parametrize(
    "stray",
    [
        b"\0" * 47,
        b"\xff" * 1500,
        answer(bytes(48), origin=bytes(8)),
        answer(bytes(48), origin=b"tampered"),
    ],
    ids=["short", "noise", "no origin", "another's"],
)
async def test_strays(env, stray):
    """What echoes no request of ours is passed over: the wait goes on, and the answer counts."""
    rec = await ask(env, lambda query: [stray, answer(query)])
    lost = await ask(env, lambda query: [stray], seconds=0.1)

    assert rec.failure is None
    assert rec.facts["ignored"] == (
        f"a datagram of {min(len(stray), 1024)} bytes that echoes no request of ours"
    )
    assert lost.failure is Failure.TIMEOUT
    assert lost.values == {"ip_protocol": 4}


async def test_echo_service(env):
    """Our own request coming back is no answer: its origin is empty."""
    rec = await ask(env, lambda query: [query], seconds=0.1)

    assert rec.failure is Failure.TIMEOUT


async def test_another_sender(env):
    """The right answer from somewhere else is not even seen."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:

        class Elsewhere(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                other.sendto(answer(data), addr)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Elsewhere, ("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        rec = await attempt(Ntp, env, f"127.0.0.1:{port}", seconds=0.2)
        transport.close()

    assert rec.failure is Failure.TIMEOUT
    assert "ignored" not in rec.facts


async def test_flood(env):
    """A flood of strays ends the attempt, instead of holding the agent."""
    rec = await ask(env, lambda query: [b"x"] * 200)

    assert (rec.failure, rec.detail) == (
        Failure.MALFORMED,
        "64 datagrams came, none of them an answer",
    )


async def test_silent(env):
    """A server that does not answer runs into the deadline, and leaves no socket behind."""
    async with odd(lambda query: []) as asked:
        before = open_files()
        rec = await attempt(Ntp, env, f"127.0.0.1:{asked.port}", seconds=1.2)

        assert rec.failure is Failure.TIMEOUT
        assert rec.current_phase == "request"
        assert rec.values == {"ip_protocol": 4}
        assert list(rec.phases) == ["resolve"]
        assert open_files() == before
        assert len(asked.asked) == 2


async def test_refused(env):
    """A host without a time server says so."""
    rec = await attempt(Ntp, env, f"127.0.0.1:{free_port()}")

    assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
    assert rec.values == {"ip_protocol": 4}


async def test_over_its_line(env):
    """A target's line decides the address that the request comes from."""
    async with odd(lambda query: [answer(query)]) as asked:
        await attempt(Ntp, env, f"127.0.0.1:{asked.port}", source=Source(address="127.0.0.2"))
        with pytest.raises(ProbeError) as caught:
            await attempt(Ntp, env, f"127.0.0.1:{asked.port}", source=Source(address="192.0.2.1"))

    assert [host for host, _ in asked.asked] == ["127.0.0.2"]
    assert str(caught.value) == "cannot use line at 192.0.2.1: Cannot assign requested address"


@pytest.mark.parametrize(
    ("name", "ip_version", "expected"),
    [
        ("gio.test", 0, ""),
        ("gio.test:1123", 4, ""),
        ("192.0.2.1", 4, ""),
        ("2001:db8::1", 6, ""),
        ("[2001:db8::1]:123", 0, ""),
        ("192.0.2.1", 6, "expected a name or an IPv6 address, as ip_version says"),
        ("gio..test", 0, "expected a host name with labels of 1 to 63 characters"),
        (
            *("gio.test:ntp", 0),
            "expected a port from 1 to 65535 after the host; or an address or name alone",
        ),
    ],
)
def test_targets(name, ip_version, expected):
    """A target that is none is refused with what was expected of it."""
    assert Ntp.refuse_target(name, NtpParams(ip_version=ip_version)) == expected


@asynccontextmanager
async def tried(_):
    """Offer a server that knows the time, and one that says it does not."""
    async with (
        odd(lambda query: [answer(query)]) as good,
        odd(lambda query: [answer(query, flags=0xE4)]) as bad,
    ):
        yield Tried(f"127.0.0.1:{good.port}", {}), Tried(f"127.0.0.1:{bad.port}", {})
