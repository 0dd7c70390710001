"""Gaps: when nothing of an agent is stored, and why. Pure.

Read off the stretches of its batches: between two that do not follow each other there is a pause, a
hole in the numbers, or another boot of the program or of the PC; the accounts say what became of
the numbers in a hole. What nothing speaks of is unknown, and called so.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from agent.wire import Ranges, Tally
from collector.state.accounts import Boot, fates
from collector.state.stretch import APART_SECONDS, Stretch

Cause = Literal[
    "never",
    "pc_off",
    "stopped",
    "asleep",
    "stalled",
    "busy",
    "silent",
    "pending",
    "dropped",
    "set_aside",
    "damaged",
    "memory",
    "untrusted",
    "clock_set",
    "reconfigured",
    "removed",
    "unknown",
]
"""never: the agent had not reported yet · pc_off: the PC was off · stopped: the program did not run
on a PC that did · asleep: the PC was suspended · stalled, busy: runs were due and could not begin ·
silent: not heard since, so nobody can know yet · pending: waits on the agent's disk ·
dropped … memory: as in accounts · untrusted: stored, but of no time that can be counted ·
clock_set: no time at all, or one that stands elsewhere: the centre's clock was set ·
reconfigured: at the edge of two configurations · removed: older than the centre keeps."""
CAUSES: tuple[Cause, ...] = Cause.__args__  # type: ignore[attr-defined] # what Literal holds
_FATES: dict[str, Cause] = {
    "pending": "pending",
    "dropped": "dropped",
    "set_aside": "set_aside",
    "damaged": "damaged",
    "memory": "memory",
    "unaccounted": "unknown",
    "untrusted": "untrusted",
    "clock_set": "clock_set",
}
_LEAST_SECONDS = 1.0
HEARD_SECONDS = 120.0
"""An agent that was heard this lately is not silent."""


class Gap(Struct, frozen=True, kw_only=True):
    """A time of which nothing of an agent is stored. UTC seconds."""

    begin: float
    end: float
    cause: Cause
    batches: int = 0
    """Those that were made in it and are not stored."""
    announced: bool = False
    """The agent said goodbye: what followed was meant."""

    @property
    def seconds(self) -> float:
        """Return how long it is."""
        return self.end - self.begin


class Life(Struct, kw_only=True):
    """What is known of an agent."""

    stretches: Sequence[Stretch]
    """In the window, and the nearest on both sides of it."""
    boots: Mapping[str, Boot]
    goodbyes: frozenset[str]
    """Boots that said it."""
    heard_at: float | None
    """When the agent was last heard, with or without batches."""
    known_since: float | None = None
    """When it was first heard at all."""
    kept_since: float = 0.0
    """What is older was removed at the centre."""


def find_gaps(life: Life, begin: float, end: float) -> list[Gap]:
    """Return the gaps of a window, in their order."""
    gaps: list[Gap] = []
    numbers = {name: fates(boot) for name, boot in life.boots.items()}
    for one in life.stretches:
        # Stored, and yet missing between two stretches: of no time, or of another one.
        word = "clock_set" if one.trusted else "untrusted"
        numbers.setdefault(one.boot, {}).setdefault(word, Ranges()).add(one.first, one.last)
    known = sorted(
        (one for one in life.stretches if one.trusted), key=lambda one: (one.begin, one.first)
    )
    if not known:
        return list(_cut([_before_all(life, begin, end)], begin, end))
    first = known[0]
    if first.begin > begin:
        gaps += _lead(first, life, numbers, begin)
    newest = first
    for one in known[1:]:
        gaps += _between(newest, one, life, numbers)
        if one.end >= newest.end:
            newest = one
    gaps += _tail(newest, life, numbers, end)
    return sorted(_cut(gaps, begin, end), key=lambda gap: gap.begin)


def _between(
    before: Stretch, one: Stretch, life: Life, numbers: Mapping[str, Mapping[str, Ranges]]
) -> Iterable[Gap]:
    if one.boot == before.boot:
        if _clock_was_set(before, one):
            yield Gap(begin=before.end, end=one.begin, cause="clock_set")
        elif one.first > before.last + 1:
            span = (before.last + 1, one.first - 1)
            yield from _hole(numbers.get(one.boot, {}), span, before.end, one.begin)
        elif one.begin - before.end > APART_SECONDS:
            cause = _pause(before.after, one.before, one.begin - before.end)
            yield Gap(begin=before.end, end=one.begin, cause=cause)
        return
    if one.begin <= before.end:
        return  # two boots at once: a copied PC, which is told elsewhere
    left, right = before.end, one.begin
    ended, began = numbers.get(before.boot, {}), numbers.get(one.boot, {})
    sealed = life.boots[before.boot].sealed if before.boot in life.boots else before.last
    if sealed > before.last:
        reach = min(right, left + (sealed - before.last) * _pace(before))
        yield from _hole(ended, (before.last + 1, sealed), left, reach)
        left = reach
    if one.first > 1:
        reach = max(left, right - (one.first - 1) * _pace(one))
        yield from _hole(began, (1, one.first - 1), reach, right)
        right = reach
    yield from _away(before, one, left, right, announced=before.boot in life.goodbyes)


def _away(
    before: Stretch, one: Stretch, left: float, right: float, *, announced: bool
) -> Iterable[Gap]:
    """Yield the time between the end of one boot and the beginning of the next."""
    if right <= left:
        return
    if one.machine_boot == before.machine_boot:
        slept = _more(before.after, one.before, "slept")
        cause: Cause = "asleep" if slept > (right - left) / 2 else "stopped"
        if _clock_was_set(before, one):
            cause = "clock_set"
        yield Gap(begin=left, end=right, cause=cause, announced=announced)
        return
    on_at = max(left, one.begin - one.up)
    if right - on_at <= APART_SECONDS:
        on_at = right  # a PC takes its time to start
    yield Gap(begin=left, end=on_at, cause="pc_off", announced=announced)
    if on_at < right:
        yield Gap(begin=on_at, end=right, cause="stopped")


def _clock_was_set(before: Stretch, one: Stretch) -> bool:
    """Whether the centre's clock went on between two stretches and the PC's, which runs, did not."""
    if one.machine_boot != before.machine_boot:
        return False
    went_on = one.up - (before.up + before.end - before.begin)
    return one.begin - before.end - went_on > APART_SECONDS


def _pause(before: Tally | None, after: Tally | None, seconds: float) -> Cause:
    """Say why one run of the program made no batch for a while."""
    if _more(before, after, "slept") > seconds / 2:
        return "asleep"
    if _more(before, after, "stalled"):
        return "stalled"
    if _more(before, after, "busy"):
        return "busy"
    if _more(before, after, "lost"):
        return "memory"
    return "unknown"


def _more(before: Tally | None, after: Tally | None, word: str) -> float:
    if before is None or after is None:
        return 0.0
    return float(getattr(after, word) - getattr(before, word))


def _hole(
    fate: Mapping[str, Ranges], span: tuple[int, int], begin: float, end: float
) -> Iterable[Gap]:
    """Share a time out among the numbers that are missing in it, by what became of them."""
    first, last = span
    wanted = Ranges([span])
    pieces = [
        (a, b, cause)
        for word, cause in _FATES.items()
        for a, b in wanted.without(wanted.without(fate.get(word, Ranges())))
    ]
    if not fate:
        pieces = [(first, last, "unknown")]
    each = (end - begin) / (last - first + 1)
    for a, b, cause in sorted(pieces):
        yield Gap(
            begin=begin + (a - first) * each,
            end=begin + (b - first + 1) * each,
            cause=cause,
            batches=b - a + 1,
        )


def _lead(
    first: Stretch, life: Life, numbers: Mapping[str, Mapping[str, Ranges]], begin: float
) -> Iterable[Gap]:
    """Yield what lies before the first batch that is known."""
    right = first.begin
    least = _LEAST_SECONDS
    if first.first > 1:
        least = APART_SECONDS  # how long so many batches take is reckoned, not known
        reach = max(begin, right - (first.first - 1) * _pace(first))
        if reach < right:
            yield from _hole(numbers.get(first.boot, {}), (1, first.first - 1), reach, right)
        right = reach
    if right - begin > least:
        yield _before_all(life, begin, right)


def _before_all(life: Life, begin: float, end: float) -> Gap:
    """Return a time before anything that is stored."""
    if begin < life.kept_since:
        return Gap(begin=begin, end=end, cause="removed")
    pending = _unseen(life)
    if pending:
        return Gap(begin=begin, end=end, cause="pending", batches=pending)
    return Gap(begin=begin, end=end, cause="never")


def _tail(
    newest: Stretch, life: Life, numbers: Mapping[str, Mapping[str, Ranges]], end: float
) -> Iterable[Gap]:
    """Yield what lies behind the last batch that is known."""
    left = newest.end
    boot = life.boots.get(newest.boot)
    if boot is not None and boot.sealed > newest.last:
        reach = min(end, left + (boot.sealed - newest.last) * _pace(newest))
        if reach > left:
            span = (newest.last + 1, boot.sealed)
            yield from _hole(numbers[newest.boot], span, left, reach)
        left = max(left, reach)
    if end - left <= APART_SECONDS:
        return
    if newest.boot in life.goodbyes:
        yield Gap(begin=left, end=end, cause="stopped", announced=True)
    elif life.heard_at is not None and end - life.heard_at <= HEARD_SECONDS:
        others = _unseen(life)
        yield Gap(begin=left, end=end, cause="pending" if others else "unknown", batches=others)
    else:
        yield Gap(begin=left, end=end, cause="silent")


def _unseen(life: Life) -> int:
    """Return how many batches wait of boots of which nothing has come yet."""
    seen = {one.boot for one in life.stretches}
    return sum(boot.pending.total for boot in life.boots.values() if boot.boot not in seen)


def _pace(stretch: Stretch) -> float:
    """Return the seconds from one batch to the next."""
    batches = stretch.last - stretch.first
    return max(0.1, (stretch.end - stretch.begin) / batches) if batches else 1.0


def _cut(gaps: Iterable[Gap], begin: float, end: float) -> Iterable[Gap]:
    for gap in gaps:
        cut = replace(gap, begin=max(begin, gap.begin), end=min(end, gap.end))
        if cut.end > cut.begin:
            yield cut
