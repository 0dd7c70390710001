"""Segment files: batches as records, each with a checksum of its own.

A segment is nothing but records, one after the other:

    marker 4 | crc32 4 | length 4 | flags 1 | boot 16 | seq 8 | wall ms 8 | body (zlib)

little-endian; the checksum covers all that follows it, and the last byte of the marker is the
version of this format. There is no header that could be lost: whatever is damaged, reading goes on
at the next marker whose checksum holds, so a batch is lost only by damage to its own bytes.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agent import files
from agent.wire import Ranges

FORMAT = 1
_FAMILY = b"\x8aTS"
MARKER = _FAMILY + bytes([FORMAT])
MAX_FILE_BYTES = 64 << 20
"""A larger file is not of our making (a broken file system invents such sizes)."""
_HEAD = struct.Struct("<4sIIB16sQq")
_CHECKED = 8  # the checksum covers everything after itself
_FLAGS_AT = 12
_ZLIB = 1
_SYNCHRONISED = 2


class NewerFormatError(Exception):
    """A file of a later program's: not ours to read, and not ours to touch."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that the centre does not have yet."""

    boot: str
    seq: int
    wall_ms: int
    """Wall time of its sealing."""
    body: bytes
    """JSON, as committed; every sending carries these very bytes."""
    synchronised: bool = field(kw_only=True)
    """Whether that clock could be believed."""

    @property
    def key(self) -> tuple[str, int]:
        """Name the batch within this agent."""
        return self.boot, self.seq


class Record(NamedTuple):
    """Where one batch stands in its segment, and what is known without inflating it."""

    boot: str
    seq: int
    wall_ms: int
    synchronised: bool
    start: int
    end: int


@dataclass(slots=True)
class Segment:
    """What is known of one file: a few ranges, however many batches it holds."""

    number: int
    path: Path
    size: int = 0
    waiting: int = 0
    """Batches of it that the centre has not acknowledged."""
    newest_ms: int | None = None
    """Latest wall time by a synchronised clock, or by `Age`; None when no batch had one."""
    held: dict[str, Ranges] = field(default_factory=dict)

    def add(self, records: Iterable[Record]) -> None:
        """Take note of records that stand in the file."""
        for record in records:
            held = self.held.get(record.boot)
            if held is None:
                held = self.held[record.boot] = Ranges()
            held.add(record.seq)
            if record.synchronised and record.wall_ms > (self.newest_ms or 0):
                self.newest_ms = record.wall_ms
            self.size = max(self.size, record.end)

    @property
    def count(self) -> int:
        """How many batches it holds."""
        return sum(last - first + 1 for held in self.held.values() for first, last in held)

    @property
    def holes(self) -> int:
        """How many numbers are missing between its first and last of a boot: batches lost here."""
        spans = [list(held) for held in self.held.values()]
        return sum(held[-1][1] - held[0][0] + 1 for held in spans) - self.count


def pack(pending: Pending) -> bytes:
    """Return a batch as a record. ValueError when its boot is not 32 hex digits."""
    payload = zlib.compress(pending.body, 1)
    flags = _ZLIB | (_SYNCHRONISED if pending.synchronised else 0)
    boot = bytes.fromhex(pending.boot)
    head = _HEAD.pack(MARKER, 0, len(payload), flags, boot, pending.seq, pending.wall_ms)
    crc = zlib.crc32(payload, zlib.crc32(head[_CHECKED:]))
    return b"".join((MARKER, crc.to_bytes(4, "little"), head[_CHECKED:], payload))


def unpack(data: bytes, record: Record) -> Pending:
    """Return the batch of a record that `scan` found in `data`."""
    payload = data[record.start + _HEAD.size : record.end]
    body = zlib.decompress(payload) if data[record.start + _FLAGS_AT] & _ZLIB else payload
    return Pending(record.boot, record.seq, record.wall_ms, body, synchronised=record.synchronised)


def scan(data: bytes) -> tuple[list[Record], list[tuple[int, int]]]:
    """Return every whole record, and the (start, end) of all that lies between them."""
    records: list[Record] = []
    damage: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        record = _record_at(data, at)
        if record is None:
            begun = at
            while record is None and (at := data.find(MARKER, at + 1)) >= 0:
                record = _record_at(data, at)
            damage.append((begun, at if record else len(data)))
            if record is None:
                break
        records.append(record)
        at = record.end
    return records, damage


def _record_at(data: bytes, at: int) -> Record | None:
    if len(data) - at < _HEAD.size:
        return None
    marker, crc, length, flags, boot, seq, wall_ms = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + length
    if marker != MARKER or end > len(data):
        return None
    if zlib.crc32(memoryview(data)[at + _CHECKED : end]) != crc:
        return None
    return Record(boot.hex(), seq, wall_ms, bool(flags & _SYNCHRONISED), at, end)


class Loaded(NamedTuple):
    """A segment as it was read: its bytes, what stands where, and what had to be given up."""

    data: bytes
    records: list[Record]
    damaged: int
    """Places where something else than a record stood and was put aside."""


def read(path: Path) -> Loaded:
    """Read a segment and change nothing. OSError when it cannot be read."""
    data = files.read(path, MAX_FILE_BYTES)
    return Loaded(data, scan(data)[0], 0)


def is_newer(path: Path) -> bool:
    """Whether a file begins as those of a later program do; False when it cannot be read."""
    try:
        with path.open("rb") as file:
            return _is_newer(file.read(len(MARKER)))
    except OSError:
        return False


def _is_newer(data: bytes) -> bool:
    return data.startswith(_FAMILY) and data[len(_FAMILY) : len(MARKER)] > MARKER[-1:]


def mend(path: Path) -> Loaded:
    """Read a segment no one writes to; what is damaged in it goes into a `.damaged` file beside.

    The segment is then rewritten without it, so that the same damage is counted once. A disk that
    cannot be written may still be read: then all stays as it is. OSError when it cannot be read,
    NewerFormatError when a later program wrote it: that one will read it again.
    """
    data = files.read(path, MAX_FILE_BYTES)
    records, damage = scan(data)
    if not records and _is_newer(data):
        raise NewerFormatError(f"{path}: format {data[len(_FAMILY)]}, this program knows {FORMAT}")
    if not damage:
        return Loaded(data, records, 0)
    whole = b"".join(data[record.start : record.end] for record in records)
    try:
        lost = b"".join(data[start:end] for start, end in damage)
        files.append(path.with_suffix(files.DAMAGED), lost)
        files.replace(path, whole)
    except OSError:
        return Loaded(data, records, 0)
    return Loaded(whole, scan(whole)[0], len(damage))


class Writer:
    """The segment that grows. After an OSError it must be closed and not used again.

    What fdatasync refused once must not be believed later: the kernel may have dropped the pages
    and report success the next time. So its records are written anew, into another segment.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        self.size = 0
        try:
            files.sync_directory(path.parent)
        except OSError:
            self.close()
            raise

    def write(self, pendings: Iterable[Pending]) -> list[Record]:
        """Write and fdatasync; on OSError what was written is cut off again."""
        packed = []
        records = []
        end = self.size
        for pending in pendings:
            packed.append(pack(pending))
            start, end = end, end + len(packed[-1])
            boot, seq, wall_ms = pending.boot, pending.seq, pending.wall_ms
            records.append(Record(boot, seq, wall_ms, pending.synchronised, start, end))
        rest = memoryview(b"".join(packed))
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size = end
        return records

    def close(self) -> None:
        """Close the file; one without a record goes away."""
        with suppress(OSError):  # all that was promised is synced already
            os.close(self._fd)
            if not self.size:
                self._path.unlink()
