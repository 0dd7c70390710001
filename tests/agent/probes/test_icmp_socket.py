"""The ICMP engine: one socket for all targets of a line, and nothing left behind."""

import asyncio
import time
from contextlib import closing

import pytest

from agent.probes import echo
from agent.probes.base import Env, ProbeError, Recorder, Source
from agent.probes.icmp import Icmp
from agent.probes.icmp_message import Refusal, Reply
from agent.probes.icmp_socket import IcmpSocket
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.namespaces import without_net_raw
from tests.agent.probes.pings import FAST, engine, ping
from tests.lab.namespaces import ip, sysctl
from tests.waiting import until

pytestmark = pytest.mark.real


async def test_all_at_once(way, env):
    """On the one socket all share, each target gets its own fate and nobody else's error."""
    fates = {"10.7.2.2": None, "10.7.3.9": Failure.HOST_UNREACHABLE, "10.7.4.9": Failure.PROHIBITED}
    targets = list(fates) * 10
    recs = await asyncio.gather(*(ping(env, target, count=5) for target in targets))

    assert [(rec.failure, rec.values["icmp_loss_ratio"]) for rec in recs] == [
        (fates[target], 0 if fates[target] is None else 1) for target in targets
    ]
    assert list(env._kept) == ["icmp4"]


@pytest.mark.parametrize(
    ("version", "answers", "refuses"),
    [(4, "127.0.0.1", "10.7.3.9"), (6, "::1", "2001:db8:3::9")],
)
async def test_hears_only_its_own(way, version, answers, refuses):
    """The kernel keeps other programs' answers and errors away from a socket."""
    with (
        closing(IcmpSocket.open(version, None)) as one,
        closing(IcmpSocket.open(version, None)) as other,
    ):
        for address, kind in ((answers, Reply), (refuses, Refusal)):
            one.send(address, 7, bytes(16))
            [heard] = await until(lambda: list(one.receive()), what="an answer")
            assert isinstance(heard, kind)
            assert list(other.receive()) == []


async def test_short_wait_beside_a_long_one(site, env):
    """The one timer serves whichever burst is due first."""
    waiting = asyncio.create_task(ping(env, "10.7.5.9", wait_seconds=5.0))
    await until(lambda: env._kept and len(engine(env)._ledger) == 3, what="all sent")
    begun = time.monotonic()
    rec = await ping(env, "10.7.5.9", wait_seconds=0.1)

    assert rec.failure is Failure.TIMEOUT
    assert time.monotonic() - begun < 1
    waiting.cancel()


async def spin(until_done: asyncio.Task[Recorder], piece: float) -> int:
    """Keep the loop busy in pieces until a task is done; return how many there were."""
    pieces = 0
    while not until_done.done():
        end = time.perf_counter() + piece
        while time.perf_counter() < end:
            pass
        pieces += 1
        await asyncio.sleep(0)
    return pieces


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_busy_loop_does_not_show(way, env, address, monkeypatch):
    """The kernel stamps answers: a loop that is 50 ms late to read them measures the same."""
    await ping(env, address)  # the kernel begins to stamp a moment after the first socket asks
    task = asyncio.create_task(ping(env, address, count=3))
    assert await spin(task, 0.05) >= 3
    without = echo.round_trip
    monkeypatch.setattr(echo, "round_trip", lambda sent, now, stamp: without(sent, now, None))
    unstamped = asyncio.create_task(ping(env, address, count=3))
    await spin(unstamped, 0.05)

    assert (await task).values["icmp_duration_rtt_min_seconds"] < 0.005
    assert (await task).values["icmp_duration_rtt_max_seconds"] < 0.02
    assert (await unstamped).values["icmp_duration_rtt_min_seconds"] > 0.02


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_clock_that_is_set(site, env, monkeypatch, step):
    """A wall clock set by an hour while an answer is under way changes no round trip."""
    monkeypatch.setattr("icmplib.sockets.time", lambda: time.time() + step)
    rec = await ping(env, "127.0.0.1")

    assert rec.failure is None
    assert rec.values["icmp_duration_rtt_min_seconds"] > 0
    assert rec.values["icmp_duration_rtt_max_seconds"] < 0.05


