"""What is seen beside the path: gateway, resolvers, certificates, lines; in fixed words."""

import asyncio
import re

import dns.flags
import pytest

from agent import findings
from agent.probes.base import Source
from agent.wire import LineState
from tests.agent.probes.attempts import open_files
from tests.agent.probes.namespaces import inside, ip, sysctl, without_net_raw
from tests.agent.probes.resolvers import answer, odd
from tests.agent.probes.servers import serve, silent

ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
viettel	00000000	0102A8C0	0003	0	0	200	00000000	0	0	0
vnpt	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
vnpt	0001A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
viettel	0002A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
"""
ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         02:00:5e:00:53:01     *        vnpt
192.168.2.1      0x1         0x0         00:00:00:00:00:00     *        viettel
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, ("192.168.1.1", "vnpt")),
        (Source(interface="viettel"), ("192.168.2.1", "viettel")),
        (Source(address="192.168.2.77"), ("192.168.2.1", "viettel")),
        (Source(interface="4g"), None),
    ],
)
def test_each_line_has_its_gateway(source, expected):
    """The line's own default route; the one of the least metric where no line is chosen."""
    assert findings.default_gateway(ROUTES, source) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.1.1", "arp 02:00:5e:00:53:01"),
        ("192.168.2.1", "arp incomplete"),
        ("192.168.3.1", "arp unknown"),
    ],
)
def test_arp(address, expected):
    """Known with its address, asked for in vain, or never asked for."""
    assert findings.arp_state(ARP, address) == expected


@pytest.mark.real
async def test_a_gateway_that_lives(site):
    """Its round trip, and the address ARP knows."""
    said = await findings.gateway(None)

    assert re.fullmatch(r"10\.7\.1\.1 wan: answered in \d\.\d ms; arp [0-9a-f:]{17}", said)


@pytest.mark.real
async def test_a_gateway_that_is_gone(site, places):
    """Silence twice over: no answer to a ping, none to ARP."""
    ip("neigh flush dev wan\n", places.site)
    ip("link set lan arp off\n", places.router)
    try:
        said = await findings.gateway(None)
    finally:
        ip("link set lan arp on\n", places.router)

    assert said == "10.7.1.1 wan: no answer; arp incomplete"


@pytest.mark.real
async def test_a_gateway_nobody_may_ping(site):
    """What is not permitted here is said, and ARP is read all the same."""
    sysctl("ipv4/ping_group_range", "1 0")
    with without_net_raw():
        said = await findings.gateway(None)

    assert said.startswith("10.7.1.1 wan: no ping: not permitted to send ICMP: ")


@pytest.mark.real
async def test_no_gateway(places):
    """A PC without a default route says so."""
    with inside(places.site):
        assert await findings.gateway(Source(interface="lo")) == "no default route"


def lying(query: bytes) -> list[bytes]:
    """Answer with another address."""
    return [answer(query, "198.51.100.7")]


def nxdomain(query: bytes) -> list[bytes]:
    """Say that the name does not exist."""
    made = bytearray(answer(query))
    made[3] |= 3
    return [bytes(made)]


async def test_two_resolvers_side_by_side():
    """Each resolver's own answer stands in its own line, strangers' answers in none."""
    noisy = odd(lambda query: [b"\0\0junk", answer(query, "192.0.2.1", "192.0.2.2")])
    async with noisy as one, odd(lying) as two, odd(nxdomain) as three, odd(lambda _: []) as mute:
        servers = [("127.0.0.1", server.port) for server in (one, two, three, mute)]
        said = await findings.answers("portal.test", "A", servers, Source(interface="lo"))

    assert said.split("\n") == [
        "portal.test A",
        "127.0.0.1: 192.0.2.1, 192.0.2.2",
        "127.0.0.1: 198.51.100.7",
        "127.0.0.1: NXDOMAIN",
        "127.0.0.1: no answer",
    ]
    assert len(mute.asked) == 2


async def test_a_resolver_that_is_not_there():
    """A refusal, an answer cut short and an empty one have their words."""
    cut = dns.flags.TC
    async with (
        odd(lambda query: [answer(query, flags=cut)]) as short,
        odd(lambda query: [answer(query)]) as empty,
    ):
        servers = [("127.0.0.1", short.port), ("127.0.0.1", empty.port), ("127.0.0.1", 9)]
        said = await findings.answers("portal.test", "A", servers, None)

    assert said.split("\n")[1:] == [
        "127.0.0.1: malformed answer: cut short, as its flag TC says",
        "127.0.0.1: no such record",
        "127.0.0.1: refused: Connection refused",
    ]


@pytest.mark.real
async def test_the_chain_of_a_bad_certificate(nginx, env):
    """Whatever is wrong with it, its days, its names and its issuer are seen."""
    expired = await findings.certificates(env, "127.0.0.1", nginx.https["expired"], "p.test", None)
    chain = await findings.certificates(env, "::1", nginx.https["chain"], "p.test", None)

    date = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"{date} {date} CN=portal.test <- CN=Test CA", expired)
    assert [line.split(" ", 2)[2] for line in chain.split("\n")] == [
        "CN=portal.test <- CN=Test Intermediate",
        "CN=Test Intermediate <- CN=Test CA",
    ]


async def test_a_server_that_hangs_is_left(env, monkeypatch):
    """A handshake that never ends is cut off, its socket closed."""
    monkeypatch.setattr(findings, "TLS_SECONDS", 0.2)
    async with serve(silent) as port:
        files = open_files()
        with pytest.raises(TimeoutError):
            await findings.certificates(env, "127.0.0.1", port, "portal.test", None)
        await asyncio.sleep(0)
        assert open_files() <= files + 1  # the server's own side may not have noticed


def test_lines():
    """Which line goes, which does not and since when, and why."""
    states = {
        "vnpt": LineState(last_success_ms=98_000),
        "viettel": LineState(last_success_ms=65_500, failing="timeout"),
        "4g": LineState(failing="refused: Connection refused"),
    }

    assert findings.lines(states, 100_000).split("\n") == [
        "vnpt: ok, last push 2 s ago",
        "viettel: failing, last push 34 s ago: timeout",
        "4g: failing, last push never: refused: Connection refused",
    ]
    assert findings.lines({}, 100_000) == ""
