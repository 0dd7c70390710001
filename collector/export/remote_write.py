"""Remote write: the journal's measurements to one receiver, with their own times.

Two lanes read the journal side by side, each with one request under way. *Live* takes what is young
as it comes in and waits for nothing. *Backlog* pays what live has left owed, in the journal's order
and at a limited rate. The journal is the only buffer: a receiver that is away for long costs neither
memory nor, when it is back, the first place of what happens now. How far each lane has come is kept
after each load, so a kill sends at most one load of each again: the same samples, the same times.
So is what the receiver took in the last minute whenever it may have lost it (collector.export.doubt).
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from collector.export.doubt import Doubts
from collector.export.gate import LIVE_SECONDS, Gate
from collector.export.own import Own
from collector.export.parts import STICKS_SECONDS, Health, Load, Part
from collector.export.picking import Lane, Pick, Rows
from collector.export.posting import Posting
from collector.export.progress import EVERYTHING, NOTHING, Progress
from collector.export.receivers import Receiver
from collector.export.remote_store import DeadLetterFile, ProgressFile, dead_letters
from collector.export.shown import Ended, Shown
from collector.export.telling import Telling
from collector.ingest.clock import MAX_AHEAD_SECONDS
from collector.ingest.entries import Entry
from collector.ingest.writer import Reader
from collector.state.fleet import Fleet

LOOK_SECONDS = 0.5
READ_AT_ONCE = 100
LOAD_POINTS = 5_000
LIVE_LOAD_POINTS = 20_000
READS_AT_ONCE = 50
"""Of a backlog that is too old or already sent, before progress is kept."""
LIVE_PATIENCE_SECONDS, BACKLOG_PATIENCE_SECONDS = 10.0, STICKS_SECONDS
"""A request that fails for so long is tried in parts."""
LIVE_RETRY_SECONDS, BACKLOG_RETRY_SECONDS = 5.0, 30.0
"""The longest time between two tries: a receiver that is back is soon told how things are now."""
RETRY_SECONDS = 10.0
SEEN_LATELY_SECONDS = 300.0
"""So long a receiver shows a value that nothing followed."""
PAUSED_SECONDS = 5.0
"""A connection that was not used for so long may be closed by anybody. The live one tells of a
restart then; it is never idle unless nothing is measured."""
LANES: tuple[Lane, ...] = ("live", "backlog")

log = logging.getLogger(__name__)


class Source(Protocol):
    """The journal, as far as it is read here."""

    newest_id: int
    readers: dict[str, Reader]

    async def read(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with ids above `after`, ascending."""
        ...

    async def before(self, received_at: float) -> int:
        """Return the id behind which entries were received at this time or later."""
        ...

    async def register(self, name: str, at: int | None = None) -> int:
        """Let retention wait for this reader, which is done with everything up to `at`."""
        ...

    def advance(self, name: str, entry: int) -> None:
        """Hear that a registered reader is done with everything up to this id."""
        ...


