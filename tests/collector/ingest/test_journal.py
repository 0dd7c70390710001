import asyncio
import os
import sqlite3
import stat
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.ingest.chain import Verdict, verify
from collector.ingest.clock import Anchor
from collector.ingest.entries import Entry
from collector.ingest.journal import Journal, JournalError
from collector.ingest.writer import Writer
from tests.collector.ingest.entries import entry
from tests.collector.ingest.pushes import AGENT, BOOT, MACHINE, NOON, sample


@pytest.fixture
async def journal(tmp_path):
    """Return a new journal with a short window."""
    opened = Journal(tmp_path / "journal.sqlite", lambda: NOON, window_seconds=0.001)
    yield opened
    await opened.close()


async def test_what_was_appended_is_read_back(journal):
    """An entry comes back with the bytes, the times and the marks it was kept with."""
    first = entry(1)
    second = msgspec.structs.replace(
        entry(2, ntp_offset=-1.5, ntp_age=9.0), trusted=False, quarantined=[0]
    )
    assert await journal.append([first, second]) == [True, True]
    fields = [msgspec.structs.asdict(one) for one in (first, second)]
    assert await journal.read(0, 10) == [Entry(id=n, **each) for n, each in enumerate(fields, 1)]
    assert [one.id for one in await journal.read(1, 10)] == [2]
    assert [one.id for one in await journal.read(0, 1)] == [1]


async def test_a_second_arrival_changes_nothing(journal):
    """The same identity again is acknowledged, and kept once: alone, and twice in one push."""
    assert await journal.append([entry(1)]) == [True]
    assert await journal.append([entry(1), entry(2), entry(2)]) == [False, True, False]
    assert [one.seq for one in await journal.read(0, 10)] == [1, 2]
    assert (journal.appended, journal.duplicates, journal.conflicts) == (2, 2, 0)


async def test_other_bytes_under_the_same_identity_are_a_conflict(journal, caplog):
    """The first bytes stay, the second are counted and told, and both are acknowledged."""
    first, other = entry(1), entry(1, samples=[sample(duration=9.0)])
    assert await journal.append([first]) == [True]
    assert await journal.append([other]) == [False]
    assert journal.conflicts == 1
    assert [one.body for one in await journal.read(0, 10)] == [first.body]
    assert (
        f"batches came again with other bytes, first kept count=1 first={AGENT}/{BOOT}/1"
        in caplog.text
    )


async def test_identities_are_apart_by_agent_and_boot(journal):
    """The same number of another boot, or of another agent, is another batch."""
    new = await journal.append([entry(1), entry(1, boot="b1" * 16), entry(1, agent="04793")])
    assert new == [True, True, True]


async def test_ranges_have_the_holes_that_are_there(journal):
    """Fresh batches come before old ones: what is missing between stays missing."""
    await journal.append([entry(seq) for seq in (1, 2, 3, 7, 9)])
    assert list(await journal.ranges(AGENT, BOOT)) == [(1, 3), (7, 7), (9, 9)]
    await journal.append([entry(8)])
    assert list(await journal.ranges(AGENT, BOOT)) == [(1, 3), (7, 9)]
    assert list(await journal.ranges(AGENT, "nobody")) == []


async def test_everything_is_there_after_a_restart(journal, tmp_path):
    """Entries, ranges, cursors, clocks, ids and the chain go on where they were."""
    anchor = Anchor(agent=AGENT, machine_boot=MACHINE, at=1.5, error=0.25, learned_mono=3.0)
    await journal.append([entry(1), entry(3)], [anchor])
    await journal.set_cursor("remote-write", 1)
    await journal.close()
    again = Journal(tmp_path / "journal.sqlite", lambda: NOON)
    assert list(await again.ranges(AGENT, BOOT)) == [(1, 1), (3, 3)]
    assert await again.append([entry(2), entry(3)]) == [True, False]
    assert [one.id for one in await again.read(0, 10)] == [1, 2, 3]
    assert await again.cursor("remote-write") == 1
    assert await again.cursor("nobody") == 0
    assert await again.anchors() == [anchor]
    assert again.newest_id == 3
    await again.close()
    assert verify(tmp_path / "journal.sqlite") == verified(3)


def verified(entries: int, first: int = 1) -> Verdict:
    """Return the verdict on a sound chain."""
    return Verdict(entries=entries, first=first, last=first + entries - 1)


