"""Progress: which of the journal's samples a receiver still has to get, in a few numbers. Pure.

The live lane goes ahead: it takes what is young out of the newest entries, and leaves the rest owed
to the backlog lane, which pays in the journal's order. What is owed is a row of spans: of the
entries `first` to `last`, all samples whose time lies before `before`. The bound moves each 10 s,
so a day of backlog that came in beside live samples is some thousand spans at most.

What a receiver has taken is not safe at once: it acknowledges before its disk has it. So what was
taken lately is remembered, and becomes owed again where the receiver may have lost it.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator

from msgspec import Struct

from agent.wire import Ranges

NOTHING = -math.inf
EVERYTHING = math.inf
TAKEN_STEP_SECONDS = 5.0
"""What was taken within one such step is remembered as one."""


class Owed(Struct, frozen=True):
    """Of these entries, the samples before this time were not sent."""

    first: int
    last: int
    before: float


class Taken(Struct):
    """Of these entries a lane's samples were acknowledged, the last of them at this time."""

    lane: str
    first: int
    last: int
    at: float


class Saving(Struct, frozen=True):
    """What brings the rows on disk up to date."""

    seen: int
    owed_from: int
    """Spans that begin before this are paid."""
    changed_from: float
    """`spans` has all that end here or later, and the first: those on disk are no longer right."""
    spans: list[Owed]
    taken: list[tuple[int, int]]
    """All entries that were taken lately, first and last."""
    done: int


class Progress:
    """How far a receiver's two lanes have come. Spans ascend and never overlap.

    `taken`: what was taken shortly before an earlier run ended, first and last.
    """

    def __init__(
        self, seen: int = 0, owed: Iterable[Owed] = (), taken: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.seen = seen
        """The live lane is done with everything up to this entry."""
        self.owed = deque(owed)
        self._taken = [Taken("", first, last, -math.inf) for first, last in taken]
        self._unsaved_from = math.inf

    @property
    def done(self) -> int:
        """Up to this entry nothing will be read again."""
        firsts = [taken.first for taken in self._taken]
        if self.owed:
            firsts.append(self.owed[0].first)
        return min(firsts, default=self.seen + 1) - 1

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

    def pay(self, first: int, upto: int, before: float) -> None:
        """Hear that of these entries the backlog lane is done with the samples before a time."""
        kept: list[Owed] = []
        while self.owed and self.owed[0].first <= upto:
            span = self.owed.popleft()
            # A later bound: it became owed again while it was on its way.
            kept.extend((span,) if span.before > before else _without(span, first, upto))
        self.owed.extendleft(reversed(kept))
        if len(kept) > 1 or (kept and kept[0].first <= upto):
            self._unsaved_from = min(self._unsaved_from, kept[0].first)

    def take(self, lane: str, first: int, last: int, at: float) -> None:
        """Hear that a lane's samples of these entries were acknowledged."""
        newest = next((taken for taken in reversed(self._taken) if taken.lane == lane), None)
        if (
            newest is not None
            and newest.at // TAKEN_STEP_SECONDS == at // TAKEN_STEP_SECONDS
            and newest.first <= first <= newest.last + 1
        ):
            newest.last, newest.at = max(newest.last, last), at
        else:
            self._taken.append(Taken(lane, first, last, at))

    def owe_again(self, lane: str, since: float) -> int:
        """Owe what a lane has had taken since then; return how many entries that is.

        To be called between two loads of that lane. What an earlier run had belongs to each lane.
        """
        again = Ranges()
        for taken in self._taken:
            if _is_of(taken, lane, since):
                again.add(taken.first, taken.last)
        self._taken = [taken for taken in self._taken if not _is_of(taken, lane, since)]
        for first, last in again:
            self._owe(first, last)
        return again.total

    def forget_taken(self, before: float) -> None:
        """Hear that what was taken before then is safe."""
        self._taken = [taken for taken in self._taken if taken.at >= before]

    def _owe(self, first: int, last: int) -> None:
        """Owe all samples of these entries, whatever of them was owed already."""
        below = [span for span in self.owed if span.first < first]
        above = [span for span in self.owed if span.last > last]
        below = [Owed(span.first, min(span.last, first - 1), span.before) for span in below]
        above = [Owed(max(span.first, last + 1), span.last, span.before) for span in above]
        self._unsaved_from = min(self._unsaved_from, first, *(one.first for one in below[-1:]))
        if below and below[-1].last == first - 1 and below[-1].before == EVERYTHING:
            first = below.pop().first
        if above and above[0].first == last + 1 and above[0].before == EVERYTHING:
            last = above.pop(0).last
        self.owed = deque([*below, Owed(first, last, EVERYTHING), *above])

    def go_back(self, newest: int) -> None:
        """Hear that the journal was put back from a backup: what comes after this is new."""
        if newest >= self.seen:
            return
        self.seen = newest
        self._taken = [
            Taken(one.lane, one.first, min(one.last, newest), one.at)
            for one in self._taken
            if one.first <= newest
        ]
        while self.owed and self.owed[-1].last > newest:
            span = self.owed.pop()
            if span.first <= newest:
                self.owed.append(Owed(span.first, newest, span.before))
                self._unsaved_from = min(self._unsaved_from, span.first)
                break

    def unsaved(self) -> Saving:
        """Return what changed since the last call, to be kept."""
        found, self._unsaved_from = self._unsaved_from, math.inf
        changed = [span for span in self.owed if span.last >= found]
        if self.owed and (not changed or changed[0] is not self.owed[0]):
            changed.append(self.owed[0])
        owed_from = self.owed[0].first if self.owed else self.seen + 1
        taken = Ranges((one.first, one.last) for one in self._taken)
        return Saving(self.seen, owed_from, found, changed, list(taken), self.done)

    def not_saved(self, saving: Saving) -> None:
        """Hear that this could not be kept: it comes again."""
        self._unsaved_from = min(self._unsaved_from, saving.changed_from)


def _without(span: Owed, first: int, last: int) -> Iterator[Owed]:
    if span.first < first:
        yield Owed(span.first, min(span.last, first - 1), span.before)
    if span.last > last:
        yield Owed(max(span.first, last + 1), span.last, span.before)


def _is_of(taken: Taken, lane: str, since: float) -> bool:
    return taken.lane in {lane, ""} and taken.at >= since
