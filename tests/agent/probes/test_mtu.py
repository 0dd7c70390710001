"""The largest packet that gets through is found, and black holes are, through a real router."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager, closing, contextmanager

import msgspec
import pytest

from agent.probes.base import Env, Source
from agent.probes.echo import Burst
from agent.probes.icmp_message import V4, TooBig
from agent.probes.mtu import LADDER, Mtu, MtuParams, _Path
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.namespaces import Responder, checksum, three
from tests.agent.probes.pings import ping
from tests.agent.probes.tries import Tried
from tests.lab.namespaces import inside, ip, namespaces, nft, sysctl
from tests.waiting import until

FAST = {"wait_seconds": 0.1}
FAR = {4: "10.7.2.2", 6: "2001:db8:2::2"}
MUTE = (
    "table inet mute {\n chain c {\n type filter hook output priority 0\n"
    " icmp type destination-unreachable icmp code frag-needed drop\n"
    " icmpv6 type packet-too-big drop\n }\n}\n"
)


@contextmanager
def link(namespace: str, name: str, mtu_bytes: int):
    """Narrow one end of a link for a while, and let the kernels forget what they learned."""
    ip(f"link set {name} mtu {mtu_bytes}\n", namespace)
    try:
        yield
    finally:
        ip(f"link set {name} mtu 1500\n", namespace)
        ip("route flush cache\n", namespace)


@contextmanager
def rules(text: str, namespace: str):
    """Load one table of a filter for a while."""
    nft(text, namespace)
    try:
        yield
    finally:
        nft(f"delete {text[: text.index('{')]}\n", namespace)


def dropping(condition: str) -> str:
    """Return a filter that drops what is forwarded and fits a condition."""
    return (
        "table inet eats {\n chain c {\n type filter hook forward priority -1\n"
        f" {condition} drop\n }}\n}}\n"
    )


@pytest.mark.real
@pytest.mark.parametrize("version", FAR)
async def test_nothing_in_the_way(way, env, version):
    """Where 1500 bytes pass, that is all there is to know, after two packets."""
    rec = await attempt(Mtu, env, FAR[version], **FAST)

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == ["resolve", "setup", "answer", "search"]
    assert rec.values == {
        "ip_protocol": version,
        "mtu_local_bytes": 1500,
        "mtu_path_bytes": 1500,
        "mtu_told": 0,
    }
    assert rec.facts == {"address": FAR[version]}


@pytest.mark.real
async def test_loopback(site, env):
    """Where 64 KiB leave in one piece, the interface's limit was not met: it is absent."""
    rec = await attempt(Mtu, env, "127.0.0.1", **FAST)

    assert rec.failure is None
    assert rec.values == {"ip_protocol": 4, "mtu_path_bytes": 1500, "mtu_told": 0}


@pytest.mark.real
@pytest.mark.parametrize(("version", "mtu_bytes"), [(4, 1400), (4, 1412), (4, 1499), (6, 1300)])
async def test_router_says_so(places, way, env, version, mtu_bytes):
    """A router that says what fits is believed and tried: exact, honest, no failure; each time."""
    with link(places.router, "wan", mtu_bytes):
        recs = [await attempt(Mtu, env, FAR[version], **FAST) for _ in range(2)]

    for rec in recs:
        assert (rec.failure, rec.detail) == (None, "")
        assert rec.values == {
            "ip_protocol": version,
            "mtu_local_bytes": 1500,
            "mtu_path_bytes": mtu_bytes,
            "mtu_told": 1,
            "mtu_told_bytes": mtu_bytes,
        }
        assert rec.facts["told_by"] == {4: "10.7.1.1", 6: "2001:db8:1::1"}[version]


@pytest.mark.real
@pytest.mark.parametrize(
    "case", [(4, 1400, 1400, 1420), (4, 1480, 1490, 1492), (6, 1300, 1349, 1350)]
)
async def test_black_hole(places, site, env, case):
    """A router that drops large packets without a word is a black hole, between two sizes."""
    version, passes, fits, vanished = case
    with link(places.router, "wan", fits), rules(MUTE, places.router):
        rec = await attempt(Mtu, env, FAR[version], **FAST)

    assert (rec.failure, rec.detail) == (
        Failure.MTU_BLACKHOLE,
        f"packets of {passes} bytes are answered, of {vanished} not, and no router says why",
    )
    assert rec.values == {
        "ip_protocol": version,
        "mtu_local_bytes": 1500,
        "mtu_path_bytes": passes,
        "mtu_told": 0,
    }


