"""The metrics of every kind of probe, by really running it: no name changes by accident.

Each file under tests/golden_metrics lists names, types and labels (of `phase` the values too) after
an attempt that succeeded and after one that failed. Dashboards and rules may use what stands there.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from msgspec.structs import replace

from agent.config import Check, Line
from agent.probes import PROBES
from agent.probes.base import Env
from agent.runner import attempt, make_runs
from agent.wire import Sample
from collector.export.exposition import Exposition
from collector.export.families import LAYOUTS, MEASURED
from collector.inventory.model import Inventory, Series
from collector.state.fleet import Fleet
from tests.agent.probes.servers import saying, serve, silent
from tests.collector.a_province import NOON, YPHU, a_province
from tests.collector.export.pages import named, promtool_says, shape
from tests.pki import Pki, make_pki
from tests.programs import free_port, root

LOOPBACK = Line(name="lo", select="interface", interface="lo")
HELLO = b"HTTP/1.1 %d Said\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


class Tried(NamedTuple):
    """One target and what is asked of it."""

    target: str
    params: dict[str, Any]


Pair = tuple[Tried, Tried | None]
"""One that succeeds, and one that fails where the kind can fail."""


@asynccontextmanager
async def icmp(_: Pki) -> AsyncIterator[Pair]:
    """Have one address on the loopback interface, and not the other."""
    yield Tried("127.0.0.1", {"count": 3}), Tried("192.0.2.1", {"count": 3})


@asynccontextmanager
async def tcp(_: Pki) -> AsyncIterator[Pair]:
    """Offer a port that is open, and one that is not."""
    async with serve(silent) as port:
        yield Tried(f"127.0.0.1:{port}", {}), Tried(f"127.0.0.1:{free_port()}", {})


@asynccontextmanager
async def tls(pki: Pki) -> AsyncIterator[Pair]:
    """Show a good certificate and an expired one."""
    params = {"ca_file": str(pki.ca_file)}
    async with serve(silent, tls=pki.good) as good, serve(silent, tls=pki.expired) as expired:
        yield Tried(f"127.0.0.1:{good}", params), Tried(f"127.0.0.1:{expired}", params)


@asynccontextmanager
async def http(pki: Pki) -> AsyncIterator[Pair]:
    """Give a page over TLS, and be a server that is not well."""
    params = {"ca_file": str(pki.ca_file), "body_contains": ["hello"]}
    async with (
        serve(saying(HELLO % 200), tls=pki.good) as good,
        serve(saying(HELLO % 503), tls=pki.good) as ill,
    ):
        yield (
            Tried(f"https://127.0.0.1:{good}/", params),
            Tried(f"https://127.0.0.1:{ill}/", params),
        )


class Resolver(asyncio.DatagramProtocol):
    """Knows one name."""

    def connection_made(self, transport: Any) -> None:
        """Keep what answers leave by."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer at once."""
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name = query.question[0].name
        if name.to_text() == "portal.test.":
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.7"))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def dns_(_: Pki) -> AsyncIterator[Pair]:
    """Resolve a name that is there, and one that is not."""
    transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Resolver, local_addr=("127.0.0.1", 0)
    )
    target = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    try:
        yield (
            Tried(target, {"query_name": "portal.test"}),
            Tried(target, {"query_name": "nowhere.test"}),
        )
    finally:
        transport.close()


@asynccontextmanager
async def pc(_: Pki) -> AsyncIterator[Pair]:
    """Only succeed: reading the PC's own figures cannot fail."""
    yield Tried("self", {}), None


TRIES: dict[str, Callable[[Pki], AbstractAsyncContextManager[Pair]]] = {
    "dns": dns_,
    "http": http,
    "icmp": icmp,
    "pc": pc,
    "tcp": tcp,
    "tls": tls,
}
KINDS = [pytest.param(kind, marks=pytest.mark.real) if kind == "icmp" else kind for kind in PROBES]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Return certificates."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def env():
    """Return what probes use of the world; nothing here is asked for by name."""

    async def resolve(host: str, _: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, f"no name is looked up here, not even {host}")

    env = Env(resolve=resolve)
    yield env
    env.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_keeps_its_metrics(kind, env, pki, golden):
    """Names, types, labels and phases are those of the golden file."""
    if kind == "icmp":
        root()
    async with TRIES[kind](pki) as tried:
        pages = [await page_after(kind, one, env) for one in tried if one is not None]

    text = "".join(
        f"after an attempt that {word}\n" + "".join(f"  {line}\n" for line in shape(page, "probe_"))
        for word, page in zip(("succeeded", "failed"), pages, strict=False)
    )
    golden(f"golden_metrics/{kind}.txt", text)


@pytest.mark.real
async def test_promtool_likes_every_kind(env, pki):
    """All of them on one page: the field's own linter finds nothing."""
    root()
    samples = []
    for kind in PROBES:
        async with TRIES[kind](pki) as tried:
            samples += [await sample_of(kind, one, env) for one in tried if one is not None]
    page = await page_of(samples)

    assert await promtool_says(page) == ""


def test_every_kind_is_tried():
    """A new kind of probe comes with its golden file."""
    assert set(TRIES) == set(PROBES)


def test_no_two_rows_claim_one_name():
    """A value has one meaning and one type, whichever kind reports it."""
    rows: dict[str, tuple[bool, str]] = {}
    for probe in PROBES.values():
        for row in probe.values:
            assert rows.setdefault(row.name, (row.counter, row.help)) == (row.counter, row.help)
            assert row.counter == row.name.endswith("_total")
    durations = {layout.duration for layout in LAYOUTS.values()} | {"probe_duration_seconds"}
    assert durations.isdisjoint(f"probe_{name}" for name in rows)
    assert not {"probe_success", "probe_all_success"} & {f"probe_{name}" for name in rows}
    assert len(MEASURED) == len(set(MEASURED))


async def page_after(kind: str, tried: Tried, env: Env) -> bytes:
    """Probe once and return the page that comes of it."""
    return await page_of([await sample_of(kind, tried, env)])


async def sample_of(kind: str, tried: Tried, env: Env) -> Sample:
    """Probe once, as the agent does."""
    check = Check(
        id=f"a-{kind}",
        kind=kind,
        targets=[tried.target],
        params=tried.params,
        interval_seconds=60.0,
        lines=["" if kind == "pc" else LOOPBACK.name],
    )
    (run,) = make_runs([check], [LOOPBACK], env, counters={})
    sample = await attempt(run, 1)
    assert sample.error == ""
    return sample


async def page_of(samples: list[Sample]) -> bytes:
    """Take samples as the collector does and return its page."""
    fleet = Fleet(inventory_of(samples), started_at=NOON)
    for sample in samples:
        fleet.apply(YPHU, sample, NOON, trusted=True, now=NOON)
    page = await Exposition(fleet).full(NOON)
    assert named(page, "thongsuot_dropped_values") == ["thongsuot_dropped_values 0"]
    return page


def inventory_of(samples: list[Sample]) -> Inventory:
    """Return a province that knows these series."""
    small = a_province([YPHU])
    series = tuple(Series(YPHU, one.check, one.target, one.line) for one in samples)
    gateway = small.checks["gateway"]
    return replace(
        small,
        checks={one.check: replace(gateway, id=one.check, kind=one.kind) for one in samples},
        subjects=dict.fromkeys(series, YPHU),
        series_of_agent={YPHU: series},
        interval_of=dict.fromkeys(series, 60.0),
    )
