"""A stretch of the past, lived by real programs and gone through again from what is on disk."""

import asyncio
import subprocess
import time
from contextlib import closing

import pytest

from collector.backup import JOURNAL
from collector.database import open_reader
from collector.diagnosis.incidents import Incidents
from collector.diagnosis.store import Store
from collector.explain_command import entries_between
from collector.inventory.load import load
from collector.past.record import RECORD, read_heard
from collector.past.replay import replay
from tests.e2e.province import COLLECTOR, province
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
SITE, OTHER = "04792", "04813"


async def count(made, cause: str, number: int) -> None:
    """Wait until so many incidents of a cause are open."""
    await until(
        lambda: len(made.series("thongsuot_incident", cause=cause)) == number,
        seconds=40,
        what=f"{number} {cause}",
    )


async def test_a_lived_stretch_is_judged_the_same_again(tmp_path):
    """A portal, a PC, a collector killed between, a goodbye: the same causes, sites and times."""
    begin = time.time() - 1
    with province(tmp_path, agents=(SITE, OTHER)) as made:
        await made.ready()
        await made.measured()
        made.portal.stop()
        await until(lambda: made.series("thongsuot_incident"), seconds=30, what="opened")
        asked = await asyncio.to_thread(explained, tmp_path)
        print(asked)
        made.portal.start()
        await until(lambda: not made.series("thongsuot_incident"), seconds=60, what="closed")
        made.agents[SITE].kill()
        await count(made, "site_silent", 1)
        made.collector.kill()
        made.collector.start()
        await made.ready()
        await count(made, "site_silent", 1)
        made.agents[SITE].start()
        await count(made, "site_silent", 0)
        assert made.agents[OTHER].stop() == 0
        await until(lambda: made.site_up(OTHER) != 1, seconds=20, what="gone in order")
        assert made.collector.stop() == 0
    end, state, inventory = time.time(), tmp_path / "state", load(tmp_path / "province")
    store = Store(state / "state.sqlite")
    stored = {told(one) for one in store.closed_since(0.0) + store.open_incidents()}
    store.close()
    with closing(open_reader(state / RECORD)) as record:
        heard = list(read_heard(record, begin, end))
    again, found = Incidents(), {}
    with closing(open_reader(state / JOURNAL)) as journal:
        entries = entries_between(journal, begin, end)
        for fleet, now in replay(inventory, heard, entries, begin, end):
            for change in again.observe(fleet, now):
                found[change.incident.id] = change.incident
    assert {told(one) for one in found.values()} == stored
    assert {cause for cause, *_ in stored} >= {"site_silent"}
    assert "-> " in asked


def explained(folder):
    """Return what the command prints, beside the running collector."""
    words = ["explain", "-c", f"{folder}/collector.yml", "--site", SITE]
    done = subprocess.run([*COLLECTOR, *words], capture_output=True, check=True, timeout=60)
    return done.stdout.decode()


def told(incident):
    """Return what people are told of an incident."""
    what = (incident.cause, incident.key, incident.sites, incident.severity)
    return (*what, incident.since, incident.closed_at, incident.ending)
