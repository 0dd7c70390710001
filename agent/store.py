"""The disk half of the spool: the segments of one directory, their bounds and their repair."""

import logging
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent import files, segments
from agent.acked import Acked, Totals
from agent.age import Age
from agent.config import SpoolLimits
from agent.segments import Pending, Record, Segment, Writer
from agent.wire import Ranges

SEGMENT_BYTES = 1 << 20

log = logging.getLogger(__name__)


class Store:
    """Batches on disk. What the disk refuses is told once and stands in `failing`, never raised.

    Safe to use from several threads, but for `write`: one at a time. Memory holds ranges per
    segment, not batches: a week offline costs hardly more than a minute.
    """

    def __init__(self, directory: Path, limits: SpoolLimits, boot: str) -> None:
        self.failing = ""
        """Why the disk takes nothing; "" when it does."""
        self.age = Age()
        self._directory = directory
        self._limits = limits
        self._boot = boot
        self._segment_bytes = min(SEGMENT_BYTES, max(1, limits.max_bytes // 16))
        self._lock = threading.Lock()  # guards all that follows; free while a write is synced
        self._acked = Acked(directory / "acked")
        self._segments: dict[int, Segment] = {}
        self._next_number = 1
        self._writer: Writer | None = None
        self._open: Segment | None = None
        self._index: dict[int, list[Record]] = {}  # of the open segment and the one read last
        self._beside_bytes = 0
        self._directory_fd = -1
        self._acked.ranges[boot] = Ranges()
        with self._told():
            self._start()

    def _start(self) -> None:
        self._directory_fd, replaced = files.take_directory(self._directory)
        with self._told():
            self._acked.load()
        self._acked.totals.damaged += replaced
        paths = {
            int(p.stem): p for p in self._directory.glob("*" + files.SEGMENT) if p.stem.isdecimal()
        }
        self._next_number = max((0, self._acked.totals.dropped_through, *paths)) + 1
        for number, path in sorted(paths.items()):
            segment = self._segments[number] = Segment(number, path)
            if number <= self._acked.totals.dropped_through and not segments.is_newer(path):
                self._forget(segment)  # counted already, just before the power went
                continue
            data, records = self._read(segment)
            if data and not records:  # damaged all over, and the disk would not have it mended
                del self._segments[number]
            self._settle(segment)
        self.age.begin(list(self._segments.values()))
        held = {self._boot}.union(*(segment.held for segment in self._segments.values()))
        self._acked.ranges = {b: r for b, r in self._acked.ranges.items() if b in held}
        self._beside_bytes = files.beside_bytes(self._directory)
        self._acked.compact()

    def write(self, pendings: list[Pending]) -> bool:
        """Put batches on disk and wait until they are; False when it takes none of them."""
        try:
            writer = self._writer or self._begin()
            records = writer.write(pendings)
        except (OSError, files.SpoolInUseError) as exc:
            with self._lock:
                self._fail(exc)
                self._end_segment()
            return False
        with self._lock:
            if self.failing:
                log.warning("spool can be written again directory=%s", self._directory)
                self.failing = ""
            if self._open is not None:
                self._open.add(records)
                self._open.newest_ms = int(self.age.now_ms)
                self._index[self._open.number] += records
                self._recount(self._open)
            if writer.size >= self._segment_bytes:
                self._end_segment()
        return True

    def _begin(self) -> Writer:
        with self._lock:
            if self._directory_fd < 0:
                self._start()  # the folder could not be had when the agent began
            number = self._next_number
            self._next_number += 1  # a name that could not be used is not tried again
            path = self._directory / f"{number:010}{files.SEGMENT}"
            self._writer = Writer(path)
            self._open = self._segments[number] = Segment(number, path)
            self._index[number] = []
            return self._writer

    def _end_segment(self) -> None:
        if self._writer is not None:
            self._writer.close()
        ended, self._open, self._writer = self._open, None, None
        if ended is not None:
            self._index.pop(ended.number, None)  # read from the disk when it is asked for
            self._settle(ended)

    def enforce(self) -> None:
        """Drop the oldest segments that are too many or too old, and count their batches.

        Of what an earlier run left, only stamps of a synchronised clock are judged; a segment is at
        least as old as those after it.
        """
        with self._lock, self._told():
            closed = [s for s in self._segments.values() if s is not self._open]
            oldest_ms = self.age.now_ms - self._limits.max_age_seconds * 1000
            dated = [s for s in closed if s.newest_ms is not None and s.newest_ms < oldest_ms]
            too_old = dated[-1].number if dated else 0
            used = sum(s.size for s in self._segments.values()) + self._beside_bytes
            if used > self._limits.max_bytes:
                used -= self._beside_bytes
                self._beside_bytes = files.clear_beside(self._directory)
                used += self._beside_bytes
            dropped = []
            for segment in closed:
                if segment.number > too_old and used <= self._limits.max_bytes:
                    break
                used -= segment.size
                dropped.append(segment)
            if dropped:
                self._acked.totals.dropped_through = dropped[-1].number
                self._drop(sum(segment.waiting for segment in dropped))
            for segment in dropped:
                self._forget(segment)

    def count_dropped(self, batches: int) -> None:
        """Count batches that were given up before they came to the disk."""
        with self._lock:
            self._drop(batches)

    def _drop(self, batches: int) -> None:
        self._acked.totals.dropped += batches
        log.warning("spool: batches given up number=%d directory=%s", batches, self._directory)
        with self._told():
            self._acked.save_totals()

    # Out

    def oldest(self, limit_bytes: int, without: Collection[tuple[str, int]]) -> list[Pending]:
        """Return waiting batches, oldest first, up to a size of their bodies; at least one."""
        with self._lock:
            chosen: list[Pending] = []
            for pending in self._waiting(without):
                limit_bytes -= len(pending.body)
                if chosen and limit_bytes < 0:
                    break
                chosen.append(pending)
            return chosen

    def _waiting(self, without: Collection[tuple[str, int]]) -> Iterator[Pending]:
        def offered(record: Record) -> bool:
            return (record.boot, record.seq) not in without and not self._has(record)

        for segment in [s for s in self._segments.values() if s.waiting]:
            known = self._index.get(segment.number)
            if known is not None and not any(map(offered, known)):
                continue  # as in the open segment, of which all that waits is live
            data, records = self._read(segment)
            yield from (segments.unpack(data, record) for record in records if offered(record))

    def waiting(self) -> tuple[int, int, int | None]:
        """Return how many batches wait, how many bytes they take, wall ms of the oldest."""
        with self._lock:
            some = [s for s in self._segments.values() if s.waiting]
            batches = sum(s.waiting for s in some)
            size = sum(s.size * s.waiting // s.count for s in some)
            for segment in some:
                for record in self._index.get(segment.number) or self._read(segment)[1]:
                    if not self._has(record):
                        return batches, size, record.wall_ms
            return batches, size, None

    def held(self) -> dict[str, Ranges]:
        """Return what waits, by boot."""
        with self._lock:
            found: dict[str, Ranges] = {}
            for segment in self._segments.values():
                if segment.waiting:
                    for boot, ranges in segment.held.items():
                        waiting = found.setdefault(boot, Ranges())
                        for first, last in ranges.without(self._acked.ranges[boot]):
                            waiting.add(first, last)
            return found

    @property
    def totals(self) -> Totals:
        """What was counted since the spool was made."""
        return self._acked.totals

    def _read(self, segment: Segment) -> tuple[bytes, list[Record]]:
        """Read a segment; what is found damaged is put aside, counted and no longer waited for."""
        try:
            how = segments.read if segment is self._open else segments.mend
            whole = how(segment.path)
        except segments.NewerFormatError as exc:
            log.error("spool: left alone for the newer program that wrote it: %s", exc)  # noqa: TRY400 - no bug of ours
            self._leave_alone(segment)
            return b"", []
        except OSError as exc:
            self._fail(exc)
            self._give_up(segment, exc)
            return b"", []
        if whole.damaged or not segment.held:
            segment.size = 0
            segment.held.clear()
            segment.add(whole.records)
            self._recount(segment)
        if whole.damaged:
            self._count_damaged(max(whole.damaged, segment.holes))
        if segment is not self._open:
            kept = self._open.number if self._open else 0
            self._index = {n: index for n, index in self._index.items() if n == kept}
            self._index[segment.number] = whole.records
        return whole.data, whole.records

    def _leave_alone(self, segment: Segment) -> None:
        del self._segments[segment.number]
        self._index.pop(segment.number, None)

    def _give_up(self, segment: Segment, exc: OSError) -> None:
        self._leave_alone(segment)
        if not isinstance(exc, PermissionError):  # that is ours to mend: the next start reads it
            with self._told():
                files.put_beside(segment.path)
            self._count_damaged(max(1, segment.waiting))

    def _count_damaged(self, records: int) -> None:
        self._acked.totals.damaged += records
        log.error("spool: damage put aside records=%d directory=%s", records, self._directory)
        with self._told():
            self._acked.save_totals()

    # Acknowledged

    def _has(self, record: Record) -> bool:
        return record.seq in self._acked.ranges[record.boot]

    def acknowledge(self, boot: str, first: int, last: int) -> None:
        """Forget what the centre has on its disk."""
        with self._lock, self._told():
            if boot not in self._acked.ranges or self._acked.covers(boot, first, last):
                return  # nothing of it is kept here any more, or it is known
            try:
                self._acked.add(boot, first, last)
            finally:  # what cannot be written down is known all the same
                for segment in list(self._segments.values()):
                    if boot in segment.held:
                        self._recount(segment)
                        self._settle(segment)

    def acknowledged(self) -> Ranges:
        """Return what is acknowledged of this boot."""
        with self._lock:
            return Ranges(self._acked.ranges[self._boot])

    def take_back(self, lost: Ranges) -> int:
        """Let numbers of this boot wait again; return how many of them are still here."""
        with self._lock:
            ranges = self._acked.ranges
            ranges[self._boot] = ranges[self._boot].without(lost)
            again = 0
            for segment in self._segments.values():
                if self._boot in segment.held:
                    again -= segment.waiting
                    self._recount(segment)
                    again += segment.waiting
            with self._told():
                self._acked.compact()
            return again

    def set_aside(self, pending: Pending) -> bool:
        """Keep a batch in a file beside, for a person to look at; False when the disk refuses."""
        record = segments.pack(pending)
        with self._lock:
            try:
                files.append(self._directory / "set-aside", record)
            except OSError as exc:
                self._fail(exc)
                return False
            self._beside_bytes += len(record)
            self._acked.totals.set_aside += 1
            with self._told():
                self._acked.save_totals()
            return True

    def _recount(self, segment: Segment) -> None:
        segment.waiting = sum(map(self._acked.missing, segment.held, segment.held.values()))

    def _settle(self, segment: Segment) -> None:
        if segment is not self._open and not segment.waiting and segment.number in self._segments:
            self._forget(segment)

    def _forget(self, segment: Segment) -> None:
        del self._segments[segment.number]
        self._index.pop(segment.number, None)
        kept = {self._boot}.union(*(other.held for other in self._segments.values()))
        for boot in segment.held.keys() - kept:
            del self._acked.ranges[boot]
        with self._told():
            segment.path.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        if not self.failing:
            log.error("spool: the disk refuses directory=%s error=%s", self._directory, exc)
        self.failing = getattr(exc, "strerror", None) or str(exc)

    def close(self) -> None:
        """Close the files and let another agent have the directory."""
        with self._lock:
            with self._told():
                self._end_segment()
                self._acked.close()
            if self._directory_fd >= 0:
                os.close(self._directory_fd)
                self._directory_fd = -1
