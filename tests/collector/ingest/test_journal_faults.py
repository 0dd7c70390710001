"""The journal under kill -9 at random moments, and on a file that lost some of its pages."""

import asyncio
import multiprocessing
import os
import random
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from collector.database import open_reader
from collector.ingest import writer
from collector.ingest.chain import Verdict, verify
from collector.ingest.journal import Journal
from tests.collector.ingest.entries import entry
from tests.collector.ingest.pushes import AGENT, BOOT, NOON, sample
from tests.waiting import until_sync

KILLS = 50
forking = multiprocessing.get_context("forkserver")


def append_for_ever(path: Path, first: int, acknowledged: int) -> None:
    """Append batches five at a time; write the number of each one that was acknowledged."""

    async def main() -> None:
        journal = Journal(path, lambda: NOON, window_seconds=0.0005)
        await journal.register("slow")

        async def one(seq: int) -> None:
            await journal.append([entry(seq)])
            os.write(acknowledged, b"%d\n" % seq)

        for number in range(first, first + 10**6, 5):
            await asyncio.gather(*(one(seq) for seq in range(number, number + 5)))
            await journal.set_cursor("slow", journal.newest_id)
            await journal.remove(received_before=0.0, max_bytes=300_000)

    asyncio.run(main())


def run_child(path: Path, first: int, out: Path) -> None:
    """Be the process that is killed."""
    writer._REMOVED_AT_ONCE = 20
    append_for_ever(path, first, os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT))


def lines(out: Path) -> list[int]:
    """Return the numbers that were written whole."""
    data = out.read_bytes() if out.exists() else b""
    return [int(line) for line in data.splitlines(keepends=True) if line[-1:] == b"\n"]


@pytest.mark.slow
def test_50_kills_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path):
    """One journal, killed again and again with its old state: all is there, and the chain holds."""
    path, out = tmp_path / "journal.sqlite", tmp_path / "acknowledged"
    forking.set_forkserver_preload([__name__])
    chance = random.Random(4)
    for _ in range(KILLS):
        before = len(lines(out))
        first = 1 + max([*lines(out), *known(path)], default=0)
        child = forking.Process(target=run_child, args=(path, first, out))
        child.start()
        try:
            until_sync(lambda: len(lines(out)) > before, seconds=30, what="an acknowledgement")  # noqa: B023
            time.sleep(chance.uniform(0.0, 0.05))
        finally:
            child.kill()
            child.join(10)
        assert set(lines(out)) <= known(path)
        assert verify(path).broken_at is None
    verdict = verify(path)
    print(f"{KILLS} kills, {len(lines(out))} acknowledged, {verdict}")
    assert (verdict.broken, verdict.last) == (0, len(known(path)))
    assert verdict.first > 1, "retention was at work too"
    with closing(open_reader(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (verdict.entries,)


def known(path: Path) -> set[int]:
    """Return the numbers that a new process would acknowledge."""

    async def ask() -> Iterable[tuple[int, int]]:
        journal = Journal(path, lambda: NOON)
        ranges = list(await journal.ranges(AGENT, BOOT))
        await journal.close()
        return ranges

    ranges = asyncio.run(ask()) if path.exists() else []
    return {seq for first, last in ranges for seq in range(first, last + 1)}


PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return a closed journal of 60 entries on about as many pages, and their bodies by id."""
    path = tmp_path_factory.mktemp("sound") / "journal.sqlite"

    async def fill() -> None:
        journal = Journal(path, lambda: NOON, window_seconds=0)
        noise = random.Random(1)
        for seq in range(1, 61):
            facts = {"noise": noise.randbytes(1_500).hex()}
            await journal.append([entry(seq, samples=[sample(facts=facts)])])
        await journal.close()

    asyncio.run(fill())
    return path.read_bytes(), asyncio.run(bodies_of(path))


async def bodies_of(path: Path) -> dict[int, bytes]:
    """Return what can be read of a journal, passing over what cannot, as readers do."""
    journal = Journal(path, lambda: NOON)
    found: dict[int, bytes] = {}
    after = 0
    while after < journal.newest_id:
        some = await journal.read(after, 7)
        found |= {one.id: one.body for one in some}
        after = some[-1].id if len(some) == 7 else after + 7
    await journal.close()
    return found


@pytest.mark.parametrize("length", [1, 64, PAGE, 4 * PAGE])
def test_damage_anywhere_in_the_file_is_found(sound, tmp_path, length):
    """Whatever bytes rot, no reader is given a wrong batch or an exception, and the chain tells.

    Where SQLite cannot even open the file, the collector does not start, and says so.
    """
    whole, bodies = sound
    chance = random.Random(length)
    refused = 0
    for number in range(40):
        at = chance.randrange(len(whole) - length)
        path = tmp_path / f"{number}.sqlite"
        path.write_bytes(whole[:at] + chance.randbytes(length) + whole[at + length :])
        try:
            found = asyncio.run(bodies_of(path))
            verdict = verify(path)
        except sqlite3.DatabaseError:
            refused += 1
            continue
        assert found.items() <= bodies.items()
        missing = bodies.keys() - found.keys()
        assert verdict.broken >= len(missing), (at, missing)
    assert refused < 20


async def test_the_check_in_the_background_finds_what_verify_finds(tmp_path):
    """A little at a time, round and round, over restarts; each broken entry is told once a round."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, lambda: NOON, window_seconds=0)
    await journal.append([entry(seq) for seq in range(1, 1_001)])
    await journal.check(0.0)
    assert 0 < journal.checked < 1_000
    await journal.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE entries SET times = zeroblob(8) WHERE id = 900")
    again = Journal(path, lambda: NOON)
    while await again.cursor("check") < 1_000:
        await again.check(0.0)
    assert again.checked + journal.checked == 1_000
    assert again.broken == 1
    await again.check(10.0)
    await again.check(10.0)
    assert again.broken == 2
    assert await again.append([entry(1_001)]) == [True]
    await again.close()
    assert verify(path) == Verdict(entries=1_001, first=1, last=1_001, broken_at=900, broken=1)