@pytest.mark.real
@pytest.mark.parametrize(
    ("filtered", "values"),
    [
        ("", {"mtu_path_bytes": 1200, "mtu_told": 1, "mtu_told_bytes": 1200}),
        (MUTE, {"mtu_path_bytes": 1200, "mtu_told": 0}),
    ],
)
async def test_least(env, filtered, values):
    """A link of 1200 bytes, in namespaces of its own: IPv6 leaves such a link for good."""
    with three() as own, inside(own.site):
        ip("link set wan mtu 1200\n", own.router)
        if filtered:
            nft(filtered, own.router)
        rec = await attempt(Mtu, env, "10.7.2.2", seconds=10, **FAST)

    assert rec.failure is (Failure.MTU_BLACKHOLE if filtered else None)
    assert rec.values == {"ip_protocol": 4, "mtu_local_bytes": 1500, **values}


@pytest.mark.real
async def test_nothing_large_passes(places, site, env):
    """Where only small packets pass, that is what is said; it takes 17 waits at most."""
    with rules(dropping("meta length > 1000"), places.router):
        begun = time.monotonic()
        rec = await attempt(Mtu, env, "10.7.2.2", seconds=10, **FAST)
        passed = time.monotonic() - begun

    assert (rec.failure, rec.detail) == (
        Failure.MTU_BLACKHOLE,
        "packets of 84 bytes are answered, of 1200 not, and no router says why",
    )
    assert rec.values["mtu_path_bytes"] == 84
    assert 1.4 < passed < 2


@pytest.mark.real
async def test_large_answers_vanish(places, site, env):
    """Whether they vanish on the way there or back, what needs them does not work."""
    with rules(dropping("ip saddr 10.7.2.2 meta length > 1440"), places.router):
        rec = await attempt(Mtu, env, "10.7.2.2", **FAST)

    assert rec.failure is Failure.MTU_BLACKHOLE
    assert rec.values["mtu_path_bytes"] == 1440


@pytest.mark.real
async def test_black_hole_behind_an_honest_router(places, site, env):
    """What one router says explains nothing that vanishes behind it."""
    with (
        link(places.router, "wan", 1400),
        rules(dropping("meta length 1351-1400"), places.router),
    ):
        rec = await attempt(Mtu, env, "10.7.2.2", **FAST)

    assert (rec.failure, rec.detail) == (
        Failure.MTU_BLACKHOLE,
        "packets of 1350 bytes are answered, of 1380 not, and no router says why",
    )
    assert (rec.values["mtu_told"], rec.values["mtu_told_bytes"]) == (1, 1400)


@pytest.mark.real
@pytest.mark.parametrize("version", FAR)
async def test_narrow_interface(places, way, env, version):
    """What the PC's own interface does not let out is told as that, exactly, and is no failure."""
    with link(places.site, "wan", 1390):
        rec = await attempt(Mtu, env, FAR[version], **FAST)

    assert rec.failure is None
    assert (rec.values["mtu_local_bytes"], rec.values["mtu_path_bytes"]) == (1390, 1390)
    assert rec.values["mtu_told"] == 0


@pytest.mark.real
@pytest.mark.parametrize(
    ("target", "failure", "detail"),
    [
        ("10.7.3.9", Failure.HOST_UNREACHABLE, "10.7.1.1: Destination host unreachable"),
        ("10.7.4.9", Failure.PROHIBITED, "10.7.1.1: Packet filtered"),
        ("10.7.5.9", Failure.TIMEOUT, "no answer to 3 small echoes"),
    ],
)
async def test_not_answered(way, env, target, failure, detail):
    """A host that does not answer at all has no MTU, and is no black hole."""
    rec = await attempt(Mtu, env, target, **FAST)

    assert (rec.failure, rec.detail) == (failure, detail)
    assert rec.current_phase == "answer"
    assert rec.values == {"ip_protocol": 4, "mtu_local_bytes": 1500}


