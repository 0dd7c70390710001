"""Media over paths that are known: what the cable did is what the probe says, direction by direction.

All sessions run at once, each over a cable of its own, so that a minute of sound costs one minute.
"""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.probes import media as module
from agent.probes.base import Env, Recorder, Target
from agent.probes.media import Media, MediaParams
from agent.probes.net import SystemResolver
from agent.wire import Failure
from tests.agent.probes.reflecting import a_slot, reflecting
from tests.lab.cable import Both, Cable, cable
from tests.lab.namespaces import inside, ip, namespaces, nft, sysctl
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
HERE, THERE = "10.7.1.1", "10.7.1.2"
NO_IMPAIRMENT = 93.206
"""R of a call without delay and loss (G.107)."""


@dataclass
class Path:
    """What lies between, and what is sent over it."""

    line: dict[str, dict[str, Any]] = field(default_factory=dict)
    stream: str = "g711"
    seconds: float = 20.0
    shape: str = "constant"
    filters: dict[str, str] = field(default_factory=dict)
    """nft rules by namespace, "here" or "there"."""


@dataclass
class Held:
    """What the probe said, and what the cable did to media packets."""

    rec: Recorder
    cable: Both


REMARK = "table ip m {{\n chain c {{\n type filter hook prerouting priority -150; {}\n}}\n}}\n"
PATHS = {
    "clean": Path(),
    "2 % lost there": Path({"forward": {"loss": 0.02}}, seconds=60.0),
    "2 % lost back": Path({"backward": {"loss": 0.02}}, seconds=60.0),
    "bursts lost both ways": Path({"both": {"loss": 0.05}}),
    "slow": Path({"forward": {"delay_seconds": 0.12}, "backward": {"delay_seconds": 0.04}}),
    "jitter there": Path({"forward": {"delay_seconds": 0.06, "jitter_seconds": 0.008}}),
    "jitter back": Path({"backward": {"delay_seconds": 0.06, "jitter_seconds": 0.008}}),
    "reordered there": Path({"forward": {"delay_seconds": 0.05, "reorder": 0.04}}),
    "reordered back": Path({"backward": {"delay_seconds": 0.05, "reorder": 0.04}}),
    "doubled there": Path({"forward": {"duplicate": 0.05}}),
    "doubled back": Path({"backward": {"duplicate": 0.05}}),
    "unmarked there": Path(
        filters={"there": REMARK.format("udp dport 1024-65535 ip dscp set cs0")}, seconds=2.0
    ),
    "remarked back": Path(
        filters={"here": REMARK.format("udp sport 1024-65535 ip dscp set af41")}, seconds=2.0
    ),
    "pictures, even": Path({"both": {"bits_per_second": 2e6}}, "720p"),
    "pictures, in frames": Path({"both": {"bits_per_second": 2e6}}, "720p", shape="frames"),
}


@pytest.fixture(scope="module")
def held():
    """Hold a session over each path, all at once."""
    with (
        ExitStack() as stack,
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(len(PATHS)) as threads,
    ):
        # Fifteen sessions and as many cables share this machine: here the packets are judged.
        patch.setattr(module, "MAX_LATENESS_SECONDS", 1.0)
        futures = {
            name: threads.submit(hold, path, *lay(stack, number, path))
            for number, (name, path) in enumerate(PATHS.items())
        }
        yield {name: future.result() for name, future in futures.items()}


def lay(stack: ExitStack, number: int, path: Path) -> tuple[str, Cable, int]:
    """Lay a cable; return where the session begins, the cable, and the reflector's port."""
    here, there = stack.enter_context(namespaces(f"here{number}", f"there{number}"))
    line = stack.enter_context(cable(here, "wan", there, "lan", seed=number))
    ip(f"addr add {HERE}/24 dev wan\n", here)
    ip(f"addr add {THERE}/24 dev lan\n", there)
    for where, rules in path.filters.items():
        nft(rules, here if where == "here" else there)
    line.set(**path.line)
    with inside(there):
        reflector = stack.enter_context(reflecting(THERE))
    return here, line, reflector.address[1]


def hold(path: Path, here: str, line: Cable, port: int) -> Held:
    """Hold one session from a namespace, in a thread that lives there."""
    params = MediaParams(stream=path.stream, seconds=path.seconds, shape=path.shape)
    rec = Recorder()
    target = Target(f"{THERE}:{port}", slot=a_slot(path.stream))
    with inside(here):
        asyncio.run(Media(params, Env(resolve=SystemResolver())).run(target, rec))
    return Held(rec, line.counters())


