"""Media sessions as replies tell them, made of what happened to each packet."""

from collections.abc import Callable, Iterable

from agent.probes.media_stats import Trip
from agent.wire.stamp_packet import Totals

MS = 1_000_000
OFFSET = 7_000_000 * MS
"""The reflector's clock is nobody's."""


def session(
    sent: int,
    *,
    gap: int = 20 * MS,
    there: Callable[[int], int | None] = lambda _: 10 * MS,
    back: Callable[[int], int | None] = lambda _: 10 * MS,
    skew: float = 0.0,
    offset: int = OFFSET,
) -> tuple[list[Trip], Totals]:
    """Return a session's replies in order of arrival, and the reflector's totals.

    `there` and `back` say what a packet took in nanoseconds, None where it was lost; `skew` by how
    much the reflector's clock runs faster, `offset` by how much it is ahead at the start.
    """
    takes = {seq: there(seq) for seq in range(sent)}
    arrived = sorted((seq * gap + took, seq) for seq, took in takes.items() if took is not None)
    trips = []
    for reflector_seq, (at, seq) in enumerate(arrived):
        took = back(seq)
        if took is None:
            continue
        stamp = at + offset + round(at * skew)
        trips.append(
            Trip(
                seq=seq,
                reflector_seq=reflector_seq,
                t1=seq * gap,
                t2=stamp,
                t3=stamp + 30_000,
                t4=at + 30_000 + took,
                forward_dscp=46,
                backward_dscp=0,
                forward_ttl=61,
            )
        )
    trips.sort(key=lambda trip: trip.t4)
    return trips, counted(len(arrived))


def counted(unique: int, duplicates: int = 0) -> Totals:
    """Return the totals of a reflector that answered everything."""
    answered = unique + duplicates
    return Totals(unique=unique, duplicates=duplicates, reflected=answered, drops=0)


def lose(numbers: Iterable[int], took: int = 10 * MS) -> Callable[[int], int | None]:
    """Return a way that loses these packets."""
    lost = set(numbers)
    return lambda seq: None if seq in lost else took
