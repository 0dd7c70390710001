"""A TURN server is asked for a relay address, which is given back: real servers and bad ones."""

import asyncio
import base64
import hmac
import os
import socket
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.probes.base import ProbeError, Source
from agent.probes.net import bound_socket
from agent.probes.stun_exchange import OverUdp
from agent.probes.stun_message import (
    Attribute,
    Credentials,
    Kind,
    Method,
    encode,
    long_term_key,
    make_request,
    read_message,
)
from agent.probes.turn import GIVE_BACK, RELAY_UDP, Turn, TurnParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.namespaces import masquerade
from tests.agent.probes.resolvers import odd
from tests.agent.probes.servers import break_off, serve, silent
from tests.agent.probes.tries import Tried
from tests.lab.servers.coturn import PASSWORD, REALM, USER, coturn, hanging
from tests.programs import free_port
from tests.waiting import until

NONCE = b"a-nonce"
KEY = long_term_key(USER, REALM.encode(), PASSWORD)
RELAYED = b"\0\1" + (49152 ^ 0x2112).to_bytes(2, "big") + b"\xe1\x12\xa6\x43"  # 192.0.2.1
WHO_ARE_YOU = ((Attribute.REALM, REALM.encode()), (Attribute.NONCE, NONCE))


class Relay:
    """A server of our own: asks who we are, grants and takes back, but for what a test changes."""

    def __init__(self, **changed):
        """Take what is answered otherwise to "challenge", "allocate" and "release"."""
        self._changed = changed
        self.asked: list[str] = []
        self.requests = []

    def __call__(self, data: bytes) -> list[bytes]:
        """Answer a request."""
        request = read_message(data)
        step = "release" if request.method == Method.REFRESH else "allocate"
        if not request.covered and "open" not in self._changed:
            step = "challenge"
        self.asked.append(step)
        self.requests.append(request)
        said = self._changed.get(step, RIGHT[step])
        said = said(self) if callable(said) else said
        if said is None:
            return []
        kind, attributes, key = said
        return [encode(request.method, kind, request.transaction, attributes, key)]


