"""Bytes are carried both ways, within slot, time and share, and what is told of them is true."""

import asyncio
import os
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest

from agent.probes.base import Env, ProbeError, Recorder, Target
from agent.probes.classify import classify
from agent.probes.throughput import Throughput, ThroughputParams
from agent.wire import Failure, Slot
from tests.agent.probes.attempts import open_files
from tests.agent.probes.servers import saying, serve
from tests.agent.probes.tries import Tried
from tests.lab.cable import cable
from tests.lab.namespaces import inside, ip, namespaces
from tests.lab.servers.nginx import nginx
from tests.programs import free_port

CONF = Path(__file__).parents[3] / "configs/nginx/throughput.conf"
SLOT = Slot(
    id="04792-1", check="speed", target="", starts_in=0.0, max_seconds=5.0, max_bytes=10_000_000
)
UNBOUND = 10e9


@contextmanager
def province(folder: Path, **kwargs):
    """Run nginx as configs/nginx/throughput.conf sets it up; yields the port and its folder."""
    home = folder / "srv"
    (home / "throughput").mkdir(parents=True)
    (home / "throughput/down.bin").write_bytes(os.urandom(12_000_000))
    site = CONF.read_text("utf-8").replace("/srv/thongsuot", str(home))
    with nginx(folder / "nginx", site, **kwargs) as port:
        yield port, home / "throughput"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run the province's server."""
    with province(tmp_path_factory.mktemp("throughput")) as running:
        yield running


async def carry(env: Env, url: str, *, slot: Slot | None = SLOT, **params) -> Recorder:
    """Carry bytes once, as the runner would have it done."""
    given = msgspec.convert({"max_bit_s": UNBOUND, **params}, ThroughputParams, strict=True)
    assert not Throughput.refuse_target(url, given)
    rec = Recorder()
    try:
        await Throughput(given, env).run(Target(url, slot=slot), rec)
    except ProbeError:
        raise
    except Exception as exc:  # noqa: BLE001  as the runner does
        rec.fail(*classify(exc))
    return rec


@pytest.mark.real
@pytest.mark.parametrize("direction", ["down", "up"])
async def test_real_server(env, server, direction):
    """All that the probe declares for a direction is there, and the bytes really were carried."""
    port, folder = server
    before = open_files()
    rec = await carry(
        env,
        f"http://127.0.0.1:{port}/throughput/{direction}.bin",
        direction=direction,
        max_bytes=3_000_000,
    )

    assert (rec.failure, rec.detail) == (None, "")
    assert rec.values.keys() == {
        "ip_protocol",
        "http_status_code",
        f"throughput_bytes_per_second.{direction}",
        "throughput_bytes",
        "throughput_seconds",
    }
    assert rec.values["throughput_bytes"] == 3_000_000
    assert rec.values[f"throughput_bytes_per_second.{direction}"] > 1e6
    assert 0 < rec.values["throughput_seconds"] <= rec.phases["transfer"]
    assert rec.facts["limited_by"] in {"cap", "share"}  # loopback passes even the largest share
    assert list(rec.phases) == [
        phase
        for phase in Throughput.phases
        if phase not in {"tls", direction == "up" and "processing"}
    ]
    assert open_files() == before
    if direction == "up":
        sent = (folder / "up.bin").read_bytes()
        assert len(sent) == 3_000_000
        assert len(set(sent[:4096])) > 200  # not to be compressed


@pytest.mark.real
@pytest.mark.parametrize("direction", ["down", "up"])
async def test_over_tls(env, tmp_path, pki, direction):
    """With https the certificate counts, and is told of; a bad one measures nothing."""
    with province(tmp_path, shown=pki.good) as (port, _):
        url = f"https://127.0.0.1:{port}/throughput/{direction}.bin"
        said = {"direction": direction, "max_bytes": 2_000_000, "server_name": "portal.test"}
        rec = await carry(env, url, ca_file=str(pki.ca_file), **said)
        refused = await carry(env, url, **said)

    assert (rec.failure, rec.detail) == (None, "")
    assert rec.values["throughput_bytes"] == 2_000_000
    assert rec.values.keys() >= {"ssl_earliest_cert_expiry"}
    assert "tls" in rec.phases
    assert refused.failure is Failure.TLS_UNTRUSTED
    assert not {"throughput_bytes", "http_status_code"} & refused.values.keys()


