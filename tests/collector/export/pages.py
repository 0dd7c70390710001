"""Reading the pages, and putting something on them."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT

from prometheus_client.parser import text_string_to_metric_families

from collector.inventory.model import Series
from collector.state.fleet import Fleet
from tests.collector.a_province import (
    NOON,
    YPHU,
    a_sample,
    gateway,
)
from tests.programs import program

GATEWAY = gateway(YPHU)
HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")


def measure(fleet: Fleet, series: Series, at: float = NOON, **said) -> None:
    """Apply one attempt as it happens."""
    fleet.apply(series.agent, a_sample(series, **said), at, trusted=True, now=at)


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Parse a page; every family must stand in one block, every series on one line."""
    found = {}
    names = set()
    for family in text_string_to_metric_families(page.decode()):
        assert family.name not in names, f"{family.name} stands in two blocks"
        names.add(family.name)
        assert family.documentation
        assert family.type in {"gauge", "counter", "summary", "histogram"}
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"{key} stands on two lines"
            found[key] = sample.value
    return found


def named(page: bytes, prefix: str) -> list[str]:
    """Return the lines of a metric."""
    return [line for line in page.decode().splitlines() if line.startswith(prefix)]


def shape(page: bytes, prefix: str) -> list[str]:
    """Return names, types and labels, without values and order; of `phase` the values too."""
    lines = set()
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name.startswith(prefix):
                words = sorted(
                    f'phase="{word}"' if label == "phase" else label
                    for label, word in sample.labels.items()
                )
                lines.add(f"{sample.name}{{{','.join(words)}}} {family.type}")
    return sorted(lines)


async def promtool_says(page: bytes) -> str:
    """Return what the field's own linter finds of names, types, help texts and doubles."""
    promtool = await asyncio.create_subprocess_exec(
        program("promtool"), "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await promtool.communicate(page)
    return said.decode() if promtool.returncode == 0 else f"exit {promtool.returncode}: {said!r}"