async def test_an_append_is_answered_only_after_the_commit(journal, monkeypatch):
    """While the disk works nobody is answered; the commit asks SQLite for a full fsync."""
    release = threading.Event()
    committed = []
    commit = Writer.commit

    def slow(self, group, now):
        release.wait(5)
        result = commit(self, group, now)
        committed.append(len(group))
        return result

    monkeypatch.setattr(Writer, "commit", slow)
    futures = [asyncio.ensure_future(journal.append([entry(seq)])) for seq in range(1, 9)]
    await asyncio.sleep(0.05)
    assert not any(future.done() for future in futures)
    assert await journal.read(0, 10) == []
    release.set()
    assert await asyncio.gather(*futures) == [[True]] * 8
    assert committed == [8]
    assert journal._writer._database.pragma("synchronous") == 2
    assert journal._writer._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_reader_is_not_held_up_by_a_commit(journal, monkeypatch):
    """Who reads the journal never waits for who writes it."""
    await journal.append([entry(1)])
    release = threading.Event()
    commit = Writer.commit

    def slow(self, group, now):
        release.wait(5)
        return commit(self, group, now)

    monkeypatch.setattr(Writer, "commit", slow)
    waiting = journal.append([entry(2)])
    async with asyncio.timeout(1):
        assert len(await journal.read(0, 10)) == 1
    release.set()
    assert await waiting == [True]


async def test_a_disk_that_fails_acknowledges_nothing(journal, caplog):
    """Every append of the group is told; when the disk is back, so is the journal."""
    await journal.append([entry(1)])
    pages = journal._writer._database.pragma("page_count")
    journal._writer._database.execute(f"PRAGMA max_page_count = {pages}")
    big = [sample(facts={str(n): "ạ" * 2_000 + os.urandom(700).hex() for n in range(60)})]
    lost = [journal.append([entry(seq, samples=big)]) for seq in (2, 3)]
    results = await asyncio.gather(*lost, return_exceptions=True)
    assert [str(result) for result in results] == [
        "the journal cannot be written: database or disk is full"
    ] * 2
    assert all(isinstance(result, JournalError) for result in results)
    assert journal.failing == "database or disk is full"
    assert list(await journal.ranges(AGENT, BOOT)) == [(1, 1)]
    assert await journal.append([entry(2), entry(4)]) == [True, True]
    assert journal.failing == ""
    assert "journal cannot be written error=database or disk is full" in caplog.text
    assert "journal writable again" in caplog.text
    assert verify(journal.path) == verified(3)


async def test_a_commit_that_was_taken_although_it_failed_is_found(journal, monkeypatch):
    """Only the file knows whether a failed commit was taken: it is asked again."""
    commit = Writer.commit

    def lies(self, group, now):
        commit(self, group, now)
        self._broken = True
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "commit", lies)
        with pytest.raises(JournalError):
            await journal.append([entry(1)])
    assert await journal.append([entry(1), entry(2)]) == [False, True]
    assert verify(journal.path) == verified(2)


async def test_too_much_before_the_disk_is_refused(journal, monkeypatch):
    """A disk that hangs fills no memory: agents are asked to keep theirs."""
    monkeypatch.setattr("collector.ingest.journal.MAX_WAITING_BYTES", 100)
    waiting = journal.append([entry(1)])
    with pytest.raises(JournalError) as caught:
        journal.append([entry(2)])
    assert str(caught.value) == "more waits for the disk than it can take"
    assert await waiting == [True]
    assert await journal.append([entry(2)]) == [True]


async def test_a_closed_journal_takes_nothing_and_loses_nothing(tmp_path):
    """What was appended before the end is kept; what comes after is refused."""
    journal = Journal(tmp_path / "journal.sqlite", lambda: NOON)
    waiting = journal.append([entry(1)])
    await journal.close()
    assert waiting.result() == [True]
    with pytest.raises(JournalError) as caught:
        journal.append([entry(2)])
    assert str(caught.value) == "the journal is closed"
    assert verify(journal.path) == verified(1)


CHANGES = {
    "a body": "UPDATE entries SET body = (SELECT body FROM entries WHERE id = 1) WHERE id = 3",
    "a body that is none": "UPDATE entries SET body = x'00' WHERE id = 3",
    "a time": "UPDATE entries SET times = zeroblob(8) WHERE id = 3",
    "an arrival": "UPDATE entries SET received_at = received_at + 1 WHERE id = 3",
    "a mark": "UPDATE entries SET trusted = 0 WHERE id = 3",
    "an agent": "UPDATE boots SET agent = '04793' WHERE agent = '04799'",
    "a number": "UPDATE entries SET seq = 33 WHERE id = 3",
    "a row": "DELETE FROM entries WHERE id = 2",
}


