"""Rollups on disk: each entry counted once, whatever is killed when."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import database
from collector.ingest.journal import Journal
from collector.state import rollup_follow
from collector.state.minutes import Track
from collector.state.rollup import Rollup
from collector.state.rollup_follow import Follower
from collector.state.rollup_read import RollupReader
from collector.state.rollup_store import Reached, RollupStore
from tests.collector.ingest.pushes import NOON
from tests.collector.ingest.test_journal import entry as fresh
from tests.collector.state.rolling import FakeJournal, attempt, entry
from tests.waiting import until, until_sync

DAY = 86_400.0


def some_entries(count: int, seed: int = 1) -> list:
    """Return entries of several agents and checks, live and late ones mixed."""
    chance = random.Random(seed)
    found = []
    for number in range(1, count + 1):
        samples = [
            attempt(check=chance.choice(["cong", "mang"]), duration=chance.randrange(10**6) / 1e6)
            for _ in range(chance.randrange(4))
        ]
        times = [NOON + chance.choice([0, -DAY, 59, 61, 3_599, 3_601]) for _ in samples]
        agent = chance.choice(["04792", "04793"])
        found.append(entry(number, samples, times, agent=agent))
    return found


def everything(path: Path) -> list[Track]:
    """Return all that is kept."""
    reader = RollupReader(path)
    try:
        return reader.of_agents(["04792", "04793"], 0.0, NOON + 10 * DAY)
    finally:
        reader.close()


def expected(entries: list, folder: Path) -> list[Track]:
    """Return what a store has to hold that was given all entries at once."""
    rollup = Rollup()
    for one in entries:
        if one is not None:
            rollup.fold(one)
    store = RollupStore(folder / "expected.sqlite")
    store.clear()
    store.save(rollup.take(), Reached(len(entries)))
    store.close()
    return sorted(everything(folder / "expected.sqlite"), key=lambda track: track.key)


def held(path: Path) -> list[Track]:
    """Return all that is kept, in an order of its own."""
    return sorted(everything(path), key=lambda track: track.key)


async def follow(path: Path, journal) -> None:
    """Follow a journal to its end, as the collector does, and stop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollup_follow, "RETRY_SECONDS", 0.01)
        patch.setattr(rollup_follow, "LOOK_SECONDS", 0.01)
        patch.setattr(rollup_follow, "SAVE_SECONDS", 0.0)
        follower, stopping = Follower(path, journal), asyncio.Event()
        running = asyncio.create_task(follower.run(stopping))
        await until(lambda: follower.settled, what="settled")
        stopping.set()
        await running


async def test_a_journal_is_folded_once_over_restarts(tmp_path, monkeypatch):
    """Stopped and started again and again, a follower goes on where it was."""
    monkeypatch.setattr(rollup_follow, "READ_AT_ONCE", 7)
    entries = some_entries(60)
    for end in (0, 20, 20, 45, 60):
        await follow(tmp_path / "rollup.sqlite", FakeJournal(entries[:end]))
    assert held(tmp_path / "rollup.sqlite") == expected(entries, tmp_path)


async def test_what_came_last_is_kept_at_the_end(tmp_path, monkeypatch):
    """Told to stop, a follower goes to the journal's end first, however seldom it looks."""
    monkeypatch.setattr(rollup_follow, "READ_AT_ONCE", 7)
    entries = some_entries(40)
    journal = FakeJournal([])
    follower, stopping = Follower(tmp_path / "rollup.sqlite", journal), asyncio.Event()
    running = asyncio.create_task(follower.run(stopping))
    await until(lambda: follower.settled, what="settled, and not looking again for seconds")
    journal.entries += entries
    stopping.set()
    await running
    assert held(tmp_path / "rollup.sqlite") == expected(entries, tmp_path)


async def test_a_long_backlog_does_not_hold_up_the_end(tmp_path, monkeypatch):
    """What cannot be folded in a few seconds is folded at the next start, each entry once."""
    monkeypatch.setattr(rollup_follow, "END_SECONDS", 0.0)
    entries = some_entries(40)
    journal = FakeJournal([])
    follower, stopping = Follower(tmp_path / "rollup.sqlite", journal), asyncio.Event()
    running = asyncio.create_task(follower.run(stopping))
    await until(lambda: follower.settled, what="settled")
    journal.entries += entries
    stopping.set()
    await running
    assert follower.behind == 40
    await follow(tmp_path / "rollup.sqlite", journal)
    assert held(tmp_path / "rollup.sqlite") == expected(entries, tmp_path)


