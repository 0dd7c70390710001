"""Traces over the kernel's own routers, in namespaces of ours: where the way breaks is seen."""

import asyncio
import socket
from contextlib import closing, contextmanager, suppress

import pytest

from agent.aim import Aim
from agent.probes.base import ProbeError, Source
from agent.trace import Answers, trace
from agent.wire import Hop, Path, read_path, write_path
from tests.agent.probes.attempts import open_files
from tests.agent.probes.namespaces import inside, ip, sysctl, without_net_raw

pytestmark = pytest.mark.real
FAR, FAR6 = "10.7.2.2", "2001:db8:2::2"
NOWHERE = "10.9.9.99"
PORT, CLOSED = 8443, 9


@pytest.fixture
async def servers(places):
    """Run a TCP and a UDP server at the far end, on both IP versions."""
    loop = asyncio.get_running_loop()
    with inside(places.far):
        tcp = [
            socket.create_server((FAR, PORT), backlog=64),
            socket.create_server((FAR6, PORT), family=socket.AF_INET6, backlog=64),
        ]
        udp = [socket.socket(family, socket.SOCK_DGRAM) for family in (2, socket.AF_INET6)]
        for sock, address in zip(udp, (FAR, FAR6), strict=True):
            sock.bind((address, PORT))
            sock.setblocking(False)
            loop.add_reader(sock, _echo, sock)
    yield
    for sock in udp:
        loop.remove_reader(sock)
    for sock in (*tcp, *udp):
        sock.close()


def _echo(sock: socket.socket) -> None:
    data, sender = sock.recvfrom(2048)
    sock.sendto(data, sender)


def shape(path: Path) -> list[tuple[int, str, int, str]]:
    """Return a path without its times: distance, router, answers, word."""
    assert read_path(write_path(path)).protocol == path.protocol
    return [(hop.ttl, hop.router, len(hop.ms), hop.word) for hop in path.hops]


ROUTER = {FAR: "10.7.1.1", FAR6: "2001:db8:1::1"}


@pytest.mark.parametrize("address", [FAR, FAR6])
@pytest.mark.parametrize(
    ("aimed", "word"),
    [
        (("tcp", PORT), "answered"),
        (("tcp", CLOSED), "refused"),
        (("udp", PORT), "answered"),
        (("udp", CLOSED), "refused"),
        (("icmp", 0), "answered"),
    ],
)
async def test_a_whole_way(site, servers, address, aimed, word):
    """Each router and the target, twice each, without any right but an ordinary user's."""
    files = open_files()
    with without_net_raw():
        path = await trace(Aim(aimed[0], address, aimed[1]), address, None)

    assert shape(path) == [(1, ROUTER[address], 2, ""), (2, address, 2, word)]
    assert path.reached
    assert all(0 <= ms < 50 for hop in path.hops for ms in hop.ms)
    assert open_files() == files


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("10.7.3.9", "host_unreachable"),
        ("10.7.4.9", "prohibited"),
        ("2001:db8:3::9", "host_unreachable"),
        ("2001:db8:4::9", "prohibited"),
    ],
)
async def test_a_router_says_no(site, protocol, address, word):
    """The way ends at the router that refused, with its word."""
    path = await trace(Aim(protocol, address, PORT), address, None)
    router = "2001:db8:1::1" if ":" in address else "10.7.1.1"

    assert shape(path) == [(1, router, 2, ""), (2, router, 2, word)]
    assert not path.reached


async def kept_busy() -> None:
    """Begin TCP connections that go nowhere, 20 a second, as many failing checks do."""
    loop = asyncio.get_running_loop()
    while True:
        with closing(socket.socket()) as sock, suppress(OSError, TimeoutError):
            sock.setblocking(False)
            async with asyncio.timeout(0.05):
                await loop.sock_connect(sock, ("10.9.9.9", PORT))


@contextmanager
def limited_errors(namespace: str):
    """Give a router back what every Linux has: a limit on its errors for each PC."""
    with inside(namespace):
        sysctl("ipv4/icmp_ratelimit", "1000")
    try:
        yield
    finally:
        with inside(namespace):
            sysctl("ipv4/icmp_ratelimit", "0")