class RemoteWrite:
    """Follows the journal for one receiver. `folder` holds its files, one set for each name."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        journal: Source,
        fleet: Fleet,
        folder: Path,
        own: Own,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.receiver = receiver
        self._journal = journal
        self._fleet = fleet
        self._telling = Telling(receiver.name, own)
        self._wall = wall
        self._gate = Gate(receiver.window_seconds)
        self._tls = receiver.tls() if receiver.url.startswith("https") else None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = ProgressFile(folder / f"{receiver.name}.sqlite")
        self._dead = DeadLetterFile(folder / f"{receiver.name}.dead.jsonl")
        self._saving = asyncio.Lock()
        self._reader = f"remote_write/{receiver.name}"
        self._newest_at_start = journal.newest_id
        self._progress = Progress()
        self._health = Health()
        self._rows = Rows({})
        self._inventory: object = None
        self._doubts = Doubts(LANES)
        self._shown: dict[Lane, Shown] = {lane: Shown() for lane in LANES}
        self._marked: deque[tuple[float, Ended]] = deque()
        """What live marked as ended in the last minute, and when that was taken."""
        self._next_at = 0.0
        self._unheard = False
        """Whether the live lane waits for a receiver that does not answer."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop. Trouble is waited out: it is logged, and nothing is lost by it."""
        self._stopping = stopping
        async with contextlib.AsyncExitStack() as stack:
            self._postings = {
                lane: await stack.enter_async_context(Posting(self.receiver, self._tls, self._wall))
                for lane in LANES
            }
            await self._keep_at("start", self._start)
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self._keep_at("live", self._live))
                lanes.create_task(self._keep_at("backlog", self._backlog))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tell(self) -> None:
        """Bring the gauges up to date."""
        reader = self._journal.readers.get(self._reader)
        self._telling.waiting(
            {
                "live": max(self._journal.newest_id - self._progress.seen, 0),
                "backlog": self._progress.pending,
            },
            reader.lost if reader else 0,
        )

    async def _start(self) -> float:
        progress = await asyncio.to_thread(self._file.read)
        if progress is None:  # a new receiver gets what it takes of the past, as backlog
            progress = Progress(await self._journal.before(self._gate.oldest(self._wall())))
        else:
            starts = await asyncio.to_thread(self._file.read_starts)
            self._doubts.started(asyncio.get_running_loop().time(), self._wall(), starts)
        progress.go_back(self._newest_at_start)
        await self._journal.register(self._reader, progress.done)
        self._progress = progress
        self._see_inventory()
        since = self._wall() - SEEN_LATELY_SECONDS
        for series, state in self._fleet.series.items():
            if state.sample is not None and state.at > since and (row := self._rows.of(series)):
                names = tuple(name for name, _ in row.numbers(state.sample))
                self._shown["live"].show(series, state.at, names)
        return -1.0

    async def _live(self) -> float:
        """Send what is young; return the seconds until there may be more."""
        self._see_inventory()
        self._doubt("live")
        progress, now = self._progress, self._wall()
        live_from = self._gate.live_from(now)
        if self._journal.newest_id - progress.seen > READ_AT_ONCE:
            # Nothing in these is young: live does not read its way through an outage.
            upto = await self._journal.before(live_from - MAX_AHEAD_SECONDS)
            progress.see(upto, EVERYTHING)
        pick = self._pick("live", live_from, now)
        newest, upto, first = self._journal.newest_id, progress.seen, progress.seen + 1
        while upto < newest and pick.points < LIVE_LOAD_POINTS:
            upto = await self._read(pick, upto, newest)
        pick.end(self._shown["live"].gone(self._fleet, now))
        if pick.points == 0:
            self._unheard = False
            if upto == progress.seen:
                return LOOK_SECONDS
        load = Load(pick.load(), patience=LIVE_PATIENCE_SECONDS, slowest=LIVE_RETRY_SECONDS)
        self._telling.oldest["live"] = min(pick.oldest, now)
        if await self._send(load, "live", now + LIVE_SECONDS):
            progress.see(upto, live_from if pick.left else NOTHING)
            self._taken("live", first, upto, pick)
        else:  # no longer live; the backlog lane sends the same samples again
            for ended in pick.ended:
                self._shown["live"].restore(ended)
            if self._stopping.is_set():
                return 0.0
            progress.see(upto, EVERYTHING)
        self._telling.withheld(pick)
        await self._save()
        return 0.0 if upto < self._journal.newest_id else LOOK_SECONDS

    async def _backlog(self) -> float:
        """Send some of what is owed; return the seconds until there may be more."""
        self._doubt("backlog")
        progress, now = self._progress, self._wall()
        if not progress.owed:
            return LOOK_SECONDS
        began = time.monotonic()
        span = progress.owed[0]
        pick = self._pick("backlog", span.before, now)
        upto, reads = span.first - 1, 0
        while upto < span.last and pick.points < LOAD_POINTS and reads < READS_AT_ONCE:
            upto = await self._read(pick, upto, span.last)
            reads += 1
        if pick.points:
            # Before it is out of the window it is looked at anew.
            deadline = pick.oldest + self._gate.window_seconds - LIVE_SECONDS
            load = Load(
                pick.load(), patience=BACKLOG_PATIENCE_SECONDS, slowest=BACKLOG_RETRY_SECONDS
            )
            self._telling.oldest["backlog"] = pick.oldest
            if not await self._send(load, "backlog", deadline):
                return 0.0
        progress.pay(span.first, upto, span.before)
        self._taken("backlog", span.first, upto, pick)
        self._telling.withheld(pick)
        await self._save()
        # Reading is work too, and live samples are read by the same threads.
        return 0.0 if pick.points else min(time.monotonic() - began, LOOK_SECONDS)

    def _pick(self, lane: Lane, bound: float, now: float) -> Pick:
        return Pick(self._rows, self._gate, self._shown[lane], lane=lane, bound=bound, now=now)

    async def _read(self, pick: Pick, after: int, last: int) -> int:
        """Look through the next entries; return the id of the last one."""
        entries = await self._journal.read(after, READ_AT_ONCE)
        for entry in entries:
            if entry.id <= last:
                pick.take(entry)
        return min(entries[-1].id if entries else after + READ_AT_ONCE, last)

    def _taken(self, lane: Lane, first: int, upto: int, pick: Pick) -> None:
        """Remember what was acknowledged of these entries until it is safe."""
        now, safe = asyncio.get_running_loop().time(), self._doubts.safe_before()
        self._progress.forget_taken(safe)
        if pick.points and first <= upto:
            self._progress.take(lane, first, upto, now)
        if lane == "live":
            self._marked.extend((now, ended) for ended in pick.ended)
        while self._marked and self._marked[0][0] < max(safe, now - SEEN_LATELY_SECONDS):
            self._marked.popleft()

    def _doubt(self, lane: Lane) -> None:
        """Owe again what the receiver may have lost."""
        since = self._doubts.due(lane, asyncio.get_running_loop().time())
        if since is None:
            return
        batches = self._progress.owe_again(lane, since)
        if lane == "live":
            for at, ended in self._marked:
                if at >= since:
                    self._shown["live"].restore(ended)
            self._marked.clear()
        self._telling.again(lane, batches)

    async def _send(self, load: Load, lane: Lane, deadline: float) -> bool:
        """Send a load whole; False when it has to be looked at anew, by then or by the wall clock."""
        loop = asyncio.get_running_loop()
        while (part := load.next()) is not None:
            if self._stopping.is_set() or self._wall() > deadline:
                return False
            stuck = load.stuck_since if lane == "live" else None
            if stuck is not None and loop.time() - stuck > LIVE_PATIENCE_SECONDS:
                return False  # its own lane has others to serve
            if lane == "backlog":
                if self._unheard:  # live asks whether it is back, and is the first to be told
                    await self._sleep(LOOK_SECONDS)
                    continue
                await self._pace(part.points)
            posting = self._postings[lane]
            answer = await posting.post(part.body)
            cut = posting.cut and (lane == "live" or posting.idle < PAUSED_SECONDS)
            self._doubts.heard(answer, loop.time(), cut=cut)
            if lane == "live":
                self._unheard = answer.code == 0
            self._telling.answered(lane, answer, part)
            wait, dead = load.answered(answer, self._health, loop.time())
            if dead is not None:
                await self._bury(dead, lane)
            if wait:
                await self._sleep(wait)
        return True

    async def _pace(self, points: int) -> None:
        now = time.monotonic()
        await self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + points / self.receiver.samples_per_second

    async def _bury(self, part: Part, lane: Lane) -> None:
        answer, name = part.last, self.receiver.name
        letters = dead_letters(
            part.series, at=self._wall(), lane=lane, code=answer.code, said=answer.said
        )
        self._telling.buried(part)
        try:
            await asyncio.to_thread(self._dead.write, letters)
        except OSError as exc:
            log.error("dead letters cannot be written receiver=%s error=%s", name, exc)  # noqa: TRY400 - the journal has them

    def _see_inventory(self) -> None:
        if self._inventory is not self._fleet.inventory:
            self._inventory = self._fleet.inventory
            self._rows = Rows(self._fleet.inventory.subjects)

    async def _save(self) -> None:
        async with self._saving:
            saving = self._progress.unsaved()
            starts = self._doubts.starts(asyncio.get_running_loop().time(), self._wall())
            try:
                await asyncio.to_thread(self._file.save, saving, starts)
            except BaseException:
                self._progress.not_saved(saving)
                raise
            self._journal.advance(self._reader, saving.done)

    async def _keep_at(self, lane: str, step: Callable[[], Awaitable[float]]) -> None:
        """Step on and on; a negative pause ends it."""
        failing = False
        while not self._stopping.is_set():
            try:
                pause = await step()
                failing = False
            except (sqlite3.Error, OSError) as exc:
                if not failing:
                    log.error(  # noqa: TRY400 - no bug of ours
                        "remote write stands still receiver=%s lane=%s error=%s",
                        self.receiver.name,
                        lane,
                        exc,
                    )
                failing, pause = True, RETRY_SECONDS
            except Exception:
                log.exception("remote write failed receiver=%s lane=%s", self.receiver.name, lane)
                pause = RETRY_SECONDS  # the next step may not
            if pause < 0:
                return
            await self._sleep(pause)

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