def error(code: int, reason: str, *more):
    """Return what a server says when it says no."""
    value = bytes([0, 0, code // 100, code % 100]) + reason.encode()
    return Kind.ERROR, ((Attribute.ERROR_CODE, value), *more), b""


ADDRESSES = ((Attribute.XOR_RELAYED_ADDRESS, RELAYED), (Attribute.XOR_MAPPED_ADDRESS, RELAYED))
RIGHT = {
    "challenge": error(401, "Unauthorized", *WHO_ARE_YOU),
    "allocate": (Kind.SUCCESS, ADDRESSES, KEY),
    "release": (Kind.SUCCESS, ((Attribute.LIFETIME, bytes(4)),), KEY),
}


@pytest.fixture
def known(tmp_path):
    """Return the parameters of a check that knows a user."""
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", "utf-8")
    return {"user": USER, "password_file": str(file)}


@pytest.fixture(scope="module")
def server(tmp_path_factory, pki):
    """Run one coturn for all tests."""
    with coturn(tmp_path_factory.mktemp("coturn"), shown=pki.good) as running:
        yield running


def reach(server, pki, transport):
    """Return the target and parameters to reach a coturn by."""
    if transport != "tls":
        return f"127.0.0.1:{server.port}", {"transport": transport}
    return f"127.0.0.1:{server.tls_port}", {"transport": "tls", "ca_file": str(pki.ca_file)}


PHASES = {
    "udp": ["resolve", "ask"],
    "tcp": ["resolve", "connect", "ask"],
    "tls": ["resolve", "connect", "tls", "ask"],
}


@pytest.mark.real
@pytest.mark.parametrize("transport", PHASES)
async def test_without_a_user(env, server, pki, transport):
    """That a real server asks who we are proves it and the way to it: success, level 1."""
    target, params = reach(server, pki, transport)
    rec = await attempt(Turn, env, target, **params)

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == PHASES[transport]
    assert 0 < rec.values["turn_rtt_seconds"] <= rec.phases["ask"] < 1
    assert rec.values["turn_level"] == 1
    assert ("ssl_earliest_cert_expiry" in rec.values) is (transport == "tls")
    assert "relayed" not in rec.facts


@pytest.mark.real
@pytest.mark.parametrize("transport", PHASES)
async def test_allocates(env, server, pki, known, transport):
    """A user is given a relay address; all that is declared is there."""
    target, params = reach(server, pki, transport)
    before = open_files()
    rec = await attempt(Turn, env, target, **params, **known)

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == [*PHASES[transport], "allocate", "release"]
    assert rec.values["turn_level"] == 2
    declared = {value.name for value in Turn.values}
    assert declared - rec.values.keys() <= {"ssl_earliest_cert_expiry"}
    for fact in ("relayed", "mapped"):
        assert rec.facts[fact].startswith("127.0.0.1:")
    assert rec.facts["relayed"] != rec.facts["mapped"]
    assert open_files() == before


@pytest.mark.real
async def test_gives_back(env, known, tmp_path):
    """One address at a time is all the user may have: taken it is refused, given back it is free.

    Coturn frees what was given back at its next second; what is not given back, after ten minutes.
    """
    with coturn(tmp_path / "coturn", options=("--user-quota=1",)) as server:
        target = f"127.0.0.1:{server.port}"
        async with held(server):
            refused = await attempt(Turn, env, target, **known)
        granted = [await until_granted(env, target, known) for _ in range(2)]

    assert (refused.failure, refused.detail) == (Failure.STATUS, "486 Allocation Quota Reached")
    assert refused.values["turn_level"] == 1
    assert list(refused.phases) == ["resolve", "ask", "allocate"]
    assert "relayed" not in refused.facts
    assert [rec.failure for rec in granted] == [None, None]


@asynccontextmanager
async def held(server):
    """Hold an address of a coturn as the user of the tests."""
    sock = bound_socket(socket.AF_INET, socket.SOCK_DGRAM, None)
    sock.connect((server.address, server.port))
    holder = OverUdp(sock)
    asked = await holder.ask(make_request(Method.ALLOCATE, os.urandom(12), RELAY_UDP))
    who = Credentials(USER, REALM.encode(), asked.attributes[Attribute.NONCE], KEY)
    answer = await holder.ask(make_request(Method.ALLOCATE, os.urandom(12), RELAY_UDP, who))
    assert answer.kind is Kind.SUCCESS
    yield
    answer = await holder.ask(make_request(Method.REFRESH, os.urandom(12), GIVE_BACK, who))
    assert answer.kind is Kind.SUCCESS
    holder.leave(None)


async def until_granted(env, target, known):
    """Ask again while the quota is reached; return the last attempt."""
    deadline = time.monotonic() + 5
    while (rec := await attempt(Turn, env, target, **known)).failure is Failure.STATUS:
        assert time.monotonic() < deadline, rec.detail
        await asyncio.sleep(0.1)
    return rec


@pytest.mark.real
async def test_wrong_password(env, server, known, tmp_path):
    """A wrong password is refused with the server's code; level 1 stands."""
    (tmp_path / "password").write_text("wrong", "utf-8")
    rec = await attempt(Turn, env, f"127.0.0.1:{server.port}", **known)

    assert (rec.failure, rec.detail) == (Failure.STATUS, "401 Unauthorized")
    assert rec.values["turn_level"] == 1


@pytest.mark.real
@pytest.mark.parametrize(
    ("hours", "fault"), [(1, (None, "")), (-1, (Failure.STATUS, "401 Unauthorized"))]
)
async def test_time_limited_user(env, tmp_path, hours, fault):
    """What a centre makes for a site (expiry:site) is let in until it expires."""
    user = f"{int(time.time()) + hours * 3600}:04792"
    file = tmp_path / "password"
    file.write_bytes(base64.b64encode(hmac.digest(b"shared", user.encode(), "sha1")))
    with coturn(tmp_path / "coturn", secret="shared") as server:
        target = f"127.0.0.1:{server.port}"
        rec = await attempt(Turn, env, target, user=user, password_file=str(file))

    assert (rec.failure, rec.detail) == fault


@pytest.mark.real
async def test_through_a_nat(env, places, site, tmp_path, known):
    """Behind a real NAT the server sees the gateway, and relays from its own address."""
    with (
        masquerade(places),
        coturn(tmp_path / "coturn", address="10.7.2.2", namespace=places.far) as server,
    ):
        rec = await attempt(Turn, env, f"10.7.2.2:{server.port}", **known)

    assert rec.failure is None
    assert rec.facts["mapped"].startswith("10.7.2.1:")
    assert rec.facts["relayed"].startswith("10.7.2.2:")


@pytest.mark.real
@pytest.mark.parametrize("transport", PHASES)
async def test_hung(env, server, pki, known, transport):
    """A server that hangs runs into the deadline; nothing is told that was not measured."""
    target, params = reach(server, pki, transport)
    before = open_files()
    with hanging(server):
        rec = await attempt(Turn, env, target, seconds=0.4, **params, **known)

    assert (rec.failure, rec.current_phase) == (
        *(Failure.TIMEOUT, "tls" if transport == "tls" else "ask"),
    )
    assert rec.values == {"ip_protocol": 4}
    assert open_files() == before


@pytest.mark.parametrize("transport", PHASES)
async def test_refused(env, transport):
    """A port without a server is refused at once."""
    rec = await attempt(Turn, env, f"127.0.0.1:{free_port()}", transport=transport)

    assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
    assert rec.current_phase == ("ask" if transport == "udp" else "connect")
    assert rec.values == {"ip_protocol": 4}


async def test_refused_certificate(env, nginx):
    """A certificate that this PC would not accept ends it, and says when that expires."""
    target = f"127.0.0.1:{nginx.https['untrusted']}"
    rec = await attempt(Turn, env, target, transport="tls")

    assert rec.failure is Failure.TLS_UNTRUSTED
    assert rec.values.keys() == {"ip_protocol", "ssl_earliest_cert_expiry"}


@pytest.mark.parametrize(
    ("changed", "fault", "asked"),
    [
        (
            {"challenge": error(403, "Forbidden")},
            (Failure.STATUS, "403 Forbidden"),
            ["challenge"],
        ),
        (
            {"challenge": error(401, "Unauthorized", WHO_ARE_YOU[0])},
            (Failure.MALFORMED, "the answer 401 has no REALM or no NONCE"),
            ["challenge"],
        ),
        (
            {"allocate": error(508, "Insufficient Capacity")},
            (Failure.STATUS, "508 Insufficient Capacity"),
            ["challenge", "allocate"],
        ),
        (
            {"allocate": error(438, "Stale Nonce", (Attribute.NONCE, b"new"))},
            (Failure.STATUS, "438 Stale Nonce"),
            ["challenge", "allocate", "allocate"],
        ),
        (
            {"allocate": (Kind.SUCCESS, ADDRESSES, b"")},
            (Failure.BAD_SIGNATURE, "the answer is not signed with our password"),
            ["challenge", "allocate", "release"],
        ),
        (
            {"allocate": (Kind.SUCCESS, ADDRESSES, b"another")},
            (Failure.BAD_SIGNATURE, "the answer is not signed with our password"),
            ["challenge", "allocate", "release"],
        ),
        (
            {"allocate": (Kind.SUCCESS, ADDRESSES[1:], KEY)},
            (Failure.MALFORMED, "the answer has no XOR-RELAYED-ADDRESS"),
            ["challenge", "allocate", "release"],
        ),
        (
            {"allocate": (Kind.INDICATION, (), KEY)},
            (Failure.MALFORMED, "found a message of type 0x0013, expected an answer"),
            ["challenge", "allocate", "release"],
        ),
        (
            {"release": error(437, "Allocation Mismatch")},
            (Failure.STATUS, "437 Allocation Mismatch"),
            ["challenge", "allocate", "release", "release"],
        ),
    ],
)
async def test_bad_answers(env, known, changed, fault, asked):
    """Each wrong answer is named, and what may be held for us is given back on the way out."""
    relay = Relay(**changed)
    async with odd(relay) as server:
        rec = await attempt(Turn, env, f"127.0.0.1:{server.port}", **known)
        await until(lambda: len(relay.asked) >= len(asked))

    assert (rec.failure, rec.detail) == fault
    assert relay.asked == asked
    assert rec.values.get("turn_level") == (
        2 if "release" in changed else None if "challenge" in changed else 1
    )


async def test_stale_nonce(env, known):
    """A nonce that has gone stale is replaced once by the server's new one."""
    stale = error(438, "Stale Nonce", (Attribute.NONCE, b"new"))
    relay = Relay(
        allocate=lambda self: stale if self.asked.count("allocate") == 1 else RIGHT["allocate"]
    )
    async with odd(relay) as server:
        rec = await attempt(Turn, env, f"127.0.0.1:{server.port}", **known)

    assert (rec.failure, rec.values["turn_level"]) == (None, 2)
    assert relay.asked == ["challenge", "allocate", "allocate", "release"]
    nonces = [request.attributes.get(Attribute.NONCE) for request in relay.requests]
    assert nonces == [None, NONCE, b"new", b"new"]
    assert all(request.signed_with(KEY) for request in relay.requests[1:])
    assert rec.facts["relayed"] == "192.0.2.1:49152"


async def test_open_relay(env):
    """A server that gives addresses to anybody is told as a fact; it gets its address back too."""
    relay = Relay(
        open=True, allocate=(Kind.SUCCESS, ADDRESSES, b""), release=(Kind.SUCCESS, (), b"")
    )
    async with odd(relay) as server:
        rec = await attempt(Turn, env, f"127.0.0.1:{server.port}")

    assert (rec.failure, rec.values["turn_level"]) == (None, 2)
    assert rec.facts["credentials"] == "not asked for"
    assert relay.asked == ["allocate", "release"]


async def test_cut_off_while_allocating(env, known):
    """Whether or not a late address was granted, it is given back when the deadline cuts in."""
    relay = Relay(allocate=None)
    async with odd(relay) as server:
        before = open_files()
        rec = await attempt(Turn, env, f"127.0.0.1:{server.port}", seconds=0.2, **known)
        await until(lambda: "release" in relay.asked)

        assert open_files() == before

    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "allocate")
    assert relay.asked == ["challenge", "allocate", "release"]
    released = relay.requests[-1]
    assert released.signed_with(KEY)
    assert released.attributes[Attribute.LIFETIME] == bytes(4)
    assert rec.values["turn_level"] == 1


async def test_repeated_over_udp(env):
    """A lost first request is repeated; its round trip is then not told."""
    relay = Relay(challenge=lambda self: None if len(self.asked) == 1 else RIGHT["challenge"])
    async with odd(relay) as server:
        rec = await attempt(Turn, env, f"127.0.0.1:{server.port}")

    assert rec.failure is None
    assert rec.phases["ask"] == pytest.approx(0.5, abs=0.2)
    assert "turn_rtt_seconds" not in rec.values


def streaming(relay: Relay, *, cut: int = 1, before: bytes = b""):
    """Return an act that serves a relay over a stream, `cut` bytes at a time."""

    async def act(reader, writer):
        while True:
            header = await reader.readexactly(20)
            body = await reader.readexactly(int.from_bytes(header[2:4], "big"))
            [said] = relay(header + body)
            said = before + said
            for at in range(0, len(said), cut):
                writer.write(said[at : at + cut])
                await writer.drain()

    return act


async def test_pieces(env, known):
    """On a stream messages come in any pieces, and others before the one that was asked for."""
    stray = encode(Method.ALLOCATE, Kind.SUCCESS, bytes(12))
    relay = Relay()
    async with serve(streaming(relay, cut=7, before=stray)) as port:
        rec = await attempt(Turn, env, f"127.0.0.1:{port}", transport="tcp", **known)

    assert (rec.failure, rec.values["turn_level"]) == (None, 2)
    assert relay.asked == ["challenge", "allocate", "release"]


async def ended(reader, writer):
    """Take a request and end the connection in the middle of an answer."""
    await reader.readexactly(28)
    writer.write(b"\1\x13\0\x08")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def reset(reader, writer):
    """Take a request and break the connection."""
    await reader.readexactly(28)
    break_off(writer)


async def web(reader, writer):
    """Answer as a web server does."""
    await reader.readexactly(28)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    await reader.read()


@pytest.mark.parametrize(
    ("act", "failure", "detail"),
    [
        (ended, Failure.CLOSED, "the server closed the connection before it had answered"),
        (reset, Failure.RESET, "Connection reset by peer"),
        (web, Failure.MALFORMED, "not a STUN message"),
        (silent, Failure.TIMEOUT, "TimeoutError"),
    ],
)
async def test_broken_streams(env, act, failure, detail):
    """Ended, broken, another protocol, silent: each has its word, and nothing stays open."""
    before = open_files()
    async with serve(act) as port:
        rec = await attempt(Turn, env, f"127.0.0.1:{port}", seconds=0.3, transport="tcp")
    await until(lambda: open_files() == before)

    assert (rec.failure, rec.detail) == (failure, detail)
    assert rec.current_phase == "ask"
    assert rec.values == {"ip_protocol": 4}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_over_its_line(env, transport):
    """A target's line decides the address that the request comes from."""
    relay, seen = Relay(), []

    async def act(reader, writer):
        seen.append(writer.get_extra_info("peername"))
        await streaming(relay)(reader, writer)

    async with odd(relay) as server, serve(act) as port:
        target = f"127.0.0.1:{server.port if transport == 'udp' else port}"
        source = Source(address="127.0.0.2")
        await attempt(Turn, env, target, source=source, transport=transport)

    assert [address for address, _ in seen + server.asked] == ["127.0.0.2"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "cannot be read: not UTF-8"),
        (b"\n", "expected a password, found nothing"),
    ],
)
async def test_password_file(env, tmp_path, content, expected):
    """A password that cannot be read is our error, not the server's; nobody is bothered."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    relay = Relay()
    async with odd(relay) as server:
        with pytest.raises(ProbeError) as caught:
            await attempt(Turn, env, f"127.0.0.1:{server.port}", user=USER, password_file=str(file))

    assert str(caught.value) == f"password_file {file}: {expected}"
    assert relay.asked == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"user": "commune"}, "expected both user and password_file, or neither"),
        ({"password_file": "password"}, "expected both user and password_file, or neither"),
        (
            {"server_name": "a b"},
            "server_name 'a b': expected a host name of letters, digits, '-' and '_'",
        ),
        ({"password": "secret"}, "Object contains unknown field `password`"),
    ],
)
def test_params(params, expected):
    """What could never be asked is refused; a password has no place in a configuration."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(params, TurnParams)

    assert str(caught.value) == expected


def test_targets():
    """A target is a host and a port."""
    assert Turn.refuse_target("turn.test:3478", TurnParams()) == ""
    assert Turn.refuse_target("turn.test", TurnParams()).startswith("expected host:port")


@asynccontextmanager
async def tried(pki):
    """Offer a relay behind a good certificate, and a port without any."""
    async with serve(streaming(Relay(), cut=500), tls=pki.good) as port:
        user = {"user": USER, "password_file": str(pki.ca_file.with_name("password"))}
        pki.ca_file.with_name("password").write_text(PASSWORD, "utf-8")
        params = {"transport": "tls", "ca_file": str(pki.ca_file), **user}
        yield Tried(f"127.0.0.1:{port}", params), Tried(f"127.0.0.1:{free_port()}", {})
