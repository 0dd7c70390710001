"""Ranges: a set of sequence numbers, kept as few inclusive ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A set of positive integers that mostly follow each other.

    >>> r = Ranges([(1, 3), (7, 7)]); r.add(4); list(r)
    [(1, 4), (7, 7)]
    """

    __slots__ = ("_first", "_last")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int | None = None) -> None:
        """Add `first`, or every number from `first` to `last`. ValueError when last < first."""
        if last is None:
            last = first
        if last < first:
            raise ValueError(f"range {first}-{last} ends before it begins")
        at = bisect_right(self._first, first)
        if at and self._last[at - 1] >= first - 1:  # touches the one before: grow that one
            at -= 1
            first = self._first[at]
            last = max(last, self._last[at])
        end = bisect_right(self._first, last + 1)  # every range that begins inside or just after
        if end > at:
            last = max(last, self._last[end - 1])
        self._first[at:end] = [first]
        self._last[at:end] = [last]

    def without(self, other: "Ranges") -> "Ranges":
        """Return the numbers that are here and not there."""
        left = Ranges()
        theirs = list(other)
        ends = [end for _, end in theirs]
        for first, last in self:
            at = first
            for begin, end in theirs[bisect_left(ends, first) :]:
                if begin > last:
                    break
                if begin > at:
                    left.add(at, begin - 1)
                at = end + 1
            if at <= last:
                left.add(at, last)
        return left

    @property
    def total(self) -> int:
        """How many numbers."""
        return sum(self._last) - sum(self._first) + len(self._first)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._first, number)
        return bool(at) and self._last[at - 1] >= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._first, self._last, strict=True)

    def __len__(self) -> int:
        """How many ranges, not how many numbers."""
        return len(self._first)

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"