async def test_entries_that_the_disk_lost_are_passed(tmp_path, monkeypatch):
    """A hole of any length in the journal holds nobody up."""
    monkeypatch.setattr(rollup_follow, "READ_AT_ONCE", 3)
    entries = some_entries(40)
    entries[5:16] = [None] * 11
    entries[39] = None
    journal = FakeJournal(entries)
    await follow(tmp_path / "rollup.sqlite", journal)
    await follow(tmp_path / "rollup.sqlite", journal)
    assert held(tmp_path / "rollup.sqlite") == expected(entries, tmp_path)


@pytest.mark.parametrize("damage", ["missing", "no database", "a row", "another journal", "older"])
async def test_a_file_that_cannot_be_trusted_is_made_anew(tmp_path, damage):
    """Missing, damaged, or made from a journal that is not this one: it is counted again."""
    path = tmp_path / "rollup.sqlite"
    entries = some_entries(40)
    before = {
        "another journal": some_entries(39, seed=2),
        "older": some_entries(50, seed=2),
    }.get(damage, entries[:30])
    await follow(path, FakeJournal(before))
    if damage == "missing":
        path.unlink()
    elif damage == "no database":
        path.write_bytes(b"not a database, whatever its name says" * 99)
    elif damage == "a row":
        with sqlite3.connect(path) as broken:
            broken.execute("UPDATE hours SET body = x'00'")
    if damage == "another journal":
        entries[38] = entry(39, [attempt()], [NOON], boot="c0" * 16)
    await follow(path, FakeJournal(entries))
    assert held(path) == expected(entries, tmp_path)


class Killed(BaseException):
    """Stands for the kill: nothing that runs after it is real."""


class Mortal(database.Database):
    """A connection whose process dies before its n-th statement; the disk stays as it was then."""

    left: int | None = None
    disk: Path
    grave: Path

    def execute(self, *words):
        """Run a statement, or die."""
        if Mortal.left is not None:
            if Mortal.left == 0:
                Mortal.left = -1
                shutil.copytree(Mortal.disk, Mortal.grave)
            if Mortal.left < 0:
                raise Killed
            Mortal.left -= 1
        return super().execute(*words)


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    kills=st.lists(st.integers(0, 40), max_size=5),
    seed=st.integers(0, 9),
)
def test_a_kill_between_any_two_writes_neither_loses_nor_doubles(pieces, kills, seed):
    """Whatever the disk held when the process died, going on from there ends at the same minutes."""
    entries = some_entries(sum(pieces), seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "Database", Mortal)
        life = 0
        Mortal.disk = Path(folder) / "0"
        Mortal.disk.mkdir()
        deaths = list(kills)
        while True:
            life += 1
            Mortal.grave = Path(folder) / str(life)
            Mortal.left = None
            try:
                store = RollupStore(Mortal.disk / "rollup.sqlite")
                Mortal.left = deaths.pop() if deaths else None
                _go_on(store, entries, pieces)
            except Killed:
                Mortal.left = None
                Mortal.disk = Mortal.grave
                continue
            break
        Mortal.left = None
        store.close()
        assert held(Mortal.disk / "rollup.sqlite") == expected(entries, Path(folder))


def _go_on(store: RollupStore, entries: list, pieces: list[int]) -> None:
    at = store.reached.entry
    for piece in pieces:
        rollup = Rollup()
        for one in entries[at : at + piece]:
            rollup.fold(one)
        at = min(at + piece, len(entries))
        store.save(rollup.take(), Reached(at))
    rollup = Rollup()
    for one in entries[at:]:
        rollup.fold(one)
    store.save(rollup.take(), Reached(len(entries)))


async def test_a_full_disk_is_waited_out(tmp_path, monkeypatch, caplog):
    """What could not be written is folded again from the journal when the disk takes it."""
    path = tmp_path / "rollup.sqlite"
    entries = some_entries(20)
    save, refused = RollupStore.save, []

    def refusing(self, gathered, reached):
        if len(refused) < 3:
            refused.append(reached.entry)
            raise sqlite3.OperationalError("database or disk is full")
        save(self, gathered, reached)

    monkeypatch.setattr(RollupStore, "save", refusing)
    await follow(path, FakeJournal(entries))
    assert held(path) == expected(entries, tmp_path)
    assert len(refused) == 3
    assert caplog.text.count("rollups cannot be written") == 1
    assert caplog.text.count("rollups can be written again") == 1


