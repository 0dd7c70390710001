"""The cable does to packets what it is told: measured with plain UDP at both ends."""

import asyncio
import random
import socket
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.lab.cable import cable
from tests.lab.namespaces import inside, ip, namespaces

pytestmark = pytest.mark.real

FORWARD, BACKWARD = ("10.7.1.1", "10.7.1.2"), ("10.7.1.2", "10.7.1.1")
SLACK_SECONDS = 0.005
"""How late this machine may be, in the middle of many packets."""


@pytest.fixture(scope="module")
def ends():
    """Make two namespaces for all tests."""
    with namespaces("left", "right") as made:
        yield made


@pytest.fixture
def line(ends):
    """Lay a cable between 10.7.1.1 and .2."""
    left, right = ends
    with cable(left, "wan", right, "lan", seed=7) as laid:
        ip("addr add 10.7.1.1/24 dev wan\n", left)
        ip("addr add 10.7.1.2/24 dev lan\n", right)
        yield laid


@dataclass
class Stream:
    """Numbered packets of one direction, sent by a schedule."""

    sent: dict[int, float] = field(default_factory=dict)
    came: list[tuple[int, float]] = field(default_factory=list)

    @property
    def order(self) -> list[int]:
        """The numbers as they came in."""
        return [number for number, _ in self.came]

    @property
    def delays(self) -> list[float]:
        """How long each was under way."""
        return [at - self.sent[number] for number, at in self.came]


async def stream(
    ends, way, *, number=200, spacing=0.001, size=100, patience=0.15, late=0
) -> Stream:
    """Send packets from one end to the other; take those that come until `patience` passed."""
    found = Stream()
    source, sink = way
    sender_at, taker_at = ends if way is FORWARD else reversed(ends)
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        with inside(taker_at):
            taker = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            taker.bind((sink, 0))
        with inside(sender_at):
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.bind((source, 0))
        sender.connect(taker.getsockname())
        taker.setblocking(False)

        def take() -> None:
            found.came.append((int(taker.recv(2048)[:6]), time.monotonic()))

        loop.add_reader(taker, take)
        begun = loop.time()
        for index in range(number):
            await asyncio.sleep(begun + index * spacing - loop.time())
            found.sent[index] = time.monotonic()
            sender.send(b"%06d" % index + bytes(size - 6))
        await asyncio.sleep(patience)
        loop.remove_reader(taker)
    return found


async def test_a_good_cable_carries_all_at_once(ends, line):
    """Nothing is lost, doubled, overtaken or held up before it is told to."""
    for way in (FORWARD, BACKWARD):
        got = await stream(ends, way)

        assert got.order == list(range(200))
        assert statistics.median(got.delays) < SLACK_SECONDS


async def test_delay_of_one_direction(ends, line):
    """30 ms forward, nothing backward, and the new figure holds when `set` returns."""
    line.set(forward={"delay_seconds": 0.03})
    forward, backward = await asyncio.gather(*(stream(ends, w) for w in (FORWARD, BACKWARD)))

    assert statistics.median(forward.delays) == pytest.approx(0.03, abs=SLACK_SECONDS)
    assert min(forward.delays) >= 0.0299, "never before its time"
    assert statistics.median(backward.delays) < SLACK_SECONDS
    line.set(forward={"delay_seconds": 0.06})
    later = await stream(ends, FORWARD, number=20)
    assert min(later.delays) >= 0.0599


async def test_jitter_keeps_the_order(ends, line):
    """Delays spread as told; packets further apart than the spread are independent."""
    line.set(both={"delay_seconds": 0.04, "jitter_seconds": 0.008})
    got = await stream(ends, FORWARD, number=100, spacing=0.01)

    assert got.order == list(range(100))
    assert statistics.mean(got.delays) == pytest.approx(0.042, abs=SLACK_SECONDS)
    assert 0.005 < statistics.stdev(got.delays) < 0.011


