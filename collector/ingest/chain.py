"""Chain: following the journal's hashes, to find what is not as it was written.

A reader's connection is passed in; everything here blocks, and reads so few entries at a time that
neither retention nor the folding of SQLite's log ever waits for it.
"""

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from collector.database import Database, open_reader
from collector.ingest import entries
from collector.ingest.entries import GENESIS

_AT_ONCE = 200
_AGENT = 2


class Head(Struct, frozen=True):
    """One link of the chain."""

    id: int
    hash: bytes


class Verdict(Struct, frozen=True, kw_only=True):
    """What following the chain of hashes came to."""

    entries: int
    """How many were looked at."""
    first: int | None
    last: int | None
    broken_at: int | None = None
    """The first entry that is not what was written, or does not follow the one before."""
    broken: int = 0
    """How many there are of them."""


class Walk:
    """Goes along the chain and steps over what is broken, after telling of it."""

    def __init__(self, after: int = 0) -> None:
        """Begin behind an entry that is taken as it stands."""
        self.at = after
        self.entries = 0
        self.first: int | None = None
        self.broken: list[int] = []
        self._hash: bytes | None = None
        """Of the entry at `at`; None where it is not known, and the next one has nothing to follow."""

    def step(self, database: Database, seconds: float = float("inf")) -> bool:
        """Look at what comes next, for about so long; False when there is nothing more."""
        until = time.monotonic() + seconds
        while self._some(database):
            if time.monotonic() >= until:
                return True
        return False

    def _some(self, database: Database) -> bool:
        begun = self.at
        with database.snapshot():
            removed = read_removed(database)
            if self.at <= removed.id:
                self.at, self._hash = removed.id, removed.hash
            elif self._hash is None:
                self._hash = _hash_of(database, self.at)
            rows = list(read_rows(database, self.at, _AT_ONCE))
        for number, row in rows:
            self.entries += 1
            self.first = number if self.first is None else self.first
            self.broken += range(self.at + 1, min(number, self.at + _AT_ONCE))  # no id is left out
            if row is None or not self._follows(row):
                self.broken.append(number)
            self.at, self._hash = number, row[-1] if row else None
        return self.at != begun

    def _follows(self, row: tuple[Any, ...]) -> bool:
        if self._hash is None:
            return True
        try:
            return bool(entries.facts_of(row).link(self._hash) == row[-1])
        except zlib.error:
            return False


def verify(path: Path) -> Verdict:
    """Follow the chain from the first kept entry to the last. Blocks; sqlite3.Error if unreadable."""
    with closing(open_reader(path)) as database:
        walk = Walk()
        walk.step(database)
    return Verdict(
        entries=walk.entries,
        first=walk.first,
        last=walk.at if walk.entries else None,
        broken_at=walk.broken[0] if walk.broken else None,
        broken=len(walk.broken),
    )


def read_rows(
    database: Database, after: int, limit: int
) -> Iterator[tuple[int, tuple[Any, ...] | None]]:
    """Yield the ids that follow and their rows of READ; None where a page of the file is damaged.

    What should follow ends with the newest entry that SQLite can find at all.
    """
    try:
        rows = database.execute(
            f"{entries.READ} WHERE entries.id > ? ORDER BY entries.id LIMIT ?", (after, limit)
        ).fetchall()
    except sqlite3.DatabaseError:
        newest = read_head(database).id
        for number in range(after + 1, min(after + limit, newest) + 1):
            yield from _one_row(database, number)
    else:
        yield from ((row[0], _whole(row)) for row in rows)


def rows_since(database: Database, received_at: float) -> Iterator[tuple[Any, ...] | None]:
    """Yield what arrived since then and is there now, a few rows at a time; None as above."""
    after, newest = last_before(database, received_at), read_head(database).id
    while after < newest:
        rows = list(read_rows(database, after, _AT_ONCE))
        yield from (row for number, row in rows if number <= newest)
        after = rows[-1][0] if rows else after + _AT_ONCE


def _one_row(database: Database, number: int) -> Iterator[tuple[int, tuple[Any, ...] | None]]:
    try:
        row = database.execute(f"{entries.READ} WHERE entries.id = ?", (number,)).fetchone()
    except sqlite3.DatabaseError:
        yield number, None
    else:
        if row:
            yield number, _whole(row)


def _whole(row: tuple[Any, ...]) -> tuple[Any, ...] | None:
    return row if row[_AGENT] is not None else None


def _hash_of(database: Database, number: int) -> bytes | None:
    try:
        row = database.execute("SELECT hash FROM entries WHERE id = ?", (number,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row[0] if row else None


def read_head(database: Database) -> Head:
    """Return the last link of the chain; the genesis when there is none yet."""
    row = database.execute("SELECT id, hash FROM entries ORDER BY id DESC LIMIT 1").fetchone()
    return Head(*row) if row else read_removed(database)


def read_removed(database: Database) -> Head:
    """Return the link that the first kept entry builds on."""
    row = database.execute("SELECT id, hash FROM removed").fetchone()
    return Head(*row) if row else Head(0, GENESIS)


def last_before(database: Database, received_at: float) -> int:
    """Return the id behind which entries were received at this time or later.

    Searched by halves: ids and arrivals ascend together, and need no second index.
    """
    low, high = read_removed(database).id, read_head(database).id
    while low < high:
        middle = (low + high + 1) // 2
        row = database.execute("SELECT received_at FROM entries WHERE id = ?", (middle,)).fetchone()
        if row is None or row[0] >= received_at:
            high = middle - 1
        else:
            low = middle
    return low