def lost(direction) -> int:
    """Return how many packets a cable lost in one direction."""
    return direction.lost + direction.overflowed


def test_a_clean_path_loses_nothing(held):
    """Nothing is invented: no loss, no doubles, no disorder, and the marks are kept."""
    rec = held["clean"].rec

    assert rec.failure is None
    for way in ("forward", "backward", "roundtrip"):
        assert rec.values[f"media_loss_ratio.{way}"] == 0
    for way in ("forward", "backward"):
        assert rec.values[f"media_reordered_ratio.{way}"] == 0
        assert rec.values[f"media_dscp_received.{way}"] == 46
    assert rec.counts["media_duplicates_total"] == 0
    assert rec.values["media_r_factor.g711.g107-echo-free"] > 80  # a busy machine delays some


@pytest.mark.parametrize(
    ("name", "way", "other"),
    [("2 % lost there", "forward", "backward"), ("2 % lost back", "backward", "forward")],
)
def test_loss_of_one_way_is_that_ways(held, name, way, other):
    """A minute of sound with 2 % lost one way: both ways right to half a point, MOS to a tenth."""
    rec, line = held[name].rec, held[name].cable
    truth = lost(getattr(line, way)) / 3000
    ratio = rec.values[f"media_loss_ratio.{way}"]
    burst = rec.values[f"media_burst_ratio.{way}"]
    percent = 100 * truth
    r = NO_IMPAIRMENT - 95 * percent / (percent / max(1.0, burst) + 4.3)
    mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6

    assert rec.failure is None
    assert 0.01 < truth < 0.03
    assert ratio == pytest.approx(truth, abs=0.005)
    assert rec.values[f"media_loss_ratio.{other}"] == pytest.approx(0, abs=0.005)
    assert rec.values["media_loss_ratio.roundtrip"] == pytest.approx(truth, abs=0.005)
    assert rec.values["media_mos.g711.g107-echo-free"] == pytest.approx(mos, abs=0.1)


def test_loss_of_both_ways_is_told_apart(held):
    """What the reflector received and what came back are two questions."""
    rec, line = held["bursts lost both ways"].rec, held["bursts lost both ways"].cable
    reflected = 1000 - lost(line.forward)

    assert rec.values["media_loss_ratio.forward"] == pytest.approx(
        lost(line.forward) / 1000, abs=0.005
    )
    assert rec.values["media_loss_ratio.backward"] == pytest.approx(
        lost(line.backward) / reflected, abs=0.005
    )


def test_delay_is_the_round_trips(held):
    """120 ms there and 40 ms back are 160 ms; which way is which nobody can tell without clocks."""
    rec = held["slow"].rec

    assert rec.values["media_rtt_seconds.p50"] == pytest.approx(0.16, abs=0.01)
    assert rec.values["media_pdv_seconds.forward.p95"] < 0.02
    assert rec.values["media_pdv_seconds.backward.p95"] < 0.02


@pytest.mark.parametrize(
    ("name", "way", "other"),
    [("jitter there", "forward", "backward"), ("jitter back", "backward", "forward")],
)
def test_jitter_is_of_its_direction(held, name, way, other):
    """Delays spread by 8 ms make an RFC 3550 jitter of 2/√π times that, in that direction only."""
    rec = held[name].rec
    expected = 0.008 * 2 / math.sqrt(math.pi)

    assert rec.values[f"media_jitter_seconds.{way}"] == pytest.approx(expected, rel=0.5)
    assert rec.values[f"media_jitter_seconds.{other}"] < expected / 2
    # From the fastest of a thousand to their 95th percentile: some 4.9 standard deviations.
    assert rec.values[f"media_pdv_seconds.{way}.p95"] == pytest.approx(4.9 * 0.008, rel=0.3)


@pytest.mark.parametrize(
    ("name", "way", "other"),
    [("reordered there", "forward", "backward"), ("reordered back", "backward", "forward")],
)
def test_reordering_is_of_its_direction(held, name, way, other):
    """A packet that is not delayed by 50 ms overtakes the two before it."""
    rec, line = held[name].rec, held[name].cable
    overtaking = getattr(line, way).overtaking

    assert rec.values[f"media_reordered_ratio.{way}"] == pytest.approx(
        2 * overtaking / 1000, rel=0.25
    )
    assert rec.values[f"media_reordered_ratio.{other}"] == 0
    assert rec.values["media_loss_ratio.roundtrip"] == 0