async def test_loss_is_exact_by_its_seed(ends, line):
    """The same packets are lost in each run of a seed, and the cable counts them."""
    line.set(forward={"loss": 0.1})
    got = await stream(ends, FORWARD, number=500, spacing=0.0004)

    lost = sorted(set(range(500)) - set(got.order))
    assert lost == fates(500, "7 forward", 0, 0.1)
    counters = line.counters()
    assert (counters.forward.taken, counters.forward.lost) == (500, len(lost))
    assert counters.backward.lost == 0


async def test_duplication_is_exact_by_its_seed(ends, line):
    """A doubled packet comes twice, at once; no other does."""
    line.set(backward={"duplicate": 0.05})
    got = await stream(ends, BACKWARD, number=300)

    doubled = fates(300, "7 backward", 1, 0.05)
    assert sorted(got.order) == sorted([*range(300), *doubled])
    assert line.counters().backward.duplicated == len(doubled)


async def test_reordering_is_exact_by_its_seed(ends, line):
    """Those that overtake come without the delay, before those sent earlier; the rest in order."""
    line.set(forward={"delay_seconds": 0.08, "reorder": 0.1})
    got = await stream(ends, FORWARD, number=200)

    overtaking = fates(200, "7 forward", 2, 0.1)
    assert sorted(got.order) == list(range(200))
    assert [number for number in got.order if number not in overtaking] == [
        number for number in range(200) if number not in overtaking
    ]
    quick = [number for number, at in got.came if at - got.sent[number] < 0.06]
    assert quick == overtaking
    assert line.counters().forward.overtaking == len(overtaking)


async def test_rate(ends, line):
    """What is sent faster than the rate waits its turn, and is lost where the queue is full."""
    line.set(forward={"bits_per_second": 2e6})
    got = await stream(ends, FORWARD, number=100, spacing=0.001, size=958, patience=0.5)

    assert got.order == list(range(100)), "100 kB wait in the queue"
    took = got.came[-1][1] - got.came[0][1]
    assert 99 * 8000 / took == pytest.approx(2e6, rel=0.05)
    got = await stream(ends, FORWARD, number=200, spacing=0.0002, size=958, patience=0.7)
    lost = line.counters().forward.overflowed
    assert len(got.came) == 200 - lost
    assert 40 < lost < 70, "131 kB wait in the queue, some 10 kB go out meanwhile"


async def test_down_and_up_again(ends, line):
    """A dead direction swallows all without a word; the other goes on; healed, all come again."""
    await stream(ends, FORWARD, number=1)  # the neighbours know each other from here on
    line.set(forward={"down": True})
    forward, backward = await asyncio.gather(
        *(stream(ends, way, number=20) for way in (FORWARD, BACKWARD))
    )
    assert (forward.came, len(backward.came)) == ([], 20)
    line.set(forward={"down": False})
    assert len((await stream(ends, FORWARD, number=20)).came) == 20


async def test_neighbours_are_found_over_a_bad_cable(ends, line):
    """ARP is never lost: the first packet of a test is not held up for a second."""
    line.set(both={"loss": 0.99})
    got = await stream(ends, FORWARD, number=400, spacing=0.0002)

    assert sorted(set(range(400)) - set(got.order)) == fates(400, "7 forward", 0, 0.99)


async def test_what_a_direction_has_not_is_refused(line):
    """A slip of the pen ends the test instead of measuring a good cable."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'los'"):
        line.set(forward={"los": 0.1})
    with pytest.raises(AssertionError, match="a cable has no sideways"):
        line.set(sideways={"loss": 0.1})


async def test_nothing_is_left(ends):
    """Program and interfaces go with the cable."""
    with cable(ends[0], "wan", ends[1], "lan") as laid:
        assert laid._process.poll() is None

    assert laid._process.returncode == 0
    for end in ends:
        with inside(end):
            assert [name for _, name in socket.if_nameindex()] == ["lo"]


def fates(number: int, seed: str, which: int, ratio: float) -> list[int]:
    """Return which packets the seed strikes with loss (0), duplication (1) or reordering (2)."""
    draw = random.Random(seed)
    struck = []
    for index in range(number):
        if [draw.random() for _ in range(3)][which] < ratio:
            struck.append(index)
        draw.gauss(0, 1)
    return struck