@pytest.mark.real
@pytest.mark.parametrize("direction", ["down", "up"])
async def test_share(env, server, direction):
    """Never more than the share is taken, headers and all, though the line would bear it."""
    rec = await carry(
        env,
        f"http://127.0.0.1:{server[0]}/throughput/{direction}.bin",
        direction=direction,
        max_bytes=500_000,
        max_bit_s=4e6,
    )

    assert rec.failure is None
    assert rec.facts["limited_by"] == "share"
    assert rec.values["throughput_bytes"] == 500_000
    assert rec.values["throughput_seconds"] >= 0.999 * 500_000 * 8 / 0.95 / 4e6
    speed = rec.values[f"throughput_bytes_per_second.{direction}"]
    assert speed == pytest.approx(475_000, rel=0.1)


@pytest.mark.real
@pytest.mark.parametrize("direction", ["down", "up"])
async def test_slot_binds_harder(env, server, direction):
    """The slot's bytes bound the run, whatever the check says."""
    slot = msgspec.structs.replace(SLOT, max_bytes=200_000)
    rec = await carry(
        env,
        f"http://127.0.0.1:{server[0]}/throughput/{direction}.bin",
        direction=direction,
        slot=slot,
    )

    assert rec.failure is None
    assert rec.values["throughput_bytes"] == 200_000


@pytest.mark.real
@pytest.mark.parametrize("direction", ["down", "up"])
async def test_slot_without_time(env, server, direction):
    """The slot's time bounds the run as well: what was carried until then is told."""
    slot = msgspec.structs.replace(SLOT, max_seconds=1.0)
    begun = time.monotonic()
    rec = await carry(
        env,
        f"http://127.0.0.1:{server[0]}/throughput/{direction}.bin",
        direction=direction,
        slot=slot,
        max_bit_s=8e5,
    )

    assert time.monotonic() - begun < 1.8
    assert rec.failure is None
    assert rec.facts["limited_by"] == "share"
    assert 0 < rec.values["throughput_bytes"] < 0.95 * 100_000


async def test_no_slot(env):
    """Without the centre's leave nothing is sent: that is ours, not the target's."""
    with pytest.raises(ProbeError) as caught:
        await carry(env, "http://127.0.0.1:9/", direction="down", slot=None)

    assert str(caught.value) == "runs only in a slot that the centre gives"


@pytest.mark.real
@pytest.mark.parametrize(
    ("direction", "path", "detail"),
    [
        ("down", "nowhere", "404 Not Found"),
        ("up", "nowhere", "405 Not Allowed"),
        ("down", "throughput/up.bin", "403 Forbidden"),
        ("up", "throughput/down.bin", "405 Not Allowed"),
    ],
)
async def test_refused_by_status(env, server, direction, path, detail):
    """A server that says no is told by its code, also while it is still being sent to."""
    rec = await carry(env, f"http://127.0.0.1:{server[0]}/{path}", direction=direction)

    assert (rec.failure, rec.detail) == (Failure.STATUS, detail)
    assert rec.values == {"ip_protocol": 4, "http_status_code": int(detail[:3])}
    assert rec.facts == {"address": "127.0.0.1"}


@pytest.mark.real
async def test_too_much_for_the_server(env, server):
    """More than the server takes is its 413, not a broken connection."""
    slot = msgspec.structs.replace(SLOT, max_bytes=40_000_000)
    rec = await carry(
        env,
        f"http://127.0.0.1:{server[0]}/throughput/up.bin",
        direction="up",
        max_bytes=40_000_000,
        slot=slot,
    )

    assert (rec.failure, rec.detail) == (Failure.STATUS, "413 Request Entity Too Large")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n"


async def quiet(reader, writer):
    """Take nothing and say nothing."""
    await asyncio.Event().wait()


async def taking_some(reader, writer):
    """Take a little, then no more."""
    await reader.readexactly(200_000)
    await asyncio.Event().wait()


