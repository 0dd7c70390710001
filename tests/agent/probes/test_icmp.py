"""Pings over the kernel's own ICMP, in namespaces of ours: what comes back, and what that means."""

import socket
import time
from contextlib import asynccontextmanager, closing

import pytest

from agent.probes.base import Env, Recorder, Target
from agent.probes.icmp import Icmp, IcmpParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt
from tests.agent.probes.namespaces import Responder
from tests.agent.probes.pings import engine, ping
from tests.agent.probes.tries import Tried
from tests.lab.namespaces import ip, nft
from tests.programs import root
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.mark.parametrize(("address", "version"), [("127.0.0.1", 4), ("::1", 6)])
async def test_answered(way, env, address, version):
    """All that the probe declares is there, in seconds, over either kind of socket."""
    rec = await ping(env, address)

    assert (rec.failure, rec.detail) == (None, "")
    assert engine(env, f"icmp{version}").open().raw is (way == "raw")
    assert list(rec.phases) == ["resolve", "setup", "rtt"]
    declared = {value.name for value in Icmp.values if not value.counter}
    assert rec.values.keys() == declared
    assert {value.name for value in Icmp.values if value.counter} == rec.counts.keys()
    assert rec.counts["icmp_packets_sent_total"] == rec.counts["icmp_packets_received_total"] == 3
    assert rec.counts["icmp_packets_duplicate_total"] == rec.counts["icmp_packets_late_total"] == 0
    assert rec.values["icmp_loss_ratio"] == 0
    assert rec.values["icmp_reply_hop_limit"] == 64
    assert rec.values["ip_protocol"] == version
    least, mean, most = (
        rec.values[f"icmp_duration_rtt_{name}_seconds"] for name in ("min", "avg", "max")
    )
    assert 0 < least <= mean <= most < 0.05
    assert rec.phases["rtt"] == mean
    assert rec.facts == {"address": address}


@pytest.mark.parametrize(
    ("target", "failure", "detail"),
    [
        ("10.7.3.9", Failure.HOST_UNREACHABLE, "10.7.1.1: Destination host unreachable"),
        ("10.7.4.9", Failure.PROHIBITED, "10.7.1.1: Packet filtered"),
        ("10.7.5.9", Failure.TIMEOUT, "no answer to 3 echoes"),
        ("10.7.6.9", Failure.TTL_EXCEEDED, "10.7.2.2: Time to live exceeded"),
        ("2001:db8:3::9", Failure.HOST_UNREACHABLE, "2001:db8:1::1: Address unreachable"),
        (
            *("2001:db8:4::9", Failure.PROHIBITED),
            "2001:db8:1::1: Communication with destination administratively prohibited",
        ),
        ("2001:db8:5::9", Failure.TIMEOUT, "no answer to 3 echoes"),
        ("2001:db8:6::9", Failure.TTL_EXCEEDED, "2001:db8:2::2: Hop limit exceeded"),
    ],
)
async def test_not_answered(way, env, target, failure, detail):
    """What routers say of a target is told; no time is made up."""
    rec = await ping(env, target)

    assert (rec.failure, rec.detail) == (failure, detail)
    assert list(rec.phases) == ["resolve", "setup"]
    assert rec.values == {"ip_protocol": 6 if ":" in target else 4, "icmp_loss_ratio": 1}
    assert rec.counts["icmp_packets_sent_total"] == 3
    assert rec.counts["icmp_packets_received_total"] == 0


async def test_hop_limit(way, env):
    """The hop limit is what is left after the routers on the way."""
    rec = await ping(env, "10.7.2.2")

    assert rec.values["icmp_reply_hop_limit"] == 63


async def test_no_route(site, env):
    """Without a route the attempt fails at once, as what it is."""
    ip("route del default", site)
    try:
        rec = await ping(env, "10.9.9.9")
    finally:
        ip("route add default via 10.7.1.1", site)

    assert (rec.failure, rec.detail) == (Failure.NETWORK_UNREACHABLE, "Network is unreachable")
    assert "icmp_loss_ratio" not in rec.values


@pytest.mark.parametrize(
    ("max_loss_ratio", "fault"),
    [
        (1.0, (None, "")),
        (1 / 3, (None, "")),
        (0.33, (Failure.LOSS, "1 of 3 echoes lost, 33% allowed")),
        (0.0, (Failure.LOSS, "1 of 3 echoes lost, 0% allowed")),
    ],
)
async def test_some_lost(places, way, env, max_loss_ratio, fault):
    """A filter that takes each third packet: counted exactly, and judged as the check says."""
    nft(
        "table ip lossy {\n chain c {\n type filter hook forward priority 0\n"
        " icmp type echo-request numgen inc mod 3 == 1 drop\n }\n}\n",
        places.router,
    )
    try:
        rec = await ping(env, "10.7.2.2", max_loss_ratio=max_loss_ratio)
    finally:
        nft("delete table ip lossy\n", places.router)

    assert (rec.failure, rec.detail) == fault
    assert rec.values["icmp_loss_ratio"] == pytest.approx(1 / 3)
    assert rec.counts["icmp_packets_received_total"] == 2
    assert "icmp_duration_rtt_stddev_seconds" in rec.values