@pytest.mark.slow
async def test_a_gateway_that_counts_its_errors(site, places):
    """Its first word ends the trace at once; spent on other checks' packets, it has none for us.

    Linux takes each error for a packet without a route from one account twice (ip_error(),
    icmpv4_xrlim_allow()): it tells a PC nothing that asks more often than every 2 s.
    """
    aim = Aim("tcp", NOWHERE, PORT)
    ip("addr add 10.7.1.3/24 dev wan\n", site)  # the account of .2 was used by the tests before
    with limited_errors(places.router), no_way(places.router, "10.7.2.2"):
        path = await trace(aim, NOWHERE, Source("10.7.1.3"))
        busy = asyncio.create_task(kept_busy())
        await asyncio.sleep(1)
        among_others = await trace(aim, NOWHERE, None)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)

    assert shape(path) == [(1, "10.7.1.1", 2, "network_unreachable")]
    assert write_path(among_others).split("\n")[1:] == ["1-20 *"]


def test_a_word_for_any_packet_is_the_end():
    """Whichever packet was answered: the way ends at who said no, and no more are sent."""
    answers = Answers("10.7.1.2", sent=dict.fromkeys(range(1, 21), 2))
    answers.add(7, "10.7.1.1", 0.4, "network_unreachable")

    assert answers.end == 7
    assert answers.hops()[-1] == Hop(7, "10.7.1.1", (0.4,), 1, "network_unreachable")


@pytest.mark.slow
async def test_a_hole_in_the_way(site):
    """What is swallowed is silence from the hole on, known within 6 s, by any protocol at once."""
    async with asyncio.timeout(6):
        paths = await asyncio.gather(
            *(
                trace(Aim(protocol, "10.7.5.9", PORT), "10.7.5.9", None)
                for protocol in ("tcp", "udp", "icmp")
            )
        )

    assert [write_path(path).split("\n")[2:] for path in paths] == [["2-20 *"]] * 3
    assert {path.last.router for path in paths if path.last} == {"10.7.1.1"}


async def test_a_circle(site):
    """Packets that go in a circle show who sends them round."""
    path = await trace(Aim("tcp", "10.7.6.9", PORT), "10.7.6.9", None)

    assert len(path.hops) == 20
    assert {hop.router for hop in path.hops} == {"10.7.1.1", FAR}


async def test_a_gateway_that_is_gone(site):
    """Nobody answers ARP: the way ends in this PC, whatever is sent."""
    gone = "10.7.1.77"
    paths = await asyncio.gather(
        *(trace(Aim(protocol, gone, PORT), gone, None) for protocol in ("tcp", "udp", "icmp"))
    )

    assert [path.hops for path in paths] == [(Hop(0, "here", word="host_unreachable"),)] * 3


@contextmanager
def no_way(namespace: str, via: str = "10.7.1.1"):
    """Take the default route away for a while."""
    ip(f"route del default via {via}\n", namespace)
    try:
        yield
    finally:
        ip(f"route add default via {via}\n", namespace)


async def test_no_route(site):
    """Without a route the way ends in this PC, at once."""
    with no_way(site):
        path = await trace(Aim("tcp", FAR, PORT), FAR, None)

    assert path.hops == (Hop(0, "here", word="network_unreachable"),)


async def test_a_healthy_target_is_hardly_touched(site, servers, places):
    """A target two hops away sees no more than its own four packets, not forty."""
    with inside(places.far):
        counting = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        counting.setblocking(False)
    with closing(counting):
        await trace(Aim("tcp", FAR, PORT), FAR, None)
        seen = 0
        try:
            while packet := counting.recv(2048):
                header = packet[(packet[0] & 15) * 4 :]
                seen += (header[13] & 0x12) == 0x02 and header[2:4] == PORT.to_bytes(2, "big")
        except BlockingIOError:
            pass

    assert 2 <= seen <= 4


async def test_over_the_line(site, servers):
    """The trace leaves where the check does, or says that it cannot."""
    whole = await trace(Aim("tcp", FAR, PORT), FAR, Source("10.7.1.2", "wan"))

    assert whole.reached
    with pytest.raises(ProbeError, match=r"cannot use line at eth9"):
        await trace(Aim("tcp", FAR, PORT), FAR, Source(interface="eth9"))


async def test_without_permission(site):
    """Where nobody may ping an ICMP trace says so."""
    sysctl("ipv4/ping_group_range", "1 0")
    with without_net_raw(), pytest.raises(ProbeError, match="not permitted to send ICMP"):
        await trace(Aim("icmp", FAR), FAR, None)


async def test_cancelled(site):
    """A trace that is cancelled leaves nothing open."""
    files = open_files()
    task = asyncio.create_task(trace(Aim("tcp", "10.7.5.9", PORT), "10.7.5.9", None))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert open_files() == files