@pytest.mark.parametrize("what", CHANGES)
async def test_whatever_is_changed_breaks_the_chain(journal, what):
    """No field of an entry can be changed, and no entry taken out, without being found."""
    await journal.append([entry(1), entry(2), entry(1, agent="04799"), entry(4)])
    assert verify(journal.path) == verified(4)
    with sqlite3.connect(journal.path) as database:
        database.execute(CHANGES[what])
    database.close()
    assert verify(journal.path).broken_at == (2 if what == "a row" else 3)


async def test_a_damaged_entry_stops_no_reader(journal, caplog):
    """What the disk lost is left out, counted and told; the rest is read."""
    await journal.append([entry(1), entry(2), entry(3)])
    with sqlite3.connect(journal.path) as database:
        database.execute("UPDATE entries SET body = x'00' WHERE id = 1")
        database.execute("UPDATE entries SET times = x'00' WHERE id = 2")
    database.close()
    assert [one.id for one in await journal.read(0, 10)] == [3]
    assert journal.damaged == 2
    assert "journal entry damaged id=1" in caplog.text
    assert await journal.append([entry(1)]) == [False]


async def test_old_entries_are_removed_and_still_known(journal, monkeypatch):
    """Removed batches are not taken again, and the chain begins where it was cut."""
    monkeypatch.setattr("collector.ingest.writer._REMOVED_AT_ONCE", 2)
    await journal.append([entry(seq, received_at=NOON + seq) for seq in range(1, 8)])
    assert await journal.remove(received_before=NOON + 6, max_bytes=1 << 40) == 5
    assert [one.id for one in await journal.read(0, 10)] == [6, 7]
    assert verify(journal.path) == verified(2, first=6)
    assert await journal.append([entry(1)]) == [False]
    assert await journal.remove(received_before=NOON + 60, max_bytes=1 << 40) == 2
    assert journal.newest_id == 7
    await journal.close()
    again = Journal(journal.path, lambda: NOON)
    assert await again.append([entry(1), entry(9)]) == [False, True]
    assert [one.id for one in await again.read(0, 10)] == [8]
    await again.close()
    assert verify(journal.path) == verified(1, first=8)


async def test_a_full_journal_loses_its_oldest(journal, monkeypatch):
    """Beyond the size that is allowed the oldest entries go first."""
    monkeypatch.setattr("collector.ingest.writer._REMOVED_AT_ONCE", 10)
    big = [sample(facts={"x": os.urandom(900).hex()}) for _ in range(3)]
    await journal.append([entry(seq, samples=big) for seq in range(1, 101)])
    assert 10 <= await journal.remove(received_before=0, max_bytes=200_000) < 100
    left = [one.seq for one in await journal.read(0, 1_000)]
    assert left == list(range(101 - len(left), 101))


async def test_a_time_is_found_by_halves(journal):
    """The id behind which entries were received at a time or later."""
    await journal.append([entry(seq, received_at=NOON + seq // 2) for seq in range(1, 10)])
    for moment in (-1, 0, 1, 2.5, 4, 99):
        expected = sum(seq // 2 < moment for seq in range(1, 10))
        assert await journal.before(NOON + moment) == expected, moment
    await journal.remove(received_before=NOON + 2, max_bytes=1 << 40)
    assert await journal.before(NOON) == 3


def test_the_files_are_for_their_owner_only(tmp_path):
    """Nobody else may read what the journal keeps."""
    Writer(tmp_path / "state" / "journal.sqlite").commit([], NOON)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    for path in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 12)), max_size=6), max_size=8)
)
def test_any_order_of_arrivals_keeps_each_identity_once(tmp_path_factory, pushes):
    """Whatever comes in whatever order, new is what was not there, and the chain is sound."""
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"

    async def check() -> None:
        journal = Journal(path, lambda: NOON, window_seconds=0)
        seen: set[tuple[str, int]] = set()
        waiting = [
            journal.append([entry(seq, boot=boot * 32) for boot, seq in one]) for one in pushes
        ]
        for one, answer in zip(pushes, await asyncio.gather(*waiting), strict=True):
            for identity, new in zip(one, answer, strict=True):
                assert new == (identity not in seen)
                seen.add(identity)
        kept = {(each.boot[0], each.seq) for each in await journal.read(0, 100)}
        assert kept == seen
        for boot in "ab":
            ranges = await journal.ranges(AGENT, boot * 32)
            assert {n for a, z in ranges for n in range(a, z + 1)} == {
                seq for which, seq in seen if which == boot
            }
        await journal.close()
        assert verify(path).broken_at is None

    asyncio.run(check())