@pytest.mark.real
async def test_large_ones_refused(places, site, env):
    """A filter that says no to large packets is told as that."""
    refuses = dropping("meta length > 1400").replace(
        " drop", " reject with icmp type admin-prohibited"
    )
    with rules(refuses, places.router):
        rec = await attempt(Mtu, env, "10.7.2.2", **FAST)

    assert (rec.failure, rec.detail) == (Failure.PROHIBITED, "10.7.1.1: Packet filtered")
    assert "mtu_path_bytes" not in rec.values


@pytest.mark.real
async def test_lossy_line(places, site, env):
    """A line that loses packets of any size is no black hole: small ones are lost as well."""
    requests = []

    def act(number, data):
        requests.append(len(data))
        answered = len(data) == 56 and requests.count(56) != 2
        return [(0, data)] if answered else []

    with closing(Responder(places.far, act)):
        rec = await attempt(Mtu, env, "10.7.2.2", seconds=10, **FAST)

    assert (rec.failure, rec.detail) == (
        Failure.LOSS,
        "1 of 3 small packets lost, as well as 3 of 1200 bytes",
    )
    assert "mtu_path_bytes" not in rec.values


@pytest.mark.real
async def test_two_lost_of_three(places, site, env):
    """One answer of three tries is enough for a size."""
    with closing(Responder(places.far, lambda n, data: [(0, data)] if n % 3 == 2 else [])):
        rec = await attempt(Mtu, env, "10.7.2.2", **FAST)

    assert (rec.failure, rec.values["mtu_path_bytes"]) == (None, 1500)


@pytest.mark.real
async def test_slow_answers(places, site, env):
    """An answer that comes after its wait does not count: the wait must be longer than the line."""
    with closing(Responder(places.far, lambda n, data: [(0.15, data)])):
        late = await attempt(Mtu, env, "10.7.2.2", wait_seconds=0.1)
        rec = await attempt(Mtu, env, "10.7.2.2", wait_seconds=0.5)

    assert (late.failure, rec.failure) == (Failure.TIMEOUT, None)
    assert rec.values["mtu_path_bytes"] == 1500


@pytest.mark.real
async def test_changed_answers(places, site, env):
    """An answer cut to what fits is no answer to the size that was sent."""
    with closing(Responder(places.far, lambda n, data: [(0, data[:1372])])):
        rec = await attempt(Mtu, env, "10.7.2.2", seconds=10, **FAST)

    assert rec.failure is Failure.MTU_BLACKHOLE
    assert rec.values["mtu_path_bytes"] == 1400


@pytest.mark.real
async def test_no_route(site, env):
    """Without a route the attempt fails at once, as what it is."""
    ip("route del default", site)
    try:
        rec = await attempt(Mtu, env, "10.9.9.9", **FAST)
    finally:
        ip("route add default via 10.7.1.1", site)

    assert (rec.failure, rec.detail) == (Failure.NETWORK_UNREACHABLE, "Network is unreachable")
    assert rec.values == {"ip_protocol": 4}


@pytest.mark.real
async def test_over_its_line(places, way, env):
    """A bound attempt leaves over its interface, whose limit counts."""
    rec = await attempt(Mtu, env, "10.7.2.2", source=Source("10.7.1.2", "wan"), **FAST)

    assert rec.failure is None
    assert rec.values["mtu_local_bytes"] == 1500


@pytest.mark.real
async def test_icmp_is_not_touched(places, way, env):
    """The probe `icmp` goes on as before: the kernel learns from the router, and cuts."""
    with link(places.router, "wan", 1300), link(places.far, "lan", 1300):
        mtu = await attempt(Mtu, env, "10.7.2.2", **FAST)
        rec = await ping(env, "10.7.2.2", size_bytes=1400)
        again = await ping(env, "10.7.2.2", size_bytes=1400)

    assert mtu.values["mtu_path_bytes"] == 1300
    assert rec.failure in {None, Failure.TIMEOUT}, "until the kernel has learned"
    assert again.failure is None


