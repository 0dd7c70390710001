"""What remote write keeps on disk for a receiver: how far it has come, and what it refused for good.

A power cut may take the last moments of it: what was sent is then sent again, the same samples with
the same times, which a receiver takes once.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from collector.database import open_database
from collector.export.doubt import Starts
from collector.export.progress import Owed, Progress, Saving
from collector.export.write_request import Points, read_labels

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (only INTEGER PRIMARY KEY CHECK (only = 1), id INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS owed (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    before REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS taken (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS starts (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    began REAL NOT NULL,
    noted REAL NOT NULL,
    again_at REAL NOT NULL
) STRICT;
"""
MAX_DEAD_BYTES = 32 << 20
"""Of the file of dead letters; the one before it is kept beside it."""


class ProgressFile:
    """One receiver's. Blocks; sqlite3.Error or OSError when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, SCHEMA, durable=False)
        self._one_at_a_time = Lock()  # a thread may still be saving when its task was cancelled

    def read(self) -> Progress | None:
        """Return how far the receiver has come; None for a new one."""
        with self._one_at_a_time:
            row = self._database.execute("SELECT id FROM seen").fetchone()
            owed = self._database.execute("SELECT first, last, before FROM owed ORDER BY first")
            taken = self._database.execute("SELECT first, last FROM taken ORDER BY first")
            return Progress(row[0], [Owed(*span) for span in owed], taken) if row else None

    def read_starts(self) -> Starts | None:
        """Return how our starts followed each other."""
        with self._one_at_a_time:
            row = self._database.execute("SELECT began, noted, again_at FROM starts").fetchone()
            return Starts(*row) if row else None

    def save(self, saving: Saving, starts: Starts) -> None:
        """Keep it."""
        with self._one_at_a_time, self._database.transaction():
            self._database.execute("INSERT OR REPLACE INTO seen VALUES (1, ?)", (saving.seen,))
            self._database.execute(
                "DELETE FROM owed WHERE first < ? OR first > ? OR last >= ?",
                (saving.owed_from, saving.seen, saving.changed_from),
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO owed VALUES (?, ?, ?)",
                [(span.first, span.last, span.before) for span in saving.spans],
            )
            self._database.execute(
                "INSERT OR REPLACE INTO starts VALUES (1, ?, ?, ?)",
                (starts.began, starts.noted, starts.again_at),
            )
            self._database.execute("DELETE FROM taken")
            self._database.executemany("INSERT INTO taken VALUES (?, ?)", saving.taken)

    def close(self) -> None:
        """Close the file."""
        with self._one_at_a_time:
            self._database.close()


class DeadLetter(Struct, frozen=True):
    """Samples that a receiver refused while it took others. One line of JSON each."""

    at: float
    lane: str
    code: int
    said: str
    """The receiver's own words."""
    labels: dict[str, str]
    samples: Points
    """Milliseconds and value."""


def dead_letters(
    series: dict[bytes, Points], *, at: float, lane: str, code: int, said: str
) -> list[DeadLetter]:
    """Return what is written of a part that was given up."""
    return [
        DeadLetter(at, lane, code, said, read_labels(labels), points)
        for labels, points in series.items()
    ]


class DeadLetterFile:
    """Bounded by bytes: the full file takes the place of the one before it. OSError when it fails."""

    def __init__(self, path: Path, max_bytes: int = MAX_DEAD_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def write(self, letters: Iterable[DeadLetter]) -> None:
        """Append lines; they are on disk when this returns. A NaN (a stale marker) reads null."""
        lines = b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters)
        if self._path.exists() and self._path.stat().st_size + len(lines) > self._max_bytes:
            self._path.replace(self._path.with_suffix(".old.jsonl"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(self._path, flags, 0o600), "wb") as file:  # noqa: PTH123 - the mode matters
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
