"""Readers of the journal: where they go on, what retention keeps for them, what they lose."""

import os

import pytest

from collector.ingest.chain import verify
from collector.ingest.journal import Journal
from tests.collector.ingest.entries import entry
from tests.collector.ingest.pushes import NOON, sample

PLENTY = 1 << 40


@pytest.fixture
async def journal(tmp_path, monkeypatch):
    """Return a new journal that removes two entries at once."""
    monkeypatch.setattr("collector.ingest.writer._REMOVED_AT_ONCE", 2)
    opened = Journal(tmp_path / "journal.sqlite", lambda: NOON, window_seconds=0)
    yield opened
    await opened.close()


async def fill(journal: Journal, number: int) -> None:
    """Append entries of about 6 kB, one received each second."""
    for seq in range(journal.newest_id + 1, journal.newest_id + number + 1):
        facts = {"noise": os.urandom(3_000).hex()}
        await journal.append([entry(seq, received_at=NOON + seq, samples=[sample(facts=facts)])])


async def kept(journal: Journal) -> list[int]:
    """Return the ids that are there."""
    return [one.id for one in await journal.read(0, 1_000)]


async def again(journal: Journal) -> Journal:
    """Return the journal as the next run opens it."""
    await journal.close()
    return Journal(journal.path, lambda: NOON)


async def test_a_reader_goes_on_where_it_was(journal):
    """From the oldest entry at first, later behind what it was done with; its own word counts more."""
    await fill(journal, 5)
    assert await journal.register("new") == 0
    await journal.set_cursor("new", 3)
    assert await journal.register("own", at=4) == 4
    journal.advance("own", 5)
    next_run = await again(journal)
    assert next_run.readers == {}
    assert await next_run.register("new") == 3
    assert await next_run.register("own", at=5) == 5
    assert await next_run.register("ahead", at=99) == 5, "of a journal that was put back"
    await next_run.close()


async def test_age_waits_for_the_slowest_reader(journal):
    """What is too old stays while somebody registered still needs it, and goes then."""
    await fill(journal, 9)
    await journal.register("slow")
    await journal.register("quick")
    await journal.set_cursor("quick", 9)
    await journal.set_cursor("slow", 3)
    assert await journal.remove(received_before=NOON + 99, max_bytes=PLENTY) == 3
    assert await kept(journal) == [4, 5, 6, 7, 8, 9]
    await journal.set_cursor("slow", 9)
    assert await journal.remove(received_before=NOON + 8, max_bytes=PLENTY) == 4
    assert await kept(journal) == [8, 9]
    assert {reader.lost for reader in journal.readers.values()} == {0}


async def test_who_is_not_registered_holds_nothing_up(journal):
    """A reader that is no longer configured is not waited for; if it comes back it is told."""
    await fill(journal, 6)
    await journal.register("gone")
    await journal.set_cursor("gone", 2)
    next_run = await again(journal)
    assert await next_run.remove(received_before=NOON + 6, max_bytes=PLENTY) == 5
    assert await next_run.register("gone") == 5
    assert next_run.readers["gone"].lost == 3
    assert await next_run.register("gone") == 5
    assert next_run.readers["gone"].lost == 3, "counted once"
    await next_run.close()


async def test_beyond_the_bound_the_lost_range_is_counted_and_told(journal, caplog):
    """The disk is finite: a reader that stands still loses the oldest, and everybody learns it."""
    await journal.register("stuck")
    await journal.register("quick")
    await fill(journal, 40)
    await journal.set_cursor("quick", 40)
    await journal.set_cursor("stuck", 4)
    database = journal._writer._database
    used = database.pragma("page_count") * database.pragma("page_size")
    assert await journal.remove(received_before=0, max_bytes=int(used / 1.2)) == 4, "not beyond"
    gone = await journal.remove(received_before=0, max_bytes=100_000)
    assert 5 < gone < 40
    assert await kept(journal) == list(range(gone + 5, 41))
    assert (journal.readers["stuck"].done, journal.readers["stuck"].lost) == (gone + 4, gone)
    assert journal.readers["quick"].lost == 0
    assert (
        f"journal entries removed before a reader was done name=stuck entries={gone}" in caplog.text
    )
    await fill(journal, 10)
    more = await journal.remove(received_before=0, max_bytes=100_000)
    assert journal.readers["stuck"].lost == gone + more
    next_run = await again(journal)
    assert await next_run.register("stuck") == gone + more + 4
    assert next_run.readers["stuck"].lost == gone + more
    assert verify(next_run.path).first == gone + more + 5
    assert await next_run.losses("stuck") == [(5, gone + more + 4)]
    await next_run.close()
