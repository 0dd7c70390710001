"""Progress: which of the journal's samples a receiver still has to get, in a few numbers. Pure.

The live lane goes ahead: it takes what is young out of the newest entries, and leaves the rest owed
to the backlog lane, which pays in the journal's order. What is owed is a row of spans: of the
entries `first` to `last`, all samples whose time lies before `before`. The bound moves each 10 s,
so a day of backlog that came in beside live samples is some thousand spans at most.
"""

import math
from collections import deque
from collections.abc import Iterable

from msgspec import Struct

NOTHING = -math.inf
EVERYTHING = math.inf


class Owed(Struct, frozen=True):
    """Of these entries, the samples before this time were not sent."""

    first: int
    last: int
    before: float


class Saving(Struct, frozen=True):
    """What brings the rows on disk up to date."""

    seen: int
    owed_from: int
    """Spans that begin before this are paid."""
    spans: list[Owed]
    """New ones, and those that another one on disk has become."""


class Progress:
    """How far a receiver's two lanes have come. Spans ascend and never overlap."""

    def __init__(self, seen: int = 0, owed: Iterable[Owed] = ()) -> None:
        self.seen = seen
        """The live lane is done with everything up to this entry."""
        self.owed = deque(owed)
        self._unsaved_from = math.inf

    @property
    def done(self) -> int:
        """Up to this entry nothing will be read again."""
        return self.owed[0].first - 1 if self.owed else self.seen

    @property
    def pending(self) -> int:
        """Entries of which something may be owed."""
        return sum(span.last - span.first + 1 for span in self.owed)

    def see(self, upto: int, owed_before: float) -> None:
        """Hear that the live lane is done up to an entry, and what it left: NOTHING, EVERYTHING."""
        if upto <= self.seen:
            return
        first, self.seen = self.seen + 1, upto
        if owed_before == NOTHING:
            return
        newest = self.owed[-1] if self.owed else None
        same = newest is not None and newest.before == owed_before
        if newest is not None and same and (owed_before < EVERYTHING or newest.last == first - 1):
            # The entries between the two are covered too: nothing of them is that old.
            self.owed.pop()
            first = newest.first
        self.owed.append(Owed(first, upto, owed_before))
        self._unsaved_from = min(self._unsaved_from, first)

    def pay(self, upto: int) -> None:
        """Hear that the backlog lane is done up to an entry."""
        while self.owed and self.owed[0].first <= upto:
            span = self.owed.popleft()
            if span.last > upto:
                self.owed.appendleft(Owed(upto + 1, span.last, span.before))

    def go_back(self, newest: int) -> None:
        """Hear that the journal was put back from a backup: what comes after this is new."""
        self.seen = min(self.seen, newest)
        while self.owed and self.owed[-1].last > newest:
            span = self.owed.pop()
            if span.first <= newest:
                self.owed.append(Owed(span.first, newest, span.before))
                self._unsaved_from = min(self._unsaved_from, span.first)
                break

    def unsaved(self) -> Saving:
        """Return what changed since the last call, to be kept."""
        found, self._unsaved_from = self._unsaved_from, math.inf
        changed = [span for span in self.owed if span.first >= found]
        if self.owed and (not changed or changed[0] is not self.owed[0]):
            changed.append(self.owed[0])
        return Saving(self.seen, self.done + 1, changed)

    def not_saved(self, saving: Saving) -> None:
        """Hear that this could not be kept: it comes again."""
        first = min((span.first for span in saving.spans), default=math.inf)
        self._unsaved_from = min(self._unsaved_from, first)
