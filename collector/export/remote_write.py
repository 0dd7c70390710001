"""Remote write: the journal's measurements to one receiver, with their own times.

Two lanes read the journal side by side, each with one request under way. *Live* takes what is young
as it comes in and waits for nothing. *Backlog* pays what live has left owed, in the journal's order
and at a limited rate. The journal is the only buffer: a receiver that is away for long costs neither
memory nor, when it is back, the first place of what happens now. How far each lane has come is kept
after each load, so a kill sends at most one load of each again: the same samples, the same times.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

import aiohttp

from agent import VERSION
from collector.export.gate import LIVE_SECONDS, Gate
from collector.export.own import Own
from collector.export.parts import STICKS_SECONDS, Answer, Health, Load, Part
from collector.export.picking import Lane, Pick, Rows
from collector.export.progress import EVERYTHING, NOTHING, Progress
from collector.export.receivers import Receiver
from collector.export.remote_store import DeadLetterFile, ProgressFile, dead_letters
from collector.export.shown import Shown
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
ANSWER_SECONDS = 15.0
SEEN_LATELY_SECONDS = 300.0
"""So long a receiver shows a value that nothing followed."""
_SAID_BYTES = 400
HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": f"thongsuot-collector/{VERSION}",
}

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
        self._own = own
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
        self._shown: dict[Lane, Shown] = {"live": Shown(), "backlog": Shown()}
        self._oldest: dict[str, float] = {}
        self._failing: dict[str, str] = {}
        self._next_at = 0.0
        self._unheard = False
        """Whether the live lane waits for a receiver that does not answer."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop. Trouble is waited out: it is logged, and nothing is lost by it."""
        self._stopping = stopping
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            await self._keep_at("start", self._start)
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self._keep_at("live", self._live))
                lanes.create_task(self._keep_at("backlog", self._backlog))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tell(self) -> None:
        """Bring the gauges up to date."""
        progress, name = self._progress, self.receiver.name
        pending = {
            "live": max(self._journal.newest_id - progress.seen, 0),
            "backlog": progress.pending,
        }
        if reader := self._journal.readers.get(self._reader):
            self._own.remote_lost.labels(name).set(reader.lost)
        for lane, batches in pending.items():
            self._own.remote_pending.labels(name, lane).set(batches)
            if batches and lane in self._oldest:
                self._own.remote_oldest.labels(name, lane).set(self._oldest[lane])
            else:
                with contextlib.suppress(KeyError):
                    self._own.remote_oldest.remove(name, lane)

    async def _start(self) -> float:
        progress = await asyncio.to_thread(self._file.read)
        if progress is None:  # a new receiver gets what it takes of the past, as backlog
            progress = Progress(await self._journal.before(self._gate.oldest(self._wall())))
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
        progress, now = self._progress, self._wall()
        live_from = self._gate.live_from(now)
        if self._journal.newest_id - progress.seen > READ_AT_ONCE:
            # Nothing in these is young: live does not read its way through an outage.
            upto = await self._journal.before(live_from - MAX_AHEAD_SECONDS)
            progress.see(upto, EVERYTHING)
        pick = self._pick("live", live_from, now)
        newest, upto = self._journal.newest_id, progress.seen
        while upto < newest and pick.points < LIVE_LOAD_POINTS:
            upto = await self._read(pick, upto, newest)
        pick.end(self._shown["live"].gone(self._fleet, now))
        if pick.points == 0:
            self._unheard = False
            if upto == progress.seen:
                return LOOK_SECONDS
        load = Load(pick.load(), patience=LIVE_PATIENCE_SECONDS, slowest=LIVE_RETRY_SECONDS)
        self._oldest["live"] = min(pick.oldest, now)
        if await self._send(load, "live", now + LIVE_SECONDS):
            progress.see(upto, live_from if pick.left else NOTHING)
        else:  # no longer live; the backlog lane sends the same samples again
            for ended in pick.ended:
                self._shown["live"].restore(ended)
            if self._stopping.is_set():
                return 0.0
            progress.see(upto, EVERYTHING)
        self._withhold(pick)
        await self._save()
        return 0.0 if upto < self._journal.newest_id else LOOK_SECONDS

    async def _backlog(self) -> float:
        """Send some of what is owed; return the seconds until there may be more."""
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
            self._oldest["backlog"] = pick.oldest
            if not await self._send(load, "backlog", deadline):
                return 0.0
        progress.pay(upto)
        self._withhold(pick)
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
            answer = await self._post(part.body)
            if lane == "live":
                self._unheard = answer.code == 0
            self._note(lane, answer, part)
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

    async def _post(self, body: bytes) -> Answer:
        try:
            headers = {**HEADERS, **self.receiver.authorization()}
            async with self._session.post(
                self.receiver.url,
                data=body,
                headers=headers,
                ssl=self._tls or True,
                allow_redirects=False,
            ) as answer:
                said = (await answer.content.read(_SAID_BYTES)).decode("utf-8", "replace")
                told = answer.headers.get("Retry-After", "")
                return Answer(answer.status, " ".join(said.split()), _seconds(told, self._wall()))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return Answer(0, str(exc) or type(exc).__name__)

    def _note(self, lane: Lane, answer: Answer, part: Part) -> None:
        name = self.receiver.name
        self._own.remote_requests.labels(name, str(answer.code)).inc()
        if answer.verdict == "taken":
            self._own.remote_sent.labels(name, lane).inc(part.points)
            if self._failing.pop(lane, None):
                log.warning("remote write goes on receiver=%s lane=%s", name, lane)
        elif lane not in self._failing:  # the first of a streak
            self._failing[lane] = answer.said
            log.warning(
                "remote write is not taken receiver=%s lane=%s code=%d said=%s",
                name,
                lane,
                answer.code,
                answer.said,
            )

    async def _bury(self, part: Part, lane: Lane) -> None:
        answer, name = part.last, self.receiver.name
        letters = dead_letters(
            part.series, at=self._wall(), lane=lane, code=answer.code, said=answer.said
        )
        self._own.remote_dead.labels(name, str(answer.code)).inc(part.points)
        try:
            await asyncio.to_thread(self._dead.write, letters)
        except OSError as exc:
            log.error("dead letters cannot be written receiver=%s error=%s", name, exc)  # noqa: TRY400 - the journal has them

    def _withhold(self, pick: Pick) -> None:
        name = self.receiver.name
        for reason, points in pick.withheld.items():
            self._own.remote_withheld.labels(name, reason).inc(points)
        if pick.too_old:
            first, last = pick.too_old
            log.warning(
                "too old for the receiver, see thongsuot-collector export openmetrics"
                " receiver=%s samples=%d from=%.0f to=%.0f",
                name,
                pick.withheld["too_old"],
                first,
                last,
            )

    def _see_inventory(self) -> None:
        if self._inventory is not self._fleet.inventory:
            self._inventory = self._fleet.inventory
            self._rows = Rows(self._fleet.inventory.subjects)

    async def _save(self) -> None:
        async with self._saving:
            saving = self._progress.unsaved()
            try:
                await asyncio.to_thread(self._file.save, saving)
            except BaseException:
                self._progress.not_saved(saving)
                raise
            self._journal.advance(self._reader, saving.owed_from - 1)

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


def _seconds(retry_after: str, now: float) -> float | None:
    """Return what a Retry-After asks for: seconds or a date."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return None
