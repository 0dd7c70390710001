"""Writer: the one thread's work on the journal's file. Everything here blocks."""

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.wire import Ranges
from collector.database import Database, open_database
from collector.ingest import entries
from collector.ingest.chain import Head, read_head, read_removed
from collector.ingest.clock import Anchor
from collector.ingest.entries import NewEntry

_MAX_BOOTS_IN_MEMORY = 20_000
_REMOVED_AT_ONCE = 2_000
MOST_FOR_READERS = 1.25
"""What its readers are not done with may make the journal this much larger than it should be."""

BootKey = tuple[str, str]
"""Agent and boot."""


class Append(Struct, frozen=True):
    """What belongs together: it is written in one transaction."""

    entries: Sequence[NewEntry]
    anchors: Sequence[Anchor]


class Boot(Struct, frozen=True):
    """One run of one agent's program, and which of its batches the journal has had."""

    id: int
    ranges: Ranges
    """Never changed once other threads can see it."""


class Committed(Struct, frozen=True):
    """What became of a group."""

    new: list[list[bool]]
    """For each append, for each of its entries: True when it was not there before."""
    conflicts: list[str]
    """Identities that came again with other bytes; the first bytes are kept."""
    stored_bytes: int
    newest_id: int


class Reader(Struct):
    """Who goes through the journal, and how far it has come."""

    done: int
    """The last entry it is done with."""
    lost: int = 0
    """Entries that were removed before it was done with them."""


class Restore(Struct, frozen=True):
    """What came in between the two moments was acknowledged, and is not here."""

    at: float
    made_at: float
    """When the backup was made."""
    id: int
    """The newest entry it held."""


class Writer:
    """The journal's file, open for writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boots: dict[BootKey, Boot] = {}
        self._open()

    def _open(self) -> None:
        self._database = open_database(self._path, entries.SCHEMA)
        self._head = read_head(self._database)
        self._broken = False
        self._boots.clear()

    @property
    def newest_id(self) -> int:
        """Return the id of the newest entry; 0 before the first."""
        return self._head.id

    def ranges(self, key: BootKey) -> Ranges | None:
        """Return what is committed of a boot if it is at hand. Any thread may ask."""
        boot = self._boots.get(key)
        return None if boot is None else boot.ranges

    def commit(self, group: Sequence[Append], now: float) -> Committed:
        """Write a group in one transaction; all of it is fsynced when this returns.

        sqlite3.Error or OSError when it could not be kept. The file is then opened anew before the
        next group: whether a commit that failed was taken after all, only the file knows.
        """
        if self._broken:
            self.close()
            self._open()
        making = _Group(self._database, self._head, self._boots)
        try:
            with self._database.transaction():
                new = []
                for append in group:
                    making.write_anchors(append.anchors, now)
                    new.append([making.write(entry) for entry in append.entries])
                making.write_ranges()
        except (sqlite3.Error, OSError):
            self._broken = True
            raise
        self._head = making.head
        for key, boot in making.touched.items():
            self._boots.pop(key, None)
            self._boots[key] = boot
        while len(self._boots) > _MAX_BOOTS_IN_MEMORY:
            del self._boots[next(iter(self._boots))]
        return Committed(new, making.conflicts, making.stored_bytes, self._head.id)

    def remove(
        self, *, received_before: float, max_bytes: int, readers: Mapping[str, int], now: float
    ) -> int:
        """Remove some of the oldest entries if they are too old or too many; return how many.

        `readers` says what each is done with: others wait for the slowest, until the file's content
        is `MOST_FOR_READERS` times what it may be. What a reader loses then is written down.
        Call again until it returns 0: each call is short, so that appends get in between. Which
        sequence numbers were had stays known; so does the hash the first kept entry builds on.
        """
        pages = self._database.pragma("page_count") - self._database.pragma("freelist_count")
        used = pages * self._database.pragma("page_size")
        too_many, far_too_many = used > max_bytes, used > max_bytes * MOST_FOR_READERS
        wanted_from = min(readers.values(), default=self._head.id) + 1
        rows = self._database.execute(
            "SELECT id, hash, received_at FROM entries ORDER BY id LIMIT ?", (_REMOVED_AT_ONCE,)
        ).fetchall()
        going = [
            row
            for row in rows
            if far_too_many or (row[0] < wanted_from and (too_many or row[2] < received_before))
        ]
        if going:
            last = going[-1]
            with self._database.transaction():
                self._database.execute(
                    "INSERT OR REPLACE INTO removed VALUES (1, ?, ?)", (last[0], last[1])
                )
                self._database.execute("DELETE FROM entries WHERE id <= ?", (last[0],))
                for name, done in readers.items():
                    self._lose(name, done, last[0], now)
        return len(going)

    def register(self, name: str, at: int | None, now: float) -> Reader:
        """Return where a reader goes on; `at` is what it says itself, None what was kept here."""
        kept = self._database.execute("SELECT id FROM cursors WHERE name = ?", (name,)).fetchone()
        removed = read_removed(self._database).id
        done = at if at is not None else kept[0] if kept else removed
        with self._database.transaction():
            self._lose(name, done, removed, now)
        return Reader(min(max(done, removed), self._head.id), self.lost(name))

    def lost(self, name: str) -> int:
        """Return how many entries were removed before a reader was done with them."""
        row = self._database.execute(
            "SELECT coalesce(sum(last - first + 1), 0) FROM lost WHERE name = ?", (name,)
        ).fetchone()
        return int(row[0])

    def _lose(self, name: str, done: int, removed: int, now: float) -> None:
        """Write down what lies between the two, as one range with what was lost just before."""
        if done >= removed:
            return
        before = self._database.execute(
            "SELECT max(last) FROM lost WHERE name = ?", (name,)
        ).fetchone()[0]
        first = max(done, before or 0) + 1
        if before is not None and before + 1 == first:
            self._database.execute(
                "UPDATE lost SET last = ?, at = ? WHERE name = ? AND last = ?",
                (removed, now, name, before),
            )
        elif first <= removed:
            self._database.execute(
                "INSERT INTO lost VALUES (?, ?, ?, ?)", (name, first, removed, now)
            )
        self._database.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, removed))

    def forget_anchors(self, *, learned_before: float) -> None:
        """Remove what is known of machines' boots that no agent will speak of again."""
        self._database.execute("DELETE FROM anchors WHERE learned_at < ?", (learned_before,))

    def set_cursor(self, name: str, entry: int) -> None:
        """Keep how far a reader has come."""
        self._database.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, entry))

    def note_restore(self, now: float, made_at: float) -> None:
        """Keep that this file was put back from a backup, and with which newest entry."""
        self._database.execute(
            "INSERT INTO restored VALUES (?, ?, ?)", (now, made_at, self._head.id)
        )

    def close(self) -> None:
        """Close the file; SQLite folds its log into it."""
        self._database.close()