@pytest.mark.parametrize(
    ("name", "way"), [("doubled there", "forward"), ("doubled back", "backward")]
)
def test_doubles_are_no_packets(held, name, way):
    """Copies are counted and nothing else: no loss becomes less by them."""
    rec, line = held[name].rec, held[name].cable

    assert rec.counts["media_duplicates_total"] == pytest.approx(
        getattr(line, way).duplicated, abs=4
    )
    assert rec.counts["media_received_packets_total"] == 1000
    assert rec.values["media_loss_ratio.forward"] == 0
    assert rec.values["media_loss_ratio.backward"] == 0


def test_marks_are_seen_as_they_arrive(held):
    """A carrier that clears or changes the class of service is found, and in which direction."""
    there, back = held["unmarked there"].rec.values, held["remarked back"].rec.values

    assert (there["media_dscp_sent"], there["media_dscp_received.forward"]) == (46, 0)
    assert there["media_dscp_received.backward"] == 46
    assert (back["media_dscp_received.forward"], back["media_dscp_received.backward"]) == (46, 34)


def test_bursts_show_what_an_even_stream_hides(held):
    """On a line of 2 Mbit/s a smooth 1.6 Mbit/s passes; key frames wait for 200 ms."""
    even, frames = held["pictures, even"].rec.values, held["pictures, in frames"].rec.values

    assert frames["media_pdv_seconds.forward.max"] > 0.1
    assert frames["media_late_ratio.forward"] > 0.03
    # A busy machine delays some packets of both; the shaper only those of the key frames.
    assert even["media_late_ratio.forward"] < frames["media_late_ratio.forward"] / 2
    assert "media_mos.g711.g107-echo-free" not in frames


async def test_a_line_that_breaks_ends_the_session_within_a_second(env):
    """What was measured till then stands; which direction lost the rest is said to be unknown."""
    with namespaces("here", "there") as (here, there), cable(here, "wan", there, "lan") as line:
        ip(f"addr add {HERE}/24 dev wan\n", here)
        ip(f"addr add {THERE}/24 dev lan\n", there)
        with ExitStack() as stack:
            with inside(there):
                reflector = stack.enter_context(reflecting(THERE))
            rec = Recorder()
            target = Target(f"{THERE}:{reflector.address[1]}", slot=a_slot())
            with inside(here):
                task = asyncio.create_task(Media(MediaParams(seconds=30.0), env).run(target, rec))
                await until(lambda: reflector.sessions.reflected >= 100, what="media flows")
                line.set(forward={"down": True})
                broken = time.monotonic()
                await task
                took = time.monotonic() - broken

    assert rec.failure == Failure.TIMEOUT
    assert "unanswered for 1 s" in rec.detail
    assert took < 4.5  # one second to notice, two to wait for stragglers
    assert rec.counts["media_sent_packets_total"] < 100 + 75
    assert rec.facts["loss_forward"].endswith("the reflector's count is missing")


async def test_a_narrow_way_cuts_packets_and_loses_none(env):
    """Behind a router whose next link bears 1200 bytes, pictures come in pieces, both ways."""
    with namespaces("here", "router", "there") as (here, router, there), ExitStack() as stack:
        ip(f"link add wan type veth peer name near netns {router}\nlink set wan up\n", here)
        ip(f"link add far mtu 1200 type veth peer name lan mtu 1200 netns {there}\n", router)
        ip("link set near up\nlink set far up\n", router)
        ip("link set lan up\n", there)
        ip("addr add 10.7.1.1/24 dev wan\nroute add default via 10.7.1.9\n", here)
        ip("addr add 10.7.1.9/24 dev near\naddr add 10.7.2.9/24 dev far\n", router)
        ip("addr add 10.7.2.2/24 dev lan\nroute add default via 10.7.2.9\n", there)
        with inside(router):
            sysctl("ipv4/ip_forward", "1")
        with inside(there):
            reflector = stack.enter_context(reflecting("10.7.2.2"))
        rec = Recorder()
        target = Target(f"10.7.2.2:{reflector.address[1]}", slot=a_slot("720p"))
        with inside(here), pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "MAX_LATENESS_SECONDS", 1.0)
            await Media(MediaParams(stream="720p", seconds=2.0), env).run(target, rec)

    assert (rec.failure, rec.detail) == (None, "")
    assert rec.values["media_loss_ratio.roundtrip"] == 0
