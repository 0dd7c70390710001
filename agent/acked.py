"""What the centre has, and what will never reach it: the spool's memory beside its segments.

One small file of records of 37 bytes, each with its checksum, appended without fsync: what a power
cut takes from its end is sent once more, and the centre knows it already.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from agent import files
from agent.wire import Ranges

COMPACT_BYTES = 256 << 10
MAX_BYTES = 4 * COMPACT_BYTES
_RECORD = struct.Struct("<IB16sQQ")
_ACK, _DROPPED, _DAMAGED, _SET_ASIDE = range(1, 5)
_NO_BOOT = bytes(16)


@dataclass(slots=True)
class Totals:
    """Counted since the spool was made."""

    dropped: int = 0
    dropped_through: int = 0
    """Number of the newest segment that was dropped: found again, it is not counted again."""
    damaged: int = 0
    set_aside: int = 0


class Acked:
    """Acknowledged ranges per boot, and totals. OSError flies where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.ranges: dict[str, Ranges] = {}
        self.totals = Totals()
        self._path = path
        self._fd: int | None = None
        self._size = 0

    def load(self) -> None:
        """Read the file. What is damaged in it is passed over: it is resent, or counted anew."""
        try:
            data = files.read(self._path, MAX_BYTES)
        except FileNotFoundError:
            return
        except PermissionError:  # ours to mend, nothing is wrong with the file
            raise
        except OSError:
            files.put_beside(self._path)
            self.totals.damaged += 1
            return
        at = 0
        passed_over = False
        while at + _RECORD.size <= len(data):
            if self._take(data[at : at + _RECORD.size]):
                at += _RECORD.size
            else:  # half a record, left by a full disk, shifts all that follow: look at each byte
                at += 1
                passed_over = True
        self.totals.damaged += passed_over

    def _take(self, record: bytes) -> bool:
        crc, kind, boot, first, last = _RECORD.unpack(record)
        if crc != zlib.crc32(record[4:]):
            return False
        totals = self.totals  # they never go back
        if kind == _ACK and 0 < first <= last:
            self.ranges.setdefault(boot.hex(), Ranges()).add(first, last)
        elif kind == _DROPPED:
            totals.dropped = max(totals.dropped, first)
            totals.dropped_through = max(totals.dropped_through, last)
        elif kind == _DAMAGED:
            totals.damaged = max(totals.damaged, first)
        elif kind == _SET_ASIDE:
            totals.set_aside = max(totals.set_aside, first)
        return True

    def covers(self, boot: str, first: int, last: int) -> bool:
        """Whether the whole range was acknowledged before."""
        return any(a <= first and last <= b for a, b in self.ranges.get(boot, ()))

    def missing(self, boot: str, held: Ranges) -> int:
        """Return how many of the batches held are not acknowledged; the boot is known from now."""
        count = sum(last - first + 1 for first, last in held)
        ours, theirs = list(held), list(self.ranges.setdefault(boot, Ranges()))
        i = j = 0
        while i < len(ours) and j < len(theirs):
            first = max(ours[i][0], theirs[j][0])
            last = min(ours[i][1], theirs[j][1])
            count -= max(0, last - first + 1)
            if ours[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return count

    def add(self, boot: str, first: int, last: int) -> None:
        """Note an acknowledged range."""
        self.ranges.setdefault(boot, Ranges()).add(first, last)
        self._append(_pack(_ACK, bytes.fromhex(boot), first, last))

    def save_totals(self) -> None:
        """Write the totals down and wait for the disk: they must not go back."""
        self._append(self._packed_totals())
        if self._fd is not None:
            os.fdatasync(self._fd)

    def compact(self) -> None:
        """Rewrite the file as short as it can be."""
        self.close()
        acks = [
            _pack(_ACK, bytes.fromhex(boot), first, last)
            for boot, ranges in self.ranges.items()
            for first, last in ranges
        ]
        files.replace(self._path, b"".join((self._packed_totals(), *acks)))

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _packed_totals(self) -> bytes:
        t = self.totals
        return b"".join(
            (
                _pack(_DROPPED, _NO_BOOT, t.dropped, t.dropped_through),
                _pack(_DAMAGED, _NO_BOOT, t.damaged, 0),
                _pack(_SET_ASIDE, _NO_BOOT, t.set_aside, 0),
            )
        )

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._size = os.fstat(self._fd).st_size
        rest = memoryview(data)
        while rest:  # a disk may take less than it is given
            written = os.write(self._fd, rest)
            self._size += written
            rest = rest[written:]
        if self._size > COMPACT_BYTES:
            self.compact()


def _pack(kind: int, boot: bytes, first: int, last: int) -> bytes:
    record = _RECORD.pack(0, kind, boot, first, last)
    return zlib.crc32(record[4:]).to_bytes(4, "little") + record[4:]
