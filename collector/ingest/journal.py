"""Journal: the only truth. Append-only, hash-chained, fsynced before anything is acknowledged.

Appends that arrive within one short window share a transaction and its fsync: one fsync per push
would cost ten times the rest of the push. One thread writes, another reads; neither waits for the
other, and the event loop waits for none.
"""

import asyncio
import logging
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent.wire import Ranges
from collector.database import Database, open_reader
from collector.ingest import entries
from collector.ingest.chain import Walk, last_before, read_rows
from collector.ingest.clock import Anchor
from collector.ingest.entries import Entry, NewEntry
from collector.ingest.writer import Append, Committed, Reader, Restore, Writer, read_boot

log = logging.getLogger(__name__)

WINDOW_SECONDS = 0.01
"""The first append of a group waits this long for others to join."""
MAX_WAITING_BYTES = 64 << 20
"""More than this before the disk, and agents are asked to keep theirs for a while."""
_CHECK = "check"
T = TypeVar("T")


class JournalError(Exception):
    """What was to be kept is not, and must not be acknowledged. The message says why."""


class Journal:
    """The open journal. Made and used on the event loop."""

    def __init__(
        self,
        path: Path,
        wall: Callable[[], float],
        *,
        window_seconds: float = WINDOW_SECONDS,
        on_commit: Callable[[float], None] | None = None,
    ) -> None:
        """Open the file. `on_commit` is told the seconds each group took, fsync included."""
        self.path = path
        self.appended = 0
        self.duplicates = 0
        self.conflicts = 0
        self.commits = 0
        self.stored_bytes = 0
        self.damaged = 0
        """Entries that could not be read back."""
        self.checked = 0
        """Entries whose place in the chain was looked at in this run."""
        self.broken = 0
        """Those of them that are not what was written."""
        self.readers: dict[str, Reader] = {}
        """Whom retention waits for, by name."""
        self.failing = ""
        """Why the last commit failed; "" while the journal can be written."""
        self._wall = wall
        self._window = window_seconds
        self._on_commit = on_commit
        self._waiting: list[tuple[Append, asyncio.Future[list[bool]]]] = []
        self._waiting_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._closed = False
        self._walk: Walk | None = None
        self._writer = Writer(path)
        self.newest_id = self._writer.newest_id
        """Of the newest entry whose append was answered; 0 before the first."""
        self._reader = open_reader(path)
        self._writing = ThreadPoolExecutor(1, "journal-writer")
        self._reading = ThreadPoolExecutor(1, "journal-reader")

    def append(
        self, batches: Sequence[NewEntry], anchors: Sequence[Anchor] = ()
    ) -> asyncio.Future[list[bool]]:
        """Keep batches, and what was learned of clocks.

        The future is resolved after the fsync: True for each batch that is new, False for one that
        was there already. JournalError: none of them may be acknowledged.
        """
        if self._closed:
            raise JournalError("the journal is closed")
        if self._waiting_bytes > MAX_WAITING_BYTES:
            raise JournalError("more waits for the disk than it can take")
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((Append(batches, anchors), future))
        self._waiting_bytes += sum(len(entry.body) for entry in batches)
        if self._committing is None or self._committing.done():
            self._committing = loop.create_task(self._commit_waiting(), name="journal commits")
        return future

    async def ranges(self, agent: str, boot: str) -> Ranges:
        """Return the sequence numbers of a boot that are kept."""
        ranges = self._writer.ranges((agent, boot))
        if ranges is None:
            known = await self._read(lambda database: read_boot(database, (agent, boot)))
            ranges = known.ranges if known else Ranges()
        return ranges

    async def read(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with ids above `after`, ascending.

        An entry that the disk lost is left out and counted: readers go on behind it. Nothing at all
        while `newest_id` is higher means that all of them are: go on behind `after + limit`.
        """
        return await self._read(lambda database: self._entries(database, after, limit))

    async def before(self, received_at: float) -> int:
        """Return the id behind which entries were received at this time or later."""
        return await self._read(lambda database: last_before(database, received_at))

    async def register(self, name: str, at: int | None = None) -> int:
        """Make a reader known whom retention waits for; return the id behind which it goes on.

        `at` is the last entry it is done with, by its own files; None: by `set_cursor`, or begin
        with the oldest there is. To be called once in each run; a reader that is no longer
        registered holds nothing up. What was removed before it came is counted as lost.
        """
        now = self._wall()
        reader = await self._write(lambda: self._writer.register(name, at, now))
        self.readers[name] = reader
        if reader.lost:
            log.warning("journal reader has lost entries name=%s entries=%d", name, reader.lost)
        return reader.done

    def advance(self, name: str, entry: int) -> None:
        """Hear that a registered reader is done with everything up to this id; nothing is kept."""
        reader = self.readers[name]
        reader.done = max(reader.done, entry)

    async def cursor(self, name: str) -> int:
        """Return the id of the last entry that a reader is done with; 0 before its first."""
        row = await self._read(
            lambda database: database.execute(
                "SELECT id FROM cursors WHERE name = ?", (name,)
            ).fetchone()
        )
        return int(row[0]) if row else 0

    async def set_cursor(self, name: str, entry: int) -> None:
        """Keep that a reader is done with everything up to this id."""
        await self._write(lambda: self._writer.set_cursor(name, entry))
        if name in self.readers:
            self.advance(name, entry)

    async def losses(self, name: str) -> list[tuple[int, int]]:
        """Return the ids, first and last, that were removed before a reader was done with them."""
        return await self._read(
            lambda database: database.execute(
                "SELECT first, last FROM lost WHERE name = ? ORDER BY first", (name,)
            ).fetchall()
        )

    async def check(self, seconds: float) -> None:
        """Follow the chain for about so long, from where the last check ended, round and round."""
        if self._walk is None:
            self._walk = Walk(await self.cursor(_CHECK))
        walk, before = self._walk, self._walk.entries
        try:
            more = await self._read(lambda database: walk.step(database, seconds))
        finally:
            self.checked += walk.entries - before
            self.broken += len(walk.broken)
            for entry in walk.broken:
                log.error("journal entry is not what was written, or its neighbour id=%d", entry)
            walk.broken.clear()
        if not more:
            self._walk = Walk()
        if walk.entries > before:
            await self.set_cursor(_CHECK, self._walk.at)

    async def restores(self) -> list[Restore]:
        """Return when the journal was put back from a backup, oldest first."""
        rows = await self._read(
            lambda database: database.execute(
                "SELECT at, made_at, id FROM restored ORDER BY at"
            ).fetchall()
        )
        return [Restore(*row) for row in rows]

    async def anchors(self) -> list[Anchor]:
        """Return what was learned of the agents' clocks, oldest first."""
        rows = await self._read(lambda database: database.execute(entries.READ_ANCHORS).fetchall())
        return [entries.anchor_from_row(row) for row in rows]

    async def remove(self, *, received_before: float, max_bytes: int) -> int:
        """Remove entries that are too old, then the oldest until the file's content fits.

        What a registered reader is not done with waits for it, but not without bound: see Writer.
        """
        removed = 0
        while gone := await self._write(
            lambda: self._writer.remove(
                received_before=received_before,
                max_bytes=max_bytes,
                readers={name: reader.done for name, reader in self.readers.items()},
                now=self._wall(),
            )
        ):
            removed += gone
        await self._write(lambda: self._writer.forget_anchors(learned_before=received_before))
        for name, reader in self.readers.items():
            lost, ranges = reader.lost, await self.losses(name)
            reader.lost = sum(last - first + 1 for first, last in ranges)
            if reader.lost > lost:
                reader.done = max(reader.done, ranges[-1][1])
                log.error(
                    "journal entries removed before a reader was done name=%s entries=%d",
                    name,
                    reader.lost - lost,
                )
        return removed

    async def close(self) -> None:
        """Commit what waits, then close the file. Once is enough, twice is no harm."""
        if self._closed:
            return
        self._closed = True
        if self._committing is not None:
            await self._committing
        await self._read(lambda database: database.close())
        await self._write(self._writer.close)  # the last to close folds the log into the file
        self._writing.shutdown()
        self._reading.shutdown()

    async def _commit_waiting(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._window)
            group, self._waiting, self._waiting_bytes = self._waiting, [], 0
            appends = [append for append, _ in group]
            now, began = self._wall(), time.monotonic()
            try:
                committed = await self._write(lambda: self._writer.commit(appends, now))  # noqa: B023 - awaited here
            except Exception as exc:  # noqa: BLE001 - whatever it was, somebody waits for each future
                self._fail(group, exc)
            else:
                self._resolve(group, committed)
                if self._on_commit is not None:
                    self._on_commit(time.monotonic() - began)

    def _resolve(
        self, group: list[tuple[Append, asyncio.Future[list[bool]]]], committed: Committed
    ) -> None:
        if self.failing:
            log.warning("journal writable again")
        self.failing = ""
        self.commits += 1
        self.stored_bytes += committed.stored_bytes
        self.newest_id = committed.newest_id
        if committed.conflicts:  # a copied disk: every push of its agent has some
            log.error(
                "batches came again with other bytes, first kept count=%d first=%s",
                len(committed.conflicts),
                committed.conflicts[0],
            )
        self.conflicts += len(committed.conflicts)
        for (_, future), new in zip(group, committed.new, strict=True):
            self.appended += sum(new)
            self.duplicates += len(new) - sum(new)
            if not future.done():  # its request may have been given up meanwhile
                future.set_result(new)

    def _fail(self, group: list[tuple[Append, asyncio.Future[list[bool]]]], exc: Exception) -> None:
        if not self.failing:  # the first of a streak; agents go on asking every second
            log.error("journal cannot be written error=%s", exc, exc_info=exc)
        self.failing = str(exc) or type(exc).__name__
        for _, future in group:
            if not future.done():
                future.set_exception(JournalError(f"the journal cannot be written: {exc}"))

    async def _write(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, work)

    async def _read(self, work: Callable[[Database], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, work, self._reader)

    def _entries(self, database: Database, after: int, limit: int) -> list[Entry]:
        read = []
        for number, row in read_rows(database, after, limit):
            try:
                if row is not None:
                    read.append(entries.entry_of(entries.facts_of(row)))
                    continue
                why = "the file is damaged there"
            except (ValueError, struct.error, zlib.error) as exc:
                why = str(exc)
            self.damaged += 1
            log.error("journal entry damaged id=%d error=%s", number, why)
        return read