async def giving_some(reader, writer):
    """Give a little, then no more."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"x" * 200_000)
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("direction", "act", "seconds"),
    [
        ("down", quiet, 1.0),
        ("up", quiet, 1.0),
        ("down", giving_some, 2.5),
        ("up", taking_some, 1.0),
    ],
)
async def test_hung(env, act, direction, seconds):
    """A server that stops answering, at once or midway, is a timeout, and measured nothing."""
    slot = msgspec.structs.replace(SLOT, max_seconds=seconds)
    before = open_files()
    async with serve(act) as port:
        begun = time.monotonic()
        rec = await carry(env, f"http://127.0.0.1:{port}/", direction=direction, slot=slot)
        took = time.monotonic() - begun

    assert 0.9 * seconds - 0.01 < took < seconds + 0.8
    assert open_files() == before
    assert rec.failure is Failure.TIMEOUT
    assert not [name for name in rec.values if name.startswith("throughput")]
    assert "limited_by" not in rec.facts


@pytest.mark.parametrize(
    ("direction", "said", "failure", "detail"),
    [
        (
            *("down", HEAD + b"x" * 1000, Failure.CLOSED),
            "the connection was closed after 1000 bytes of the body",
        ),
        ("down", b"", Failure.CLOSED, "the connection was closed without an answer"),
        ("down", b"220 mail.test ESMTP\r\n\r\n", Failure.MALFORMED, None),
        (
            *("down", b"HTTP/1.1 204 No Content\r\n\r\n", Failure.NOT_OFFERED),
            "the server's answer is empty, expected bytes to carry",
        ),
        (
            *("down", b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", Failure.STATUS),
            "302 Found",
        ),
        (
            *("up", b"HTTP/1.1 201 Created\r\n\r\n", Failure.MALFORMED),
            "the server answered before it had the bytes",
        ),
    ],
)
async def test_bad_answers(env, direction, said, failure, detail):
    """What is cut off, no HTTP, empty, elsewhere or too early is told apart, and measured nothing."""
    async with serve(saying(said)) as port:
        rec = await carry(env, f"http://127.0.0.1:{port}/", direction=direction)

    assert rec.failure is failure
    assert detail in {None, rec.detail}
    assert not [name for name in rec.values if name.startswith("throughput")]


@pytest.mark.parametrize("direction", ["down", "up"])
async def test_refused(env, direction):
    """A port without a listener is refused."""
    rec = await carry(env, f"http://127.0.0.1:{free_port()}/", direction=direction)

    assert rec.failure is Failure.REFUSED
    assert rec.values == {"ip_protocol": 4}


async def test_a_server_without_ranges(env):
    """A server that gives all it has, asked or not, is left when the bytes are enough."""

    async def act(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with serve(act) as port:
        rec = await carry(env, f"http://127.0.0.1:{port}/", direction="down", max_bytes=1_000_000)

    assert rec.failure is None
    assert 1_000_000 <= rec.values["throughput_bytes"] < 1_100_000


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "Object missing required field `direction`"),
        ({"direction": "both"}, "Invalid enum value 'both' - at `$.direction`"),
        ({"direction": "up", "max_bit_s": 0}, "Expected `float` >= 100000.0 - at `$.max_bit_s`"),
        ({"direction": "up", "max_seconds": 61}, "Expected `float` <= 60.0 - at `$.max_seconds`"),
        ({"direction": "up", "max_bytes": 1}, "Expected `int` >= 100000 - at `$.max_bytes`"),
        ({"direction": "up", "server_name": "a b"}, None),
    ],
)
def test_params(params, expected):
    """Parameters that cannot be are refused; there is no run without a share."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(params, ThroughputParams)

    assert expected in {None, str(caught.value)}


@pytest.mark.real
@pytest.mark.slow
def test_a_line_of_known_speed(tmp_path):
    """Over a cable of 8 Mbit/s down and 2 up, with 40 ms there and back, just that is found."""
    with namespaces("pc", "dc") as (pc, dc), cable(pc, "lan", dc, "lan") as line:
        ip("addr add 10.7.1.1/24 dev lan\n", pc)
        ip("addr add 10.7.1.2/24 dev lan\n", dc)
        both = {"delay_seconds": 0.02}
        line.set(
            forward={**both, "bits_per_second": 2e6}, backward={**both, "bits_per_second": 8e6}
        )
        with province(tmp_path, address="10.7.1.2", port=80, namespace=dc), inside(pc):
            found = {
                direction: asyncio.run(
                    carry(
                        Env(resolve=None),
                        f"http://10.7.1.2/throughput/{direction}.bin",
                        direction=direction,
                        max_seconds=3,
                    )
                )
                for direction in ("down", "up")
            }

    for direction, bits in (("down", 8e6), ("up", 2e6)):
        rec = found[direction]
        assert rec.failure is None
        assert rec.facts["limited_by"] == "time"
        speed = rec.values[f"throughput_bytes_per_second.{direction}"]
        assert speed == pytest.approx(bits / 8 * 1448 / 1514, rel=0.12)
        assert 2.5 < rec.values["throughput_seconds"] < 4


@asynccontextmanager
async def tried(_):
    """Offer a server that takes the bytes, and one that does not."""

    async def taking(reader, writer):
        taken = b""
        while not taken.endswith(b"\r\n0\r\n\r\n"):
            taken = taken[-6:] + await reader.read(65536)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    params = {"direction": "up", "max_bytes": 100_000}
    async with (
        serve(taking) as good,
        serve(saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as bad,
    ):
        yield (
            Tried(f"http://127.0.0.1:{good}/", params, SLOT),
            Tried(f"http://127.0.0.1:{bad}/", params, SLOT),
        )