async def test_single_answer(site, env):
    """One round trip has neither deviation nor jitter: they are absent, not 0."""
    rec = await ping(env, "127.0.0.1", count=1)

    assert rec.failure is None
    assert rec.values["icmp_duration_rtt_max_seconds"] == rec.phases["rtt"]
    assert not {"icmp_duration_rtt_stddev_seconds", "icmp_jitter_seconds"} & rec.values.keys()


async def test_jitter_is_of_neighbours(places, site, env):
    """Jitter is the mean change from one echo to the next, not over a gap."""
    delays = [0.0, 0.05, None, 0.1]
    answers = [[(delay, b"")] if delay is not None else [] for delay in delays]
    with closing(Responder(places.far, lambda n, data: [(delay, data) for delay, _ in answers[n]])):
        rec = await ping(env, "10.7.2.2", count=4, spacing_seconds=0.02)

    assert rec.values["icmp_loss_ratio"] == 0.25
    assert rec.values["icmp_jitter_seconds"] == pytest.approx(0.05, abs=0.02)
    assert rec.values["icmp_duration_rtt_stddev_seconds"] == pytest.approx(0.041, abs=0.015)
    assert rec.values["icmp_duration_rtt_max_seconds"] == pytest.approx(0.1, abs=0.03)


async def test_changed_data(places, site, env):
    """A path that changes the data is broken: the failure says so instead of `timeout`."""
    with closing(Responder(places.far, lambda n, data: [(0, data[:-1] + b"\0")])):
        rec = await ping(env, "10.7.2.2")

    assert (rec.failure, rec.detail) == (Failure.MALFORMED, "the data came back changed")
    assert rec.values["icmp_loss_ratio"] == 1


async def test_doubled_and_late(places, way, env):
    """Doubles are no answers, and an answer after the end is told to the next attempt."""
    acts = [[0.0, 0.0], [0.45], [0.0]]
    with closing(Responder(places.far, lambda n, data: [(d, data) for d in acts[n]])):
        first = await ping(env, "10.7.2.2", count=2, wait_seconds=0.2)
        await until(lambda: engine(env)._ledger._late, what="the late answer")
        second = await ping(env, "10.7.2.2", count=1)

    names = [f"icmp_packets_{name}_total" for name in ("sent", "received", "duplicate", "late")]
    assert [first.counts[name] for name in names] == [2, 1, 1, 0]
    assert [second.counts[name] for name in names] == [1, 1, 0, 1]


async def test_deadline_keeps_what_came(places, site, env):
    """When the runner's deadline cuts in, what came back until then is reported."""
    with closing(Responder(places.far, lambda n, data: [(0, data)] if n else [])):
        rec = await ping(env, "10.7.2.2", seconds=0.3, wait_seconds=5.0)

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "rtt"
    assert rec.counts["icmp_packets_sent_total"] == 3
    assert rec.counts["icmp_packets_received_total"] == 2
    assert rec.values["icmp_loss_ratio"] == pytest.approx(1 / 3)
    assert 0 < rec.phases["rtt"] < 0.3


async def test_unknown_name():
    """A name without an address is a failure of resolving; nothing is counted as sent."""

    async def resolve(host, ip_version):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    rec = await attempt(Icmp, Env(resolve=resolve), "nowhere.test")

    assert (rec.failure, rec.detail) == (Failure.RESOLVE_FAILED, "Name or service not known")
    assert (rec.phases, rec.values, rec.counts) == ({}, {}, {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateway.test", ""),
        ("192.0.2.1", ""),
        ("fe80::1%eth0", ""),
        ("192.0.2.1:80", "expected a host name of letters, digits, '-' and '_'"),
    ],
)
def test_targets(name, expected):
    """A target is a host alone."""
    assert Icmp.refuse_target(name, IcmpParams()) == expected


async def test_lasts_no_longer_than_needed(site, env):
    """The wait ends with the last answer; without any, with the wait."""
    begun = time.monotonic()
    await Icmp(IcmpParams(count=2, spacing_seconds=0.05), env).run(Target("127.0.0.1"), Recorder())
    assert 0.045 < time.monotonic() - begun < 0.8

    begun = time.monotonic()
    await ping(env, "10.7.5.9", count=2, spacing_seconds=0.05, wait_seconds=0.2)
    assert 0.24 < time.monotonic() - begun < 2


@asynccontextmanager
async def tried(_):
    """Have one address on the loopback interface, and not the other."""
    root()
    yield Tried("127.0.0.1", {"count": 3}), Tried("192.0.2.1", {"count": 3})
