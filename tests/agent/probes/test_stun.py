"""A STUN server is asked for the mapped address: over real servers, NATs and bad lines."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.probes.base import Env, ProbeError, Recorder, Source, Target
from agent.probes.stun import Stun, StunParams
from agent.probes.stun_message import Attribute, Kind, Method, encode
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.namespaces import masquerade
from tests.agent.probes.resolvers import odd
from tests.agent.probes.tries import Tried
from tests.lab.servers.coturn import coturn, hanging
from tests.programs import free_port
from tests.waiting import until

ELSEWHERE = "203.0.113.7", 40000


def answer(
    request: bytes, mapped: tuple[str, int] = ELSEWHERE, attribute=Attribute.MAPPED_ADDRESS
) -> bytes:
    """Return a server's answer: from where it saw the request come."""
    value = b"\0\1" + mapped[1].to_bytes(2, "big") + socket.inet_aton(mapped[0])
    return encode(Method.BINDING, Kind.SUCCESS, request[8:20], ((attribute, value),))


def refusal(request: bytes, code: int, reason: str) -> bytes:
    """Return a server's error."""
    value = bytes([0, 0, code // 100, code % 100]) + reason.encode()
    return encode(Method.BINDING, Kind.ERROR, request[8:20], ((Attribute.ERROR_CODE, value),))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run one coturn for all tests, over both IP versions."""
    options = ("--listening-ip=::1",)
    with coturn(tmp_path_factory.mktemp("coturn"), options=options) as running:
        yield running


@pytest.mark.real
@pytest.mark.parametrize(("host", "version"), [("127.0.0.1", 4), ("[::1]", 6)])
async def test_real_server(env, server, host, version):
    """A real server says our own address and port; everything declared is there but the second's."""
    rec = await attempt(Stun, env, f"{host}:{server.port}")

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == ["resolve", "ask"]
    assert rec.facts["mapped"].rpartition(":")[0] == host
    rtt_seconds = rec.values.pop("stun_rtt_seconds")
    assert 0 < rtt_seconds <= rec.phases["ask"] < 1
    assert rec.values == {
        "ip_protocol": version,
        "stun_attempts": 1,
        "stun_mapped_port_preserved": 1,
    }
    assert rec.counts == {"stun_mapping_changes_total": 0}


@pytest.mark.real
async def test_hung(env, server):
    """A server that hangs is asked again on the RFC's timetable, until the check's own deadline."""
    with hanging(server):
        before, begun = open_files(), time.monotonic()
        rec = await attempt(Stun, env, f"127.0.0.1:{server.port}", seconds=1.6)
        passed = time.monotonic() - begun

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "ask"
    assert rec.values == {"ip_protocol": 4, "stun_attempts": 3}
    assert list(rec.phases) == ["resolve"]
    assert rec.counts == {}
    assert 1.5 < passed < 1.9
    assert open_files() == before


@pytest.mark.real
async def test_two_servers_one_address(env, server, tmp_path):
    """Without a NAT on the way two servers see the same port: mapping does not vary."""
    with coturn(tmp_path / "other", address="127.0.0.3") as other:
        second = f"127.0.0.3:{other.port}"
        rec = await attempt(Stun, env, f"127.0.0.1:{server.port}", second=second)

    assert rec.failure is None
    assert list(rec.phases) == ["resolve", "ask", "second"]
    assert rec.values["stun_mapping_varies"] == 0
    assert rec.facts["second"] == rec.facts["mapped"]


@pytest.mark.real
@pytest.mark.parametrize("how", ["", "fully-random"])
async def test_through_a_nat(env, places, site, tmp_path, how):
    """Through a real NAT the mapped address is the gateway's; one that varies ports is found out."""
    far = {"address": "10.7.2.2", "namespace": places.far}
    with (
        masquerade(places, how),
        coturn(tmp_path / "one", **far) as one,
        coturn(tmp_path / "two", **far) as two,
    ):
        second = f"10.7.2.2:{two.port}"
        rec = await attempt(Stun, env, f"10.7.2.2:{one.port}", second=second)

    assert rec.failure is None
    assert rec.facts["mapped"].startswith("10.7.2.1:")
    assert rec.facts["second"].startswith("10.7.2.1:")
    assert rec.values["stun_mapped_port_preserved"] == (how == "")
    assert rec.values["stun_mapping_varies"] == (how != "")


async def test_mapping_varies(env):
    """A NAT that gives each server another port (symmetric) is seen; the target is still up."""
    async with (
        odd(lambda asked: [answer(asked)]) as one,
        odd(lambda asked: [answer(asked, ("203.0.113.7", 40001))]) as two,
    ):
        second = f"localhost:{two.port}"
        rec = await attempt(Stun, env, f"127.0.0.1:{one.port}", second=second)

    assert rec.failure is None
    assert rec.values["stun_mapping_varies"] == 1
    assert rec.values["stun_mapped_port_preserved"] == 0
    assert (rec.facts["mapped"], rec.facts["second"]) == ("203.0.113.7:40000", "203.0.113.7:40001")
    assert one.asked == two.asked, "both were asked from one port"


@pytest.mark.parametrize(
    ("second", "fact"),
    [
        (lambda asked: [], "no answer"),
        (
            lambda asked: [refusal(asked, 420, "Unknown Attribute")],
            "the answer has no MAPPED-ADDRESS",
        ),
    ],
)
async def test_second_server_without_an_answer(env, second, fact):
    """What the second server does not say is absent, and no fault of the first."""
    async with odd(lambda asked: [answer(asked)]) as one, odd(second) as two:
        begun = time.monotonic()
        rec = await attempt(Stun, env, f"127.0.0.1:{one.port}", second=f"127.0.0.1:{two.port}")
        passed = time.monotonic() - begun

    assert (rec.failure, rec.current_phase) == (None, "")
    assert rec.facts["second"] == fact
    assert "stun_mapping_varies" not in rec.values
    assert rec.values["stun_attempts"] == 1
    assert passed < 2


async def test_second_server_that_is_not_there(env):
    """A refusal and an unknown name of the second server are facts too."""
    async with odd(lambda asked: [answer(asked)]) as one:
        target = f"127.0.0.1:{one.port}"
        refused = await attempt(Stun, env, target, second=f"127.0.0.1:{free_port()}")

        async def resolve(host, ip_version):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        unknown = await attempt(Stun, Env(resolve=resolve), target, second="nowhere.test:3478")

    assert (refused.failure, refused.facts["second"]) == (None, "Connection refused")
    assert unknown.failure is None
    assert unknown.facts["second"] == "Name or service not known"


async def test_answered_at_the_third_time(env):
    """Lost requests are repeated, with the same id; nobody knows which was answered: no RTT."""
    seen = []

    def act(asked):
        seen.append((time.monotonic(), asked))
        return [answer(asked)] if len(seen) == 3 else []

    async with odd(act) as server:
        rec = await attempt(Stun, env, f"127.0.0.1:{server.port}")

    assert rec.failure is None
    assert rec.values["stun_attempts"] == 3
    assert "stun_rtt_seconds" not in rec.values
    assert rec.phases["ask"] == pytest.approx(1.5, abs=0.2)
    (first, one), (second, two), (third, three) = seen
    assert one == two == three
    assert second - first == pytest.approx(0.5, abs=0.1)
    assert third - second == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
async def test_silent(env):
    """Four requests in vain end the attempt at 7.5 s, whatever longer deadline a check has."""
    times = []
    async with odd(lambda asked: times.append(time.monotonic()) or []) as server:
        begun = time.monotonic()
        rec = await attempt(Stun, env, f"127.0.0.1:{server.port}", seconds=20)
        passed = time.monotonic() - begun

    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "ask")
    assert [round(at - times[0], 1) for at in times] == pytest.approx([0, 0.5, 1.5, 3.5], abs=0.11)
    assert passed == pytest.approx(7.5, abs=0.3)
    assert rec.values["stun_attempts"] == 4


async def test_slow(env):
    """A slow answer within the first wait is timed as what it took."""
    async with odd(lambda asked: []) as server:

        async def late():
            await until(lambda: server.queries)
            await asyncio.sleep(0.2)
            server.transport.sendto(answer(server.queries[0]), server.asked[0])

        rec, _ = await asyncio.gather(attempt(Stun, env, f"127.0.0.1:{server.port}"), late())

    assert rec.values["stun_rtt_seconds"] == pytest.approx(0.2, abs=0.1)


async def test_not_from_whom_was_asked(env):
    """The right answer from another sender is not heard."""
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        async with odd(lambda asked: []) as server:

            async def intrude():
                await until(lambda: server.queries)
                stranger.sendto(answer(server.queries[0]), server.asked[0])

            target = f"127.0.0.1:{server.port}"
            rec, _ = await asyncio.gather(attempt(Stun, env, target, seconds=0.3), intrude())

    assert rec.failure is Failure.TIMEOUT
    assert "mapped" not in rec.facts


async def test_strays_are_passed_over(env):
    """Wrong id, wrong cookie, noise: waited past, until the right answer comes."""

    def act(asked):
        right = answer(asked)
        return [
            right[:8] + bytes(12) + right[20:],
            right[:4] + b"\x21\x12\xa4\x43" + right[8:],
            b"",
            b"noise",
            right,
        ]

    async with odd(act) as server:
        rec = await attempt(Stun, env, f"127.0.0.1:{server.port}")

    assert rec.failure is None
    assert rec.facts["mapped"] == "203.0.113.7:40000"


@pytest.mark.parametrize(
    ("act", "failure", "detail"),
    [
        (
            lambda asked: [b"noise"] * 64,
            Failure.MALFORMED,
            "64 messages came, none of them an answer",
        ),
        (
            lambda asked: [asked],
            Failure.MALFORMED,
            "found a message of type 0x0001, expected an answer",
        ),
        (
            lambda asked: [answer(asked)[:-4]],
            Failure.MALFORMED,
            "found 8 bytes after the header, expected 12",
        ),
        (
            lambda asked: [encode(Method.BINDING, Kind.SUCCESS, asked[8:20])],
            *(Failure.MALFORMED, "the answer has no MAPPED-ADDRESS"),
        ),
        (
            lambda asked: [encode(Method.BINDING, Kind.ERROR, asked[8:20])],
            *(Failure.MALFORMED, "the answer is an error without a code"),
        ),
        (
            lambda asked: [refusal(asked, 401, "Unauthorized")],
            *(Failure.STATUS, "401 Unauthorized"),
        ),
    ],
)
async def test_bad_answers(env, act, failure, detail):
    """A flood, an echo, a cut, an empty and a refusing answer: each is named, no address made up."""
    async with odd(act) as server:
        rec = await attempt(Stun, env, f"127.0.0.1:{server.port}")

    assert (rec.failure, rec.detail) == (failure, detail)
    assert rec.facts == {"address": "127.0.0.1"}
    assert "stun_mapped_port_preserved" not in rec.values
    assert rec.counts == {}


async def test_refused(env):
    """A port without a server is refused at once, over IPv4 and IPv6."""
    for host in ("127.0.0.1", "[::1]"):
        rec = await attempt(Stun, env, f"{host}:{free_port()}")

        assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
        assert rec.current_phase == "ask"
        assert rec.values["stun_attempts"] == 1


async def test_public_address_changes():
    """Another public address than at the attempt before is counted once; another port is none."""
    probe = Stun(StunParams(), Env(resolve=None))
    seen = iter(["203.0.113.7", "203.0.113.7", "203.0.113.8", "203.0.113.8"])
    counts = []
    async with odd(lambda asked: [answer(asked, (next(seen), 40000 + len(counts)))]) as server:
        for line in ("vnpt", "vnpt", "vnpt", "viettel"):
            rec = Recorder()
            await probe.run(Target(f"127.0.0.1:{server.port}", line), rec)
            counts.append(rec.counts["stun_mapping_changes_total"])

    assert counts == [0, 0, 1, 0]


async def test_over_its_line(env):
    """A target's line decides the address that the request comes from."""
    async with odd(lambda asked: [answer(asked)]) as server:
        target = f"127.0.0.1:{server.port}"
        await attempt(Stun, env, target, source=Source(address="127.0.0.2"))

        with pytest.raises(ProbeError) as caught:
            await attempt(Stun, env, target, source=Source(address="192.0.2.1"))

    assert [address for address, _ in server.asked] == ["127.0.0.2"]
    assert str(caught.value) == "cannot use line at 192.0.2.1: Cannot assign requested address"


async def test_cancelled(env):
    """Cancellation at any moment leaves no socket behind."""
    async with odd(lambda asked: []) as server:
        before = open_files()
        task = asyncio.create_task(attempt(Stun, env, f"127.0.0.1:{server.port}"))
        await until(lambda: server.queries)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert open_files() == before


def test_params():
    """A second server is another one, and one that can be asked."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"second": "stun.test"}, StunParams)

    assert str(caught.value) == (
        "second 'stun.test': expected host:port, or [address]:port for IPv6"
    )
    params = StunParams(second="stun.test:3478")
    assert Stun.refuse_target("stun.test:3478", params) == "expected another server than `second`"
    assert Stun.refuse_target("stun.test:3479", params) == ""
    assert Stun.refuse_target("stun.test", params).startswith("expected host:port")


@asynccontextmanager
async def tried(_):
    """Offer a server that answers, with a second one, and a port without any."""
    async with odd(lambda asked: [answer(asked)]) as one, odd(lambda asked: [answer(asked)]) as two:
        yield (
            Tried(f"127.0.0.1:{one.port}", {"second": f"127.0.0.1:{two.port}"}),
            Tried(f"127.0.0.1:{free_port()}", {}),
        )
