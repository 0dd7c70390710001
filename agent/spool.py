"""The spool: batches on disk from the moment they are sealed until the centre has them.

The spool numbers the batches, under the lock that writes them: 1, 2, 3 … within the boot, without
holes, so that a sequence number never stands for two different texts.

Two lanes lead out of it: `live`, the few newest batches, straight from memory; and `backlog`,
everything else, oldest first, read back from disk. What is under way is not given out again until
it is released.
"""

import logging
import threading
import time
from collections.abc import Iterable
from itertools import islice
from math import inf
from pathlib import Path

import msgspec

from agent.config import SpoolLimits
from agent.files import SpoolInUseError
from agent.segments import Pending
from agent.store import Store
from agent.wire import MAX_BATCH_SAMPLES, Ack, Batch, Held, Ranges, Sample, SpoolState

__all__ = ["Pending", "Spool", "SpoolInUseError"]

LIVE_BATCHES = 8
MEMORY_BYTES = 4 << 20
"""What is kept in memory while the disk takes nothing."""
WRITE_BATCHES = 64
MOST_TOLD = 1_000
"""Ranges and boots in one state: each stands for a kill or a hole, and there are few."""

Key = tuple[str, int]
log = logging.getLogger(__name__)


class Spool:
    """Safe to use from several threads. `live` and `release` never wait for the disk."""

    def __init__(self, directory: Path, limits: SpoolLimits, *, boot: str) -> None:
        """Open what there is; whatever is damaged is put aside and counted.

        `boot` names this run of the agent: 32 hex digits. A disk that cannot be read or written
        is no exception: `state.failing` tells of it, and batches pass through a small memory
        until it can. SpoolInUseError where two agents share a directory.
        """
        self._boot = boot
        self._store = Store(directory, limits, boot)
        self._writing = threading.Lock()  # taken first; held while the disk works
        self._lock = threading.Lock()  # guards all that follows, never held while the disk works
        self._seq = 0
        self._told = 0  # up to here: on disk, or in memory because the disk refuses
        self._live: dict[Key, Pending] = {}
        self._unwritten: dict[Key, Pending] = {}
        self._under_way: set[Key] = set()
        self._aside = Ranges()  # of this boot: acknowledged by nobody, and not to be sent
        self._held_back: dict[Key, tuple[float, float]] = {}  # until when, and for how long

    def append(self, batch: Batch) -> None:
        """Give a batch its `seq`, fix its bytes and put them on disk.

        When it returns the batch is on disk, or `state.failing` says why it is in memory only.
        One of too many samples becomes several, one without samples nothing.
        """
        if batch.boot != self._boot:
            raise ValueError(f"batch of boot {batch.boot}, this spool is of boot {self._boot}")
        with self._writing:
            self._store.age.tick(batch.sealed.mono_ns)
            sealed: list[Pending] = []
            for first in range(0, len(batch.samples), MAX_BATCH_SAMPLES):
                samples = batch.samples[first : first + MAX_BATCH_SAMPLES]
                sealed.append(_seal(batch, self._seq + 1 + len(sealed), samples))
            with self._lock:
                self._seq += len(sealed)
                self._unwritten.update((pending.key, pending) for pending in sealed)
                self._under_way.update(pending.key for pending in sealed)  # to the disk
            self._write()
            with self._lock:
                self._told = self._seq
                self._under_way.difference_update(pending.key for pending in sealed)
                self._live.update((pending.key, pending) for pending in sealed)
                while len(self._live) > LIVE_BATCHES:
                    del self._live[next(iter(self._live))]
                given_up = self._bound_memory()
            if given_up:
                self._store.count_dropped(given_up)
            self._store.enforce()

    def _write(self) -> None:
        """Write what waits for the disk, in pieces: a full disk is not tried with all of it."""
        while self._unwritten:
            with self._lock:
                piece = list(islice(self._unwritten.values(), WRITE_BATCHES))
            if not self._store.write(piece):
                return
            with self._lock:
                for pending in piece:
                    self._unwritten.pop(pending.key, None)

    def _bound_memory(self) -> int:
        used = sum(len(pending.body) for pending in self._unwritten.values())
        given_up = 0
        while used > MEMORY_BYTES:
            key = next(iter(self._unwritten))
            used -= len(self._unwritten.pop(key).body)
            self._live.pop(key, None)
            given_up += 1
        return given_up

    def live(self, limit_bytes: int) -> list[Pending]:
        """Take the newest batches, up to a size of their bodies, at least one; in their order."""
        with self._lock:
            chosen: list[Pending] = []
            without = self._under_way | self._not_yet()
            for pending in reversed(self._live.values()):
                if pending.key in without:
                    continue
                limit_bytes -= len(pending.body)
                if chosen and limit_bytes < 0:
                    break
                chosen.append(pending)
            chosen.reverse()
            self._under_way.update(pending.key for pending in chosen)
            return chosen

    def backlog(self, limit_bytes: int) -> list[Pending]:
        """Take what left the live lane, oldest first, up to a size; at least one. Reads the disk."""
        with self._lock:
            without = self._live.keys() | self._under_way | self._not_yet()
            in_memory = [p for p in self._unwritten.values() if p.key not in without]
        chosen = self._store.oldest(limit_bytes, without)
        limit_bytes -= sum(len(pending.body) for pending in chosen)
        for pending in in_memory:
            limit_bytes -= len(pending.body)
            if chosen and limit_bytes < 0:
                break
            chosen.append(pending)
        with self._lock:  # another thread may have been quicker
            chosen = [pending for pending in chosen if pending.key not in self._under_way]
            self._under_way.update(pending.key for pending in chosen)
            return chosen

    def release(self, pendings: Iterable[Pending]) -> None:
        """Say that a sending has ended: what it got no acknowledgement for may be taken again."""
        with self._lock:
            self._under_way.difference_update(pending.key for pending in pendings)

    def acknowledge(self, acks: Iterable[Ack]) -> None:
        """Forget what the centre has on its disk; twice is as good as once."""
        for ack in acks:
            for first, last in ack.ranges:
                # What is not sealed yet cannot have arrived, whatever anyone says.
                end = min(last, self._seq) if ack.boot == self._boot else last
                if 0 < first <= end:
                    self._store.acknowledge(ack.boot, first, end)
                    self._prune(ack.boot, first, end)

    def acknowledged(self) -> Ranges:
        """Return what the centre said it has of this boot."""
        return self._store.acknowledged().without(self._aside)

    def take_back(self, before: Ranges, acks: Iterable[Ack]) -> None:
        """Offer again what the centre had and has no more: it was set back to an older state.

        `acks` answer a push that was made when `before` was what `acknowledged` said. Only what
        still stands on this disk can be sent again.
        """
        for ack in acks:
            lost = before.without(Ranges(ack.ranges))
            if ack.boot == self._boot and lost:
                again = self._store.take_back(lost)
                log.warning(
                    "the collector has lost batches it had number=%d sent_again=%d",
                    lost.total,
                    again,
                )

    def set_aside(self, pending: Pending) -> None:
        """Keep a batch that the centre refuses for good in a file beside; it is not sent again."""
        if self._store.set_aside(pending):
            if pending.boot == self._boot:
                self._aside.add(pending.seq)
            self.acknowledge([Ack(boot=pending.boot, ranges=[(pending.seq, pending.seq)])])
        else:
            self.defer(pending, first=inf, most=inf)

    def defer(self, pending: Pending, *, first: float, most: float) -> None:
        """Offer a batch in neither lane for a while, which grows each time it is asked for.

        `first`, `most`: seconds; infinity is for the rest of this run.
        """
        with self._lock:
            _, before = self._held_back.get(pending.key, (0.0, 0.0))
            seconds = min(most, max(first, 4 * before))
            self._held_back[pending.key] = time.monotonic() + seconds, seconds

    def _not_yet(self) -> set[Key]:
        now = time.monotonic()
        return {key for key, (until, _) in self._held_back.items() if until > now}

    def _prune(self, boot: str, first: int, last: int) -> None:
        with self._lock:
            for lane in (self._live, self._unwritten, self._held_back):
                for key in [key for key in lane if key[0] == boot and first <= key[1] <= last]:
                    del lane[key]

    @property
    def state(self) -> SpoolState:
        """What waits, and what was lost and how."""
        with (
            self._lock
        ):  # before the disk is asked: what is written meanwhile is seen twice, not never
            sealed = self._told  # a power cut in the midst of a write takes what nobody was told of
            in_memory = [one for one in self._unwritten.values() if one.seq <= sealed]
        batches, size, oldest_ms = self._store.waiting()
        held = self._store.held()
        for pending in in_memory:
            held.setdefault(pending.boot, Ranges()).add(pending.seq)
        own = held.pop(self._boot, Ranges())
        sealed = max([sealed, *(last for _, last in own)])  # one that came to the disk just now
        told = [Held(boot=self._boot, sealed=sealed, pending=list(own)[:MOST_TOLD])]
        told += [Held(boot=boot, pending=list(rest)[:MOST_TOLD]) for boot, rest in held.items()]
        if oldest_ms is None and in_memory:
            oldest_ms = in_memory[0].wall_ms
        totals = self._store.totals
        return SpoolState(
            pending_batches=batches + len(in_memory),
            pending_bytes=size + sum(len(pending.body) for pending in in_memory),
            oldest_pending_ms=oldest_ms,
            dropped_batches=totals.dropped,
            damaged_records=totals.damaged,
            set_aside_batches=totals.set_aside,
            failing=self._store.failing,
            held=told[:MOST_TOLD],
        )

    def close(self) -> None:
        """Close the files and let another agent have the directory."""
        with self._writing, self._lock:
            self._store.close()


def _seal(batch: Batch, seq: int, samples: list[Sample]) -> Pending:
    sealed = msgspec.structs.replace(batch, seq=seq, samples=samples)
    body = msgspec.json.encode(sealed)
    wall_ms = batch.sealed.wall_ms
    return Pending(batch.boot, seq, wall_ms, body, synchronised=batch.synchronised)
