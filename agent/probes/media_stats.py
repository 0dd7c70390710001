"""From the replies of a media session to its figures. Values in, values out; no clock, no socket."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import copysign

from agent.probes.media_loss import Late, Loss, losses, reordering
from agent.wire.stamp_packet import Totals

LATE_SECONDS = 0.060
"""Jitter buffer of an ordinary conference client: what comes later is not heard."""
MIN_SKEW_SECONDS = 10.0
"""In a shorter session, clocks part by less than is worth taking out: 50 ppm are 0.5 ms."""

MAX_SKEW = 500e-6
"""Of a clock that nobody sets: what adjtimex(2) allows a kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """One packet there and back, as its reply told. Times in nanoseconds of each end's clock."""

    seq: int
    reflector_seq: int
    t1: int
    """Sent."""
    t2: int
    """Received by the reflector."""
    t3: int
    """Sent by the reflector."""
    t4: int
    """Received."""
    forward_dscp: int | None = None
    """As it reached the reflector; None where nobody said."""
    backward_dscp: int | None = None
    """As the reply arrived."""
    forward_ttl: int | None = None
    """As it reached the reflector."""


class Delays:
    """Delays in nanoseconds, read in seconds. Quantiles are values that occurred (nearest rank)."""

    def __init__(self, nanoseconds: Iterable[float]) -> None:
        self._sorted = sorted(nanoseconds)

    def quantile(self, percent: int) -> float:
        """Return the least value that so many percent do not exceed; 0: least, 100: greatest."""
        rank = -(-percent * len(self._sorted) // 100)  # in integers: 55 / 100 * 100 is above 55
        return self._sorted[max(rank, 1) - 1] / 1e9

    def share_above(self, seconds: float) -> float:
        """Return the share of values above a limit."""
        within = bisect_right(self._sorted, seconds, key=lambda ns: ns / 1e9)
        return (len(self._sorted) - within) / len(self._sorted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction's figures; None where nothing came that could be measured."""

    loss: Loss | None
    """None where nothing was sent that way."""
    duplicates: int
    """Copies beyond the first; on the way there those that came back, if there are no totals."""
    late: list[Late] | None
    """Packets that were overtaken."""
    reordered_ratio: float | None
    jitter_seconds: float | None
    """RFC 3550, 6.4.1."""
    variation: Delays | None
    """What each packet took longer than the fastest (PDV, RFC 5481), clock skew taken out."""
    late_ratio: float | None
    """Share that came later than `LATE_SECONDS` allow."""
    delay: Delays | None
    """One way; None unless both clocks are synchronised."""
    dscp: int | None
    """That of most packets as they arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A session's figures; None where nothing came that could be measured."""

    received: int
    """Different sequence numbers that were answered."""
    loss: Loss | None
    """Round trip; None where nothing was sent."""
    forward: Direction
    backward: Direction
    rtt: Delays | None
    """Without the reflector's own time."""
    skew: float
    """By how much the reflector's clock ran faster, as taken out of the variation; 0: not at all."""
    clock_step_seconds: float
    """By how much a clock was set meanwhile, at least; what its own skew cannot explain."""
    ttl: int | None
    """That of most packets as they reached the reflector."""


def measure(
    trips: Sequence[Trip], sent: int, totals: Totals | None, *, synchronised: bool = False
) -> Figures:
    """Return the figures of a session that sent the numbers 0 to `sent` - 1.

    `trips` in order of arrival, duplicates included: all that came within the wait for stragglers.
    `totals`: the reflector's count at the end, where it was had. `synchronised`: both clocks are.
    """
    trips = [trip for trip in trips if trip.seq < sent]
    replies = _first(trips, lambda trip: trip.reflector_seq)
    arrived = _first(sorted(replies, key=lambda trip: trip.reflector_seq), lambda trip: trip.seq)
    lost = losses(((trip.seq, trip.reflector_seq) for trip in trips), sent, totals)
    there = [(trip.t1, trip.t2 - trip.t1) for trip in arrived]
    back = [(trip.t3, trip.t4 - trip.t3) for trip in replies]
    skew = clock_skew(there, back)
    rtts = [trip.t4 - trip.t1 - (trip.t3 - trip.t2) for trip in _first(replies, lambda t: t.seq)]
    rtts = [rtt for rtt in rtts if rtt >= 0]  # else the reflector's clock was set meanwhile
    copies = len(replies) - len(arrived)
    return Figures(
        received=len(arrived),
        loss=lost.roundtrip,
        forward=_direction(
            there,
            skew,
            [trip.seq for trip in arrived],
            loss=lost.forward,
            duplicates=max(copies, totals.duplicates) if totals else copies,
            dscp=_usual(trip.forward_dscp for trip in arrived),
            synchronised=synchronised,
        ),
        backward=_direction(
            back,
            -skew,
            [trip.reflector_seq for trip in replies],
            loss=lost.backward,
            duplicates=len(trips) - len(replies),
            dscp=_usual(trip.backward_dscp for trip in replies),
            synchronised=synchronised,
        ),
        rtt=Delays(rtts) if rtts else None,
        skew=skew,
        clock_step_seconds=_clock_step(replies),
        ttl=_usual(trip.forward_ttl for trip in arrived),
    )


def jitter(transits: Iterable[float]) -> float:
    """Return RFC 3550's interarrival jitter (6.4.1) of transit times, in their unit.

    These in order of arrival, without duplicates. What is constant in them cancels out.
    """
    found = 0.0
    for earlier, later in pairwise(transits):
        found += (abs(later - earlier) - found) / 16
    return found


def jitter_units(transits: Iterable[int]) -> int:
    """Return the jitter as RTP reports it (RFC 3550, A.8): integers, transit times of 32 bits."""
    found = 0
    for earlier, later in pairwise(transits):
        difference = (later - earlier) & 0xFFFFFFFF
        found += min(difference, (1 << 32) - difference) - ((found + 8) >> 4)
    return found >> 4


def clock_skew(there: Sequence[tuple[int, int]], back: Sequence[tuple[int, int]]) -> float:
    """Return by how much the reflector's clock runs faster; both directions as (when, transit).

    A clock that runs away lengthens one direction as it shortens the other. Only what the least
    delays of both attest is skew: a queue that fills is in one of them. 0.0 for short sessions.
    """
    if len(there) < 2 or there[-1][0] - there[0][0] < MIN_SKEW_SECONDS * 1e9:
        return 0.0
    forward, backward = _slope(there), -_slope(back)
    if forward * backward <= 0:
        return 0.0
    return copysign(min(abs(forward), abs(backward)), forward)


def _clock_step(replies: Sequence[Trip]) -> float:
    """Return by how many seconds the clocks' difference must have changed beyond all skew.

    No packet takes less than no time: each bounds the difference from above on its way there and
    from below on its way back, and one difference has to be within the bounds of all.
    """
    if not replies:
        return 0.0
    changed = max(trip.t3 - trip.t4 for trip in replies) - min(
        trip.t2 - trip.t1 for trip in replies
    )
    lasted = max(trip.t4 for trip in replies) - min(trip.t1 for trip in replies)
    return max(0.0, changed - MAX_SKEW * lasted) / 1e9


def _slope(points: Sequence[tuple[int, int]]) -> float:
    """Return the slope of the line below all points that is nearest to them.

    That is the edge of their lower convex hull under their mean.
    """
    hull: list[tuple[int, int]] = []
    for x, y in sorted(points):
        while len(hull) > 1:
            (x1, y1), (x2, y2) = hull[-2:]
            if (x2 - x1) * (y - y1) > (y2 - y1) * (x - x1):
                break
            hull.pop()
        hull.append((x, y))
    mean = sum(x for x, _ in points) / len(points)
    for (x1, y1), (x2, y2) in pairwise(hull):
        if x1 < x2 and mean <= x2:
            return (y2 - y1) / (x2 - x1)
    return 0.0


def _direction(
    transits: Sequence[tuple[int, int]],
    skew: float,
    numbers: Sequence[int],
    *,
    loss: Loss | None,
    duplicates: int,
    dscp: int | None,
    synchronised: bool,
) -> Direction:
    late = reordering(numbers) if numbers else None
    variation = _variation(transits, skew) if transits else None
    return Direction(
        loss=loss,
        duplicates=duplicates,
        late=late,
        reordered_ratio=None if late is None else len(late) / len(numbers),
        jitter_seconds=jitter(transit for _, transit in transits) / 1e9 if transits else None,
        variation=variation,
        late_ratio=variation.share_above(LATE_SECONDS) if variation else None,
        delay=Delays(transit for _, transit in transits) if synchronised and transits else None,
        dscp=dscp,
    )


def _variation(transits: Sequence[tuple[int, int]], skew: float) -> Delays:
    """Return by how much each transit time exceeds the least, both freed of skew."""
    start, first = transits[0]
    # What is constant goes first, in integers: clocks decades apart would not fit into a float.
    even = [y - first - skew * (x - start) for x, y in transits]
    least = min(even)
    return Delays(y - least for y in even)


def _first(trips: Iterable[Trip], key: Callable[[Trip], int]) -> list[Trip]:
    """Return the first of each key, in order."""
    found: dict[int, Trip] = {}
    for trip in trips:
        found.setdefault(key(trip), trip)
    return list(found.values())


def _usual(values: Iterable[int | None]) -> int | None:
    """Return what most say, of equals the greatest; None where none says anything."""
    counts = Counter(value for value in values if value is not None)
    return max(counts, key=lambda value: (counts[value], value), default=None)