@pytest.mark.real
async def test_cancelled(site):
    """A cancelled attempt leaves nothing under way, and its engine goes with the environment."""
    before = open_files()
    env = Env(resolve=None)
    task = asyncio.create_task(attempt(Mtu, env, "10.7.5.9"))
    await until(lambda: env._kept and len(env._kept["mtu4"]._ledger) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(env._kept["mtu4"]._ledger) == 0
    env.close()
    assert open_files() == before


class Line:
    """An engine that answers by size alone: a link that tells (or not), and what it says."""

    def __init__(self, fits: int, tells: int | None = None):
        self.fits, self.tells, self.sizes = fits, tells, []

    async def exchange(self, burst: Burst) -> None:
        """Answer, say that it is too large, or nothing."""
        size = burst.size_bytes + 28
        self.sizes.append(size)
        if size <= self.fits:
            burst.rtts = dict.fromkeys(range(burst.count), 0.01)
        elif self.tells is not None:
            burst.too_big[0] = TooBig(0, b"", "192.0.2.1", "192.0.2.254", self.tells)


def path_over(line: Line) -> _Path:
    """Return a search over a line."""
    return _Path(line, V4, "192.0.2.1", 0.1)


@pytest.mark.parametrize("fits", [100, *LADDER])
@pytest.mark.parametrize("tells", [None, 0, 1500, 20])
async def test_search(fits, tells):
    """Each step of the ladder is found in 6 sizes, also where a router says nothing that helps."""
    line = Line(fits, tells)
    path = path_over(line)
    await path.must_answer()
    await path.search(list(LADDER))

    assert path.passes_bytes == (fits if fits in LADDER else 84)
    assert len(set(line.sizes)) <= 6
    larger = [size for size in LADDER if size > fits]
    assert path.vanished() == (larger[0] if larger and tells is None else 0)
    if larger and tells is not None:
        assert path.told.mtu_bytes == 0


@pytest.mark.parametrize("fits", [576, 1201, 1399, 1492, 1499])
async def test_search_with_a_word(fits):
    """A router that says what fits saves the search: three sizes, and the MTU exactly."""
    line = Line(fits, fits)
    path = path_over(line)
    await path.must_answer()
    await path.search(list(LADDER))

    assert line.sizes == [84, 1500, fits]
    assert (path.passes_bytes, path.vanished(), path.told.mtu_bytes) == (fits, 0, fits)


async def test_router_that_spares_its_words():
    """A router that tells of one packet only (they may limit that) explains all larger ones."""
    line = Line(1400, 1400)
    exchange, line.exchange = line.exchange, None

    async def spare(burst: Burst) -> None:
        await exchange(burst)
        if len(line.sizes) <= 4:  # the small one, and 1500 three times
            burst.too_big.clear()

    line.exchange = spare
    path = path_over(line)
    await path.must_answer()
    await path.search(list(LADDER))

    assert line.sizes == [84, 1500, 1500, 1500, 1420, 1400]
    assert (path.passes_bytes, path.vanished(), path.told.mtu_bytes) == (1400, 0, 1400)


def test_params():
    """A target is a host alone; a wait is one that can be waited."""
    assert Mtu.refuse_target("mcu.test", MtuParams()) == ""
    assert Mtu.refuse_target("mcu.test:1720", MtuParams()).startswith("expected a host name")
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"wait_seconds": 0}, MtuParams)

    assert str(caught.value) == "Expected `float` >= 0.1 - at `$.wait_seconds`"


@asynccontextmanager
async def tried(_):
    """Have an interface of 1400 bytes, a host behind a router of 1300 on it, and one that is not."""
    with namespaces("mtu") as (own,), inside(own), Router():
        ip("link set lo mtu 1400\n", own)
        yield Tried("127.0.0.1", FAST), Tried("192.0.2.1", FAST)


class Router:
    """Answers pings in the kernel's place; of larger ones than 1300 bytes it says that they are."""

    def __enter__(self):
        """Begin, in the namespace where the thread is."""
        sysctl("ipv4/icmp_echo_ignore_all", "1")
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._answer)

    def __exit__(self, *_):
        """End."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _answer(self):
        packet, sender = self._sock.recvfrom(2048)
        if packet[20] == 8 and sender[0] == socket.inet_ntoa(packet[16:20]):
            fits = len(packet) <= 1300
            said = b"\0\0\0\0" + packet[24:] if fits else b"\3\4\0\0\0\0\5\x14" + packet[:48]
            self._sock.sendto(said[:2] + checksum(said) + said[4:], sender)