class _Group:
    """One transaction in the making."""

    def __init__(self, database: Database, head: Head, known: Mapping[BootKey, Boot]) -> None:
        self._database = database
        self._known = known
        self.head = head
        self.touched: dict[BootKey, Boot] = {}
        self.conflicts: list[str] = []
        self.stored_bytes = 0

    def write(self, entry: NewEntry) -> bool:
        """Insert an entry, or return False because its identity is there already."""
        boot = self._boot((entry.agent, entry.boot))
        if entry.seq in boot.ranges:
            if self._differs(boot, entry):
                self.conflicts.append(f"{entry.agent}/{entry.boot}/{entry.seq}")
            return False
        facts = entries.pack(entry, self.head.id + 1)
        stored = entries.pack_body(entry.body)
        self.head = Head(facts.id, facts.link(self.head.hash))
        self._database.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                facts.id,
                facts.received_at,
                boot.id,
                facts.seq,
                facts.times,
                facts.trusted,
                facts.quarantined,
                stored,
                self.head.hash,
            ),
        )
        boot.ranges.add(entry.seq)
        self.stored_bytes += len(stored)
        return True

    def write_ranges(self) -> None:
        """Bring the boots' rows to what was written; last, since each is written once."""
        self._database.executemany(
            "UPDATE boots SET ranges = ? WHERE id = ?",
            [(msgspec.json.encode(list(boot.ranges)), boot.id) for boot in self.touched.values()],
        )

    def write_anchors(self, anchors: Sequence[Anchor], now: float) -> None:
        """Keep what was learned of clocks, before the times that rest on it."""
        if anchors:
            self._database.executemany(
                "INSERT OR REPLACE INTO anchors VALUES (?, ?, ?, ?, ?, ?)",
                [(a.agent, a.machine_boot, a.at, a.error, a.learned_mono, now) for a in anchors],
            )

    def _boot(self, key: BootKey) -> Boot:
        boot = self.touched.get(key)
        if boot is None:
            known = self._known.get(key) or read_boot(self._database, key)
            if known is None:
                inserted = self._database.execute(
                    "INSERT INTO boots (agent, boot, ranges) VALUES (?, ?, CAST('[]' AS BLOB))"
                    " RETURNING id",
                    key,
                ).fetchone()
                known = Boot(inserted[0], Ranges())
            boot = self.touched[key] = Boot(known.id, Ranges(known.ranges))
        return boot

    def _differs(self, boot: Boot, entry: NewEntry) -> bool:
        row = self._database.execute(
            "SELECT body FROM entries WHERE boot = ? AND seq = ?", (boot.id, entry.seq)
        ).fetchone()
        if row is None:  # removed by age: nothing is left to compare with
            return False
        try:
            return entries.unpack_body(row[0]) != entry.body
        except zlib.error:
            return False  # the disk lost it; `verify` says so


def read_boot(database: Database, key: BootKey) -> Boot | None:
    """Return a boot the journal has heard of."""
    row = database.execute(
        "SELECT id, ranges FROM boots WHERE agent = ? AND boot = ?", key
    ).fetchone()
    return Boot(row[0], Ranges(msgspec.json.decode(row[1]))) if row else None