def test_old_hours_are_removed(tmp_path):
    """Retention takes whole hours, and series that are left without any."""
    store = RollupStore(tmp_path / "rollup.sqlite")
    rollup = Rollup()
    rollup.fold(entry(1, [attempt(check="old"), attempt()], [NOON - 30 * DAY, NOON - 30 * DAY]))
    rollup.fold(entry(2, [attempt()], [NOON]))
    store.save(rollup.take(), Reached(2))
    assert store.remove(NOON - 8 * DAY) == 2
    (track,) = everything(tmp_path / "rollup.sqlite")
    assert (track.key.check, len(track.minutes)) == ("cong", 1)
    rollup.fold(entry(3, [attempt(check="old")], [NOON]))
    store.save(rollup.take(), Reached(3))
    store.close()
    assert len(everything(tmp_path / "rollup.sqlite")) == 2


def test_reading_keeps_to_the_window(tmp_path):
    """From is in, to is not; what a person asks for in seconds is rounded outward to minutes."""
    store = RollupStore(tmp_path / "rollup.sqlite")
    rollup = Rollup()
    times = [NOON + 60 * n for n in range(180)]
    rollup.fold(entry(1, [attempt()] * 180, times))
    rollup.fold(entry(2, [attempt(check="other")], [NOON], agent="04793"))
    store.save(rollup.take(), Reached(2))
    store.close()
    reader = RollupReader(tmp_path / "rollup.sqlite")
    (track,) = reader.of_check("cong", NOON + 600, NOON + 7_200)
    assert [one.at for one in track.minutes] == [int(NOON // 60) + n for n in range(10, 120)]
    assert reader.of_check("cong", NOON + 180 * 60, NOON + DAY) == []
    (other,) = reader.of_agents(["04793"], NOON, NOON + 1)
    assert other.key.check == "other"
    assert reader.reached() == Reached(2)
    reader.close()


@pytest.mark.slow
def test_kill_minus_nine_at_random_moments(tmp_path):
    """A real process, killed in the midst of it twelve times, ends at the same minutes."""
    entries = asyncio.run(_journal(tmp_path / "journal.sqlite"))
    chance = random.Random(4)
    path = tmp_path / "rollup.sqlite"
    for kill in range(13):
        child = subprocess.Popen(
            [sys.executable, "-c", FOLLOWING, str(tmp_path)],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        if kill < 12:
            try:
                child.wait(chance.uniform(0.0, 0.25))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
        child.wait(60)
        child.stdout.close()
    until_sync(path.exists)
    assert held(path) == expected(entries, tmp_path)


FOLLOWING = """
import asyncio, sys, time
from pathlib import Path
from collector.ingest.journal import Journal
from collector.state import rollup_follow
from collector.state.rollup_follow import Follower

rollup_follow.SAVE_SECONDS, rollup_follow.READ_AT_ONCE, rollup_follow.SHARE = 0.01, 5, 0.9
rollup_follow.LOOK_SECONDS = 0.01

async def main():
    home = Path(sys.argv[1])
    journal = Journal(home / "journal.sqlite", time.time)
    follower = Follower(home / "rollup.sqlite", journal)
    print("ready", flush=True)
    while not follower.settled:
        await asyncio.sleep(await follower.step())
    stopping = asyncio.Event()
    stopping.set()
    await follower.run(stopping)
    await journal.close()

asyncio.run(main())
"""


async def _journal(path: Path) -> list:
    journal = Journal(path, lambda: NOON)
    chance = random.Random(9)
    batches = []
    for seq in range(1, 1_501):
        samples = [attempt(duration=chance.randrange(10**6) / 1e6) for _ in range(5)]
        batches.append(
            _with(fresh(seq, samples=samples), [NOON - chance.randrange(7_200) for _ in samples])
        )
    await journal.append(batches)
    entries = await journal.read(0, 2_000)
    await journal.close()
    return entries


def _with(batch, times):
    return msgspec.structs.replace(batch, times=[float(one) for one in times])
