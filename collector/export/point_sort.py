"""Point sort: brings more points than memory holds into the order of a text.

Points come in the journal's order, and a text wants them place by place. So they wait in memory,
each place's in a row; when too many wait, they are written down as a run, place after place; in the
end the runs are merged. All runs are one file without a name: it goes when the process goes,
however that ends.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import NamedTuple, Self

HELD_POINTS = 4_000_000
"""64 MB of them wait in memory."""
MEMBERS = 2

_POINT = struct.Struct("<qd")
_CHUNK = struct.Struct("<IQ")
_first = itemgetter(0)

Place = tuple[int, str]
"""Of a family, and of labels within it."""
Points = list[tuple[int, float]]
"""Moment and value; a moment is milliseconds * MEMBERS + member."""


class Seat(NamedTuple):
    """Where the points of a series belong: series of one place are told apart by `member`."""

    place: Place
    member: int


class PointSort:
    """A sort. `folder` needs room for 16 bytes a point. Use it as a context; OSError when it is full."""

    def __init__(
        self, folder: Path, seat_of: Callable[[bytes], Seat], *, held_points: int = HELD_POINTS
    ) -> None:
        self.points = 0
        """Those that were yielded."""
        self.doubled = 0
        """Those left out because their series has one of the same millisecond."""
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._seat_of = seat_of
        self._held_points = held_points
        self._held = 0
        self._seats: dict[bytes, tuple[bytearray, int]] = {}
        self._numbers: dict[Place, int] = {}
        self._waiting: list[bytearray] = []
        """Of each place by its number: the points that are in no run yet."""
        self._runs: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, milliseconds: int, numbers: Iterable[tuple[bytes, float]]) -> None:
        """Take an attempt's (series, number). The first of a series' numbers for one time stays."""
        moment = milliseconds * MEMBERS
        seats, pack = self._seats, _POINT.pack
        for series, number in numbers:
            waiting, member = seats.get(series) or self._seat(series)
            waiting += pack(moment + member, number)
            self._held += 1
        if self._held >= self._held_points:
            self._write()

    def sorted(self) -> Iterator[tuple[Place, Points]]:
        """Yield the places in their order, each with its points in the order of time."""
        self._write()
        places = sorted(self._numbers)
        ranks = [0] * len(places)
        for rank, place in enumerate(places):
            ranks[self._numbers[place]] = rank
        runs = (self._read(run, ranks) for run in self._runs)
        for rank, chunks in groupby(merge(*runs, key=_first), _first):
            points = list(_POINT.iter_unpack(b"".join(chunk for _, chunk in chunks)))
            kept = dict(reversed(points))
            self.points += len(kept)
            self.doubled += len(points) - len(kept)
            yield places[rank], sorted(kept.items())

    def _seat(self, series: bytes) -> tuple[bytearray, int]:
        place, member = self._seat_of(series)
        number = self._numbers.setdefault(place, len(self._waiting))
        if number == len(self._waiting):
            self._waiting.append(bytearray())
        seat = self._seats[series] = self._waiting[number], member
        return seat

    def _write(self) -> None:
        begin = self._file.tell()
        for _, number in sorted(self._numbers.items()):
            waiting = self._waiting[number]
            if waiting:
                self._file.write(_CHUNK.pack(number, len(waiting)))
                self._file.write(waiting)
                waiting.clear()
        self._file.flush()
        self._held = 0
        self._runs.append((begin, self._file.tell()))

    def _read(self, run: tuple[int, int], ranks: list[int]) -> Iterator[tuple[int, bytes]]:
        at, end = run
        file = self._file.fileno()
        while at < end:
            number, size = _CHUNK.unpack(os.pread(file, _CHUNK.size, at))
            at += _CHUNK.size
            yield ranks[number], os.pread(file, size, at)
            at += size
