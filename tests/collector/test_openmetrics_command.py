"""`thongsuot-collector export openmetrics`: the same series as remote write, and what people are told."""

import contextlib
import os
import time
from datetime import UTC, datetime

import pytest

from agent.wire import EVIDENCE, Failure
from collector import openmetrics_command
from collector.config import CollectorConfig, Keep, Listen
from collector.evidence_export import ExportError
from collector.export.point_sort import PointSort
from collector.inventory.model import Series
from collector.openmetrics_command import Exported, export_openmetrics
from tests.collector.a_province import DC, YPHU, a_province, a_sample
from tests.collector.export.openmetrics import read_openmetrics
from tests.collector.export.receiving import GATEWAY, HOUR, Sender, a_sender, receiving
from tests.collector.export.write_requests import STALE_BITS, number
from tests.waiting import until

HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")


@pytest.fixture
async def receiver():
    """Return a receiver that takes everything."""
    async with receiving() as one:
        yield one


@pytest.fixture
async def sender(receiver, tmp_path):
    """Return a journal, and what sends it to the receiver."""
    async with a_sender(tmp_path, receiver.url) as one:
        yield one


def iso(age: float) -> str:
    """Return a moment so many seconds ago, as people type it."""
    return datetime.fromtimestamp(time.time() - age, UTC).isoformat(timespec="seconds")


def exported(sender: Sender, name: str = "out.om", **asked) -> tuple[Exported, dict]:
    """Export the sender's journal; return what was said and what was written."""
    home = sender.home
    config = CollectorConfig(
        province=home,
        state_directory=home,
        url="",
        listen=Listen(),
        tls=None,
        proxies=(),
        scrape_from=(),
        watch_from=(),
        keep=Keep(),
    )
    whole = {"begin": iso(6 * HOUR), "end": iso(-HOUR), "now": time.time(), **asked}
    inventory = whole.pop("inventory", sender.fleet.inventory)
    said = export_openmetrics(config, inventory, home / name, **whole)
    return said, read_openmetrics((home / name).read_text("utf-8"))


async def test_it_is_what_remote_write_sends(receiver, sender, monkeypatch):
    """Live, late and failed attempts of two checks: every series, time and value, and no other."""
    monkeypatch.setattr(
        openmetrics_command,
        "PointSort",
        lambda *words: PointSort(*words, held_points=5),
    )
    numbers = {"counters": {"all_success_sum": 3, "all_success_count": 4}}
    async with sender.sending():
        await sender.keep(
            3.0, 2.0, 1.0, duration=1 / 3, values={"icmp_loss_ratio": 1e-7, "new": 1.0}, **numbers
        )
        await sender.keep(9_000.0, 8_999.25, heard=False, **numbers)
        await sender.keep(4_000.0, 2.5, series=HTTP, failure=Failure.TIMEOUT, phases={"tls": 0.1})
        await sender.keep(5.0, kind=EVIDENCE)
        await sender.keep(6.0, error="no permission")
        await sender.keep(7.0, trusted=False)
        await sender.keep(3_600.0, -4_000.0, quarantined=(1,))
        await sender.keep(8.0, series=Series(YPHU, "gone", "x", ""))
        await until(lambda: len(receiver.times()) == 8, what="what is sent")
    sent = {
        (labels, at): number(bits)
        for labels, points in receiver.stored.items()
        for at, bits in points.items()
        if bits != STALE_BITS
    }

    said, found = exported(sender, end=iso(-2 * HOUR))

    assert found == sent
    assert f"{len(sent)} numbers of 8 attempts" in said.said
    assert {note.removeprefix("left out: ") for note in said.notes[:-2]} == {
        "numbers that this collector does not know, because an agent is newer than it: 3",
        "records of evidence, which hold no numbers: 1",
        "attempts in which nothing could be measured: 1",
        "attempts whose time is not known, because the PC's clock was not understood: 1",
        "attempts that were set apart, because their time lies ahead of the centre's: 1",
        "attempts of checks, targets or lines that the province has no more: 1",
    }


async def test_samples_are_chosen_by_their_own_time_and_by_site(sender):
    """A late batch belongs to its past; the beginning is in, the end is out; one place alone."""
    sender.fleet.inventory = inventory = a_province([YPHU, DC])
    web = Series(DC, "web", f"https://{YPHU}.example/", "")
    old = float(round(time.time() - 2 * HOUR))
    await sender.keep_at([old - 1, old, old + 60], [a_sample(GATEWAY)] * 3, heard=False)
    await sender.keep(HOUR, 10.0, heard=False)
    await sender.keep_at([old + 1], [a_sample(web)], agent=DC, heard=False)
    begin, end = (datetime.fromtimestamp(at, UTC).isoformat() for at in (old, old + 60))

    said, found = exported(sender, begin=begin, end=end, inventory=inventory)
    assert {(dict(labels)["check"], at) for labels, at in found} == {
        ("gateway", round(old * 1_000)),
        ("web", round((old + 1) * 1_000)),
    }
    _, here = exported(sender, "here.om", begin=begin, end=end, site=YPHU, inventory=inventory)
    assert here == found  # the data centre's look at its web site is about this place
    with pytest.raises(ExportError, match=f"{DC}: nothing to export"):
        exported(sender, "dc.om", begin=begin, end=end, site=DC, inventory=inventory)
    _, before = exported(sender, "before.om", begin=iso(3 * HOUR), end=begin, inventory=inventory)
    assert {at for _, at in before} == {round((old - 1) * 1_000)}
    later, _ = exported(
        sender, "old.om", begin=begin, end=end, now=old + 4 * HOUR, inventory=inventory
    )
    assert not any("3 hours" in note for note in later.notes)
    assert any("less than 3 hours ago" in note for note in said.notes)
    assert not (sender.home / "dc.om").exists()


async def test_what_cannot_be_exported(sender, tmp_path, monkeypatch):
    """Each mistake in one sentence; no half a file stays, and no other file is touched."""
    await sender.keep(3.0, series=GATEWAY)
    for asked, told in (
        ({"begin": "noon"}, "'noon': expected 2025-07-01 or 2025-07-01T09:30"),
        ({"begin": ""}, "--from and --to: expected"),
        ({"begin": iso(1), "end": iso(2)}, "expected an end behind the beginning"),
        ({"site": "99999"}, "99999: expected a site of"),
        ({"begin": iso(9 * HOUR), "end": iso(8 * HOUR)}, "the journal holds nothing that arrived"),
        ({"name": "nowhere/out.om"}, "out.om: cannot be written: No such file or directory"),
        ({"name": "journal.sqlite"}, "journal.sqlite: exists already, expected a new file"),
    ):
        with pytest.raises(ExportError, match=told):
            exported(sender, **asked)
    monkeypatch.setattr(os, "pread", full_disk)
    with pytest.raises(ExportError, match=r"out\.om: cannot be written: No space left on device"):
        exported(sender)
    assert not list(tmp_path.rglob("*.om"))
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "journal.sqlite").rename(tmp_path / "elsewhere")
    with pytest.raises(ExportError, match=r"journal\.sqlite: cannot be read"):
        exported(sender)


def full_disk(*_):
    """Refuse as a full disk does."""
    raise OSError(28, "No space left on device")
