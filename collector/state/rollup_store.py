"""RollupStore: the minutes on disk, and how far the journal is in them.

The cursor stands in the transaction of the rows it vouches for, so a kill at any moment neither
loses a sample nor counts one twice. Nothing here is the only copy: a file that is missing, damaged
or of another journal is made anew from the journal.
"""

import logging
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from collector.database import Database, open_database
from collector.state.minutes import (
    MINUTES,
    Key,
    Open,
    merge,
    pack_hour,
    unpack_hour,
)
from collector.state.rollup import Count, Gathered
from collector.state.stretch import Stretch, join

SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    check_id TEXT NOT NULL,
    target TEXT NOT NULL,
    line TEXT NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (agent, check_id, target, line, kind, version)
) STRICT;
CREATE INDEX IF NOT EXISTS series_by_check ON series (check_id);
CREATE TABLE IF NOT EXISTS hours (
    series INTEGER NOT NULL REFERENCES series (id),
    hour INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (series, hour)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    series INTEGER NOT NULL REFERENCES series (id),
    hour INTEGER NOT NULL,
    boot BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    apart INTEGER NOT NULL,
    PRIMARY KEY (series, hour, boot)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stretches (
    agent TEXT NOT NULL,
    hour INTEGER NOT NULL,
    boot TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (agent, hour, boot)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reached (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    entry INTEGER NOT NULL,
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    seq INTEGER NOT NULL,
    received_at REAL NOT NULL
) STRICT;
"""
_FORMAT = 2
"""A file of another form is made anew."""
KEY = "agent, check_id, target, line, kind, version"

TABLES = ("hours", "counts", "stretches", "series", "reached")
_COUNT = (
    "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (series, hour, boot) DO UPDATE SET"
    " first = CASE WHEN first = 0 THEN excluded.first WHEN excluded.first = 0 THEN first"
    " ELSE min(first, excluded.first) END, last = max(last, excluded.last),"
    " stored = stored + excluded.stored, runs = runs + excluded.runs, apart = apart + excluded.apart"
)

log = logging.getLogger(__name__)


class DamagedError(sqlite3.DatabaseError):
    """What is in the file is not what was written: it is to be made anew."""


class Reached(Struct, frozen=True):
    """The last entry of the journal that is in the rows, and whose it was."""

    entry: int = 0
    agent: str = ""
    boot: str = ""
    seq: int = 0
    received_at: float = 0.0


class RollupStore:
    """The file, open for writing. One thread at a time; sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._open()
        except sqlite3.OperationalError:  # a disk that is full, say: nothing is wrong with the file
            raise
        except sqlite3.DatabaseError as exc:
            log.error("rollups are damaged and made anew path=%s error=%s", path, exc)  # noqa: TRY400 - known
            put_aside(path)
            self._open()

    def _open(self) -> None:
        self._database = open_database(self._path, SCHEMA, durable=False)
        self._ids: dict[Key, int] = {}
        try:
            self._mind_the_format()
            self.reached = read_reached(self._database)
        except BaseException:
            self._database.close()
            raise

    def _mind_the_format(self) -> None:
        if self._database.pragma("user_version") != _FORMAT:
            self._drop()
            self._database.executescript(SCHEMA)
            self._database.execute(f"PRAGMA user_version = {_FORMAT}")

    def _drop(self) -> None:
        for table in TABLES:
            self._database.execute(f"DROP TABLE IF EXISTS {table}")

    def save(self, gathered: Gathered, reached: Reached) -> None:
        """Add minutes to those there are, and go on to `reached`: all of it or nothing."""
        ids: dict[Key, int] = {}
        try:
            with self._database.transaction():
                for key, line in gathered.series.items():
                    series = self._ids.get(key)
                    if series is None:
                        series = ids[key] = self._id(key)
                    for hour, part in _by_hour(line.minutes):
                        self._add(series, hour, part)
                    self._count(series, line.counts)
                for (agent, boot), stretches in gathered.stretches.items():
                    self._stretch(agent, boot, stretches)
                self._database.execute(
                    "INSERT OR REPLACE INTO reached VALUES (1, ?, ?, ?, ?, ?)", astuple(reached)
                )
        except (ValueError, zlib.error) as exc:
            raise DamagedError(f"a row cannot be read: {exc}") from exc
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:
            raise DamagedError(str(exc)) from exc
        self._ids |= ids
        self.reached = reached

    def _id(self, key: Key) -> int:
        words = (key.agent, key.check, key.target, key.line, key.kind, key.version)
        self._database.execute(
            f"INSERT OR IGNORE INTO series ({KEY}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            words,
        )
        row = self._database.execute(
            f"SELECT id FROM series WHERE ({KEY}) = (?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            words,
        ).fetchone()
        return int(row[0])

    def _add(self, series: int, hour: int, part: dict[int, Open]) -> None:
        row = self._database.execute(
            "SELECT body FROM hours WHERE series = ? AND hour = ?", (series, hour)
        ).fetchone()
        if row is not None:
            kept = unpack_hour(hour, row[0])
            for at, one in part.items():
                if at in kept:
                    merge(kept[at], one)
                else:
                    kept[at] = one
            part = kept
        self._database.execute(
            "INSERT OR REPLACE INTO hours VALUES (?, ?, ?)", (series, hour, pack_hour(part))
        )

    def _count(self, series: int, counts: Mapping[tuple[int, str], Count]) -> None:
        self._database.executemany(
            _COUNT,
            [(series, hour, boot_key(boot), *astuple(c)) for (hour, boot), c in counts.items()],
        )

    def _stretch(self, agent: str, boot: str, stretches: Iterable[Stretch]) -> None:
        by_hour: dict[int, list[Stretch]] = {}
        for one in stretches:
            by_hour.setdefault(one.hour, []).append(one)
        for hour, new in by_hour.items():
            place = (agent, hour, boot)
            row = self._database.execute(
                "SELECT body FROM stretches WHERE (agent, hour, boot) = (?, ?, ?)", place
            ).fetchone()
            kept = decode_stretches(row[0]) if row else []
            self._database.execute(
                "INSERT OR REPLACE INTO stretches VALUES (?, ?, ?, ?)",
                (*place, msgspec.msgpack.encode(join([*kept, *new]))),
            )

    def clear(self) -> None:
        """Forget everything: it is to be counted anew from the journal's first entry."""
        with self._database.transaction():
            for table in TABLES:
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
        self._ids.clear()
        self.reached = Reached()

    def remove(self, before: float) -> int:
        """Remove the hours that ended before a moment; return how many rows."""
        hour = int(before // 3600)
        with self._database.transaction():
            gone = self._database.execute(
                "DELETE FROM hours WHERE series IN (SELECT id FROM series) AND hour < ?", (hour,)
            ).rowcount
            self._database.execute(
                "DELETE FROM counts WHERE series IN (SELECT id FROM series) AND hour < ?", (hour,)
            )
            self._database.execute(
                "DELETE FROM stretches WHERE agent IN (SELECT DISTINCT agent FROM stretches)"
                " AND hour < ?",
                (hour,),
            )
            self._database.execute(
                "DELETE FROM series WHERE id NOT IN (SELECT DISTINCT series FROM hours)"
            )
        self._ids.clear()
        return gone

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def read_reached(database: Database) -> Reached:
    """Return how far the journal is in the rows."""
    row = database.execute("SELECT entry, agent, boot, seq, received_at FROM reached").fetchone()
    return Reached(*row) if row else Reached()


def _by_hour(minutes: dict[int, Open]) -> Iterator[tuple[int, dict[int, Open]]]:
    hours: dict[int, dict[int, Open]] = {}
    for at, one in minutes.items():
        hours.setdefault(at // MINUTES, {})[at] = one
    yield from hours.items()


def put_aside(path: Path) -> None:
    """Take a damaged file out of the way; one that was there before is gone."""
    path.replace(path.with_name(path.name + ".damaged"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def boot_key(boot: str) -> bytes:
    """Return what stands for a boot in `counts`: enough to tell an agent's boots apart."""
    return sha256(boot.encode()).digest()[:8]


decode_stretches = msgspec.msgpack.Decoder(list[Stretch]).decode
