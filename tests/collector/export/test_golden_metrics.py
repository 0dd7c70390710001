"""The metrics of every kind of probe, by really running it: no name changes by accident.

Each kind's test module has a context manager `tried(pki)`, which yields one target that succeeds
and one that fails. Each file under tests/golden_metrics lists names, types and labels (of `phase`
the values too) after both. Dashboards and rules may use what stands there.
"""

import dataclasses
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

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
from tests.agent.probes.tries import Pair, Tried
from tests.collector.a_province import NOON, YPHU, a_province
from tests.collector.export.pages import named, promtool_says, shape
from tests.pki import Pki, make_pki

LOOPBACK = Line(name="lo", select="interface", interface="lo")


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


@pytest.mark.real
@pytest.mark.parametrize("kind", PROBES)
async def test_every_kind_keeps_its_metrics(kind, env, pki, golden):
    """Names, types, labels and phases are those of the golden file."""
    async with tries_of(kind)(pki) as tried:
        pages = [await page_after(kind, one, env) for one in tried if one is not None]

    text = "".join(
        f"after an attempt that {word}\n" + "".join(f"  {line}\n" for line in shape(page, "probe_"))
        for word, page in zip(("succeeded", "failed"), pages, strict=False)
    )
    golden(f"golden_metrics/{kind}.txt", text)


@pytest.mark.real
async def test_promtool_likes_every_kind(env, pki):
    """All of them on one page: the field's own linter finds nothing."""
    samples = []
    for kind in PROBES:
        async with tries_of(kind)(pki) as tried:
            samples += [await sample_of(kind, one, env) for one in tried if one is not None]
    page = await page_of(samples)

    assert await promtool_says(page) == ""


def test_no_two_rows_claim_one_name():
    """A value has one meaning and one type, whichever kind reports it."""
    rows: dict[str, tuple[bool, str]] = {}
    for probe in PROBES.values():
        for row in probe.values:
            assert rows.setdefault(row.name, (row.counter, row.help)) == (row.counter, row.help)
            assert row.counter == row.name.endswith("_total")
    durations = {place.family for layout in LAYOUTS.values() for place in layout.phases.values()}
    durations.add("probe_duration_seconds")
    assert durations.isdisjoint(f"probe_{name}" for name in rows)
    assert not {"probe_success", "probe_all_success"} & {f"probe_{name}" for name in rows}
    assert len(MEASURED) == len(set(MEASURED))


def tries_of(kind: str) -> Callable[[Pki], AbstractAsyncContextManager[Pair]]:
    """Return what a kind's own test module offers to be tried on."""
    module = import_module(f"tests.agent.probes.test_{kind}")
    tried: Callable[[Pki], AbstractAsyncContextManager[Pair]] = module.tried
    return tried


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
    run.target = dataclasses.replace(run.target, slot=tried.slot)
    for _ in range(tried.looks):
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