async def test_cancelled(site, env):
    """A cancelled attempt leaves no burst, no echo, no timer; the engine goes on."""
    tasks = [asyncio.create_task(ping(env, "10.7.5.9")) for _ in range(5)]
    await until(lambda: env._kept and len(engine(env)._ledger) == 15, what="all sent")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (engine(env)._active, len(engine(env)._ledger)) == ({}, 0)
    assert engine(env)._timer is None
    assert (await ping(env, "127.0.0.1")).failure is None
    assert (engine(env)._active, len(engine(env)._ledger)) == ({}, 0)


async def test_closing_gives_the_socket_back(site):
    """The engines' sockets go with the environment."""
    env = Env(resolve=None)
    before = open_files()
    await ping(env, "127.0.0.1")
    await ping(env, "::1")
    assert open_files() == before + 2
    env.close()
    assert open_files() == before


async def test_over_its_line(way, env):
    """Each line has a socket of its own, bound to its address or interface."""
    by_address, by_interface = Source(address="10.7.1.2"), Source(interface="wan")
    for source in (by_address, by_interface, Source(address="10.7.1.2", interface="wan")):
        rec = await attempt(Icmp, env, "10.7.2.2", source=source, **FAST)
        assert rec.failure is None
    rec = await attempt(Icmp, env, "127.0.0.1", source=by_interface, **FAST)

    assert rec.failure is Failure.TIMEOUT  # nobody is 127.0.0.1 out there
    assert list(env._kept) == ["icmp4  10.7.1.2", "icmp4 wan ", "icmp4 wan 10.7.1.2"]


@pytest.mark.parametrize(
    ("target", "source", "message"),
    [
        (
            *("10.7.2.2", Source(address="192.0.2.1")),
            "cannot use line at 192.0.2.1: Cannot assign requested address",
        ),
        ("10.7.2.2", Source(interface="ppp9"), "cannot use line at ppp9: No such device"),
        (
            *("::1", Source(address="10.7.1.2")),
            "cannot use line at 10.7.1.2: Address family for hostname not supported",
        ),
    ],
)
async def test_line_that_is_not_here(way, env, target, source, message):
    """A line this machine does not have is our error, not the target's failure."""
    with pytest.raises(ProbeError) as caught:
        await attempt(Icmp, env, target, source=source, **FAST)

    assert str(caught.value) == message


@pytest.mark.parametrize("source", [Source(interface="usb0"), Source(address="10.7.7.1")])
async def test_line_that_comes_back(way, site, env, source):
    """A modem unplugged and plugged in again is a new interface: the next attempt finds it."""
    plug = "link add usb0 type veth peer name usb1\naddr add 10.7.7.1/24 dev usb0\nlink set usb0 up"
    name = source.interface or source.address
    for _ in range(2):
        ip(plug, site)
        rec = await attempt(Icmp, env, "10.7.7.1", source=source, **FAST)
        assert rec.failure in {None, Failure.TIMEOUT}  # bound to it, its own address is far
        ip("link del usb0", site)
        with pytest.raises(ProbeError, match=f"^cannot use line at {name}: "):
            await attempt(Icmp, env, "10.7.7.1", source=source, **FAST)


async def test_not_permitted(site, env):
    """Without either right the error says which two there are; granted later, it works."""
    sysctl("ipv4/ping_group_range", "1 0")
    with without_net_raw(), pytest.raises(ProbeError) as caught:
        await ping(env, "127.0.0.1")

    assert str(caught.value) == (
        "not permitted to send ICMP: let sysctl net.ipv4.ping_group_range include group 0, "
        "or give the agent CAP_NET_RAW"
    )
    sysctl("ipv4/ping_group_range", "0 0")
    with without_net_raw():
        assert (await ping(env, "127.0.0.1")).failure is None
