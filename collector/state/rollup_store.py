"""RollupStore: the minutes on disk, and how far the journal is in them.

The cursor stands in the transaction of the rows it vouches for, so a kill at any moment neither
loses a sample nor counts one twice. Nothing here is the only copy: a file that is missing, damaged
or of another journal is made anew from the journal.
"""

import logging
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from collector.database import Database, open_database, open_reader
from collector.state.rollup import (
    MINUTES,
    Gathered,
    Key,
    Minute,
    Open,
    Track,
    merge,
    pack_hour,
    read_hour,
    unpack_hour,
)

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
CREATE TABLE IF NOT EXISTS reached (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    entry INTEGER NOT NULL,
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
"""
_KEY = "agent, check_id, target, line, kind, version"

log = logging.getLogger(__name__)


class DamagedError(sqlite3.DatabaseError):
    """What is in the file is not what was written: it is to be made anew."""


class Reached(Struct, frozen=True):
    """The last entry of the journal that is in the rows, and whose it was."""

    entry: int = 0
    agent: str = ""
    boot: str = ""
    seq: int = 0


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
            self.reached = _reached(self._database)
        except BaseException:
            self._database.close()
            raise

    def save(self, gathered: Gathered, reached: Reached) -> None:
        """Add minutes to those there are, and go on to `reached`: all of it or nothing."""
        ids: dict[Key, int] = {}
        try:
            with self._database.transaction():
                for key, minutes in gathered.items():
                    series = self._ids.get(key)
                    if series is None:
                        series = ids[key] = self._id(key)
                    for hour, part in _by_hour(minutes):
                        self._add(series, hour, part)
                self._database.execute(
                    "INSERT OR REPLACE INTO reached VALUES (1, ?, ?, ?, ?)",
                    (reached.entry, reached.agent, reached.boot, reached.seq),
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
            f"INSERT OR IGNORE INTO series ({_KEY}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            words,
        )
        row = self._database.execute(
            f"SELECT id FROM series WHERE ({_KEY}) = (?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
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

    def clear(self) -> None:
        """Forget everything: it is to be counted anew from the journal's first entry."""
        with self._database.transaction():
            for table in ("hours", "series", "reached"):
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
                "DELETE FROM series WHERE id NOT IN (SELECT DISTINCT series FROM hours)"
            )
        self._ids.clear()
        return gone

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class RollupReader:
    """The file, for reading, beside whoever writes it. sqlite3.Error where there is none."""

    def __init__(self, path: Path) -> None:
        self._database = open_reader(path)

    def reached(self) -> Reached:
        """Return how far the journal is in the rows."""
        return _reached(self._database)

    def of_check(self, check: str, begin: float, end: float) -> list[Track]:
        """Return one check, measured from everywhere, from `begin` to `end` (not included)."""
        return self._read("series.check_id = ?", (check,), begin, end)

    def of_agents(self, agents: Iterable[str], begin: float, end: float) -> list[Track]:
        """Return everything that some agents measured, from `begin` to `end` (not included)."""
        names = tuple(agents)
        marks = ", ".join("?" * len(names))
        return self._read(f"series.agent IN ({marks})", names, begin, end)

    def _read(self, where: str, words: Sequence[object], begin: float, end: float) -> list[Track]:
        first, last = -int(-begin // 60), -int(-end // 60)
        tracks: dict[int, Track] = {}
        rows = self._database.execute(
            f"SELECT series.id, {_KEY}, hour, body FROM series JOIN hours ON hours.series = series.id"  # noqa: S608 - ours
            f" WHERE {where} AND hour >= ? AND hour <= ? ORDER BY series.id, hour",
            (*words, first // MINUTES, (last - 1) // MINUTES),
        )
        for series, *key, hour, body in rows:
            track = tracks.get(series)
            if track is None:
                track = tracks[series] = Track(Key(*key), [])
            try:
                minutes: Iterable[Minute] = read_hour(hour, body)
                if hour * MINUTES < first or (hour + 1) * MINUTES > last:
                    minutes = [one for one in minutes if first <= one.at < last]
                track.minutes.extend(minutes)
            except (ValueError, zlib.error) as exc:
                log.error("rollup damaged series=%d hour=%d error=%s", series, hour, exc)  # noqa: TRY400 - known
        return [track for track in tracks.values() if track.minutes]

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _reached(database: Database) -> Reached:
    row = database.execute("SELECT entry, agent, boot, seq FROM reached").fetchone()
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
