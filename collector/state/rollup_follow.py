"""Following the journal: each entry is folded once, and kept within a minute.

What waits in memory is at most a minute of the province, or a piece of a backlog; a kill loses it
and the next start folds it again, from the cursor that stands beside the rows.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from collector.ingest.entries import Entry
from collector.state.rollup import Rollup
from collector.state.rollup_store import DamagedError, Reached, RollupStore, put_aside

READ_AT_ONCE = 100
LOOK_SECONDS = 2.0
SAVE_SECONDS = 60.0
SAVE_SAMPLES = 200_000
"""A backlog, or a journal gone through anew, is kept in pieces of about this size."""
RETRY_SECONDS = 10.0
SHARE = 0.5
"""Of one processor at most while there is much to catch up with: the live come first."""
END_SECONDS = 5.0
"""For so long an end waits until what came last is folded too."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Source(Protocol):
    """The journal, as far as it is read here."""

    newest_id: int

    async def read(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with ids above `after`, ascending."""
        ...


class Follower:
    """Brings the rollups to the journal's end and keeps them there."""

    def __init__(self, path: Path, journal: Source) -> None:
        self._path = path
        self._journal = journal
        self._rollup = Rollup()
        self._store: RollupStore | None = None
        self._read = Reached()
        self._saved_at = 0.0
        self._thread = ThreadPoolExecutor(1, "rollup")

    @property
    def behind(self) -> int:
        """How many entries of the journal are not yet folded."""
        return self._journal.newest_id - self._read.entry

    @property
    def settled(self) -> bool:
        """Whether everything in the journal is on disk here."""
        reached = self._store.reached if self._store is not None else None
        return reached is not None and reached.entry == self._journal.newest_id

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until told to stop, then to the journal's end. Trouble with the disk is waited out."""
        failing = False
        try:
            while not stopping.is_set():
                try:
                    pause = await self.step()
                    if failing:
                        log.warning("rollups can be written again")
                    failing = False
                except (sqlite3.Error, OSError) as exc:
                    if not failing:  # the first of a streak
                        log.error("rollups cannot be written error=%s", exc)  # noqa: TRY400 - no bug of ours
                    failing = True
                    await self._forget(damaged=isinstance(exc, DamagedError))
                    pause = RETRY_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stopping.wait()
            with contextlib.suppress(sqlite3.Error, OSError):
                await self._finish()
        finally:
            await self._away(self._close)
            self._thread.shutdown()

    async def step(self) -> float:
        """Fold a little, keep it if it is time to; return seconds to pause."""
        if self._store is None:
            self._store = await self._away(lambda: RollupStore(self._path))
            await self._find_place(self._store)
        began = time.monotonic()
        entries = []
        if self.behind > 0:
            entries = await self._journal.read(self._read.entry, READ_AT_ONCE)
            await self._away(lambda: self._fold(entries))
            self._pass_damaged(entries)
        if (
            self._rollup.samples >= SAVE_SAMPLES
            or time.monotonic() - self._saved_at >= SAVE_SECONDS
        ):
            await self.save()
        if self.behind > 0:
            return (time.monotonic() - began) * (1 - SHARE) / SHARE
        return LOOK_SECONDS

    async def _finish(self) -> None:
        """Fold what came last, so that who asks afterwards is told of all; a long backlog waits."""
        deadline = time.monotonic() + END_SECONDS
        while self.behind > 0 and time.monotonic() < deadline:
            await self.step()
        await self.save()

    async def save(self) -> None:
        """Keep what was folded. sqlite3.Error when the disk refuses: it is then folded again."""
        store, read = self._store, self._read
        self._saved_at = time.monotonic()
        if store is not None and read != store.reached:
            gathered = self._rollup.take()
            await self._away(lambda: store.save(gathered, read))

    async def remove(self, before: float) -> None:
        """Remove hours that ended before a moment; what the disk refuses is tried again next time."""
        store = self._store
        if store is not None:
            try:
                await self._away(lambda: store.remove(before))
            except sqlite3.Error as exc:
                log.warning("old rollups cannot be removed error=%s", exc)

    async def _find_place(self, store: RollupStore) -> None:
        """Go on from the cursor, if the journal is still the one that it was read in."""
        reached = store.reached
        if reached.entry:
            there = await self._journal.read(reached.entry - 1, 1)
            other = bool(there) and there[0].id == reached.entry and reached != _place(there[0])
            if other or reached.entry > self._journal.newest_id:
                log.warning("another journal than before: rollups are made anew")
                await self._away(store.clear)
        self._read = store.reached
        self._saved_at = time.monotonic()

    def _fold(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._rollup.fold(entry)
        if entries:
            self._read = _place(entries[-1])

    def _pass_damaged(self, entries: list[Entry]) -> None:
        """Entries that the disk lost, or that were removed by age, are not waited for."""
        if not entries:
            end = min(self._read.entry + READ_AT_ONCE, self._journal.newest_id)
            self._read = Reached(end, received_at=self._read.received_at)

    async def _forget(self, *, damaged: bool) -> None:
        """Begin anew from what is on disk."""
        self._rollup.take()
        await self._away(self._close)
        if damaged:
            await self._away(lambda: put_aside(self._path))

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    async def _away(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _place(entry: Entry) -> Reached:
    return Reached(entry.id, entry.agent, entry.boot, entry.seq, entry.received_at)
