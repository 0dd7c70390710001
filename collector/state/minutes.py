"""Minutes: what each series did in each minute, as numbers, and as rows on disk. Pure.

Everything is whole numbers (microseconds, millionths), so that sums are exact and come out the same
in whatever order and in however many pieces attempts arrive: late ones change old minutes and
nothing else. Completeness and quality are counted on the schedule's runs (attempt 1) alone: the
re-probes that follow a failure would make failing places look busier, and worse.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat

import msgspec
from msgspec import Struct

from agent.wire import Sample

MINUTES = 60
"""A row of the store is one series' hour."""
UNIT = 1e-6
"""One step of every measured number: a microsecond, a millionth."""
BUCKETS_PER_OCTAVE = 8
"""Durations are also counted by size: a bucket ends 9 % above where it begins."""
_MOST = 1 << 53

VALUES: Mapping[str, tuple[str, ...]] = {
    "crl": ("ssl_earliest_cert_expiry",),
    "hls": ("hls_live_edge_age_seconds", "hls_stalled_seconds"),
    "http": ("ssl_earliest_cert_expiry",),
    "icmp": ("icmp_loss_ratio", "icmp_duration_rtt_avg_seconds", "icmp_jitter_seconds"),
    "mail": ("ssl_earliest_cert_expiry",),
    "media": (
        "media_loss_ratio.forward",
        "media_loss_ratio.backward",
        "media_pdv_seconds.forward.p95",
        "media_pdv_seconds.backward.p95",
        "media_rtt_seconds.p95",
        "media_mos.g711_plc.g107-echo-free",
    ),
    "mtu": ("mtu_path_bytes",),
    "nic": ("nic_speed_bytes_per_second", "nic_full_duplex"),
    "ntp": ("ntp_offset_seconds",),
    "pc": ("pc_disk_free_ratio",),
    "throughput": ("throughput_bytes_per_second.down", "throughput_bytes_per_second.up"),
    "tls": ("ssl_earliest_cert_expiry",),
}
"""By kind: the keys of a sample's values that readiness judges. A kind that is not here is judged
by success and duration alone. Only what stands at a row's end may be added, never moved."""


class Key(Struct, frozen=True, order=True):
    """A series, and how it was measured: values of two kinds or versions never mix."""

    agent: str
    check: str
    target: str
    line: str
    kind: str
    version: int


class Range(Struct, frozen=True):
    """One value over some attempts, in UNITs."""

    count: int
    sum: int
    min: int
    max: int


class Minute(Struct, frozen=True, gc=False):
    """One series in one minute. Counts of attempts; durations in UNITs."""

    at: int
    """UTC minutes since 1970."""
    runs: int
    """Attempts of the schedule, whatever came of them."""
    successes: int
    errors: int
    """Of `runs`, those in which nothing could be measured."""
    again: int
    """Re-probes; the two that follow are of these."""
    again_successes: int
    again_errors: int
    untrusted: int
    """Arrived in this minute, of a time nobody vouches for."""
    quarantined: int
    """Arrived in this minute, ahead of the centre's clock."""
    duration_sum: int
    """Of the runs that measured something."""
    duration_max: int
    sizes: list[int]
    """A bucket of `bucket`, how many of these runs lie in it, the next bucket and so on."""
    values: tuple[int, ...]
    """Four for each of the kind's VALUES, as in Range."""

    @property
    def durations(self) -> dict[int, int]:
        """Return the count of each bucket."""
        return dict(zip(self.sizes[::2], self.sizes[1::2], strict=True))

    def value(self, place: int) -> Range:
        """Return one of the kind's VALUES; all are 0 where it was not measured."""
        count, total, least, most = self.values[4 * place : 4 * place + 4] or (0, 0, 0, 0)
        return Range(count, total, least, most)


class Track(Struct, frozen=True):
    """The minutes of one series in which anything was, ascending."""

    key: Key
    minutes: list[Minute]


Cell = list[int]
"""One minute in the making: the fields of Minute from `runs` to `duration_max`, then `values`."""
_FIXED = 10
_RUNS, _OK, _ERRORS, _AGAIN, _AGAIN_OK, _AGAIN_ERRORS, UNTRUSTED, QUARANTINED, _SUM, _MAX = range(
    _FIXED
)


class Open(Struct):
    """One minute in the making."""

    cell: Cell
    durations: dict[int, int]


def new_minute(kind: str) -> Open:
    """Return a minute in which nothing was yet."""
    return Open([0] * (_FIXED + 4 * len(VALUES.get(kind, ()))), {})


def count(one: Open, sample: Sample) -> None:
    """Add an attempt to its minute."""
    cell = one.cell
    if sample.attempt > 1:
        cell[_AGAIN] += 1
        if sample.error:
            cell[_AGAIN_ERRORS] += 1
        elif sample.failure is None:
            cell[_AGAIN_OK] += 1
        return
    cell[_RUNS] += 1
    if sample.error:
        cell[_ERRORS] += 1
        return
    if sample.failure is None:
        cell[_OK] += 1
    taken = units(sample.duration)
    cell[_SUM] += taken
    cell[_MAX] = max(cell[_MAX], taken)
    size = bucket(taken)
    one.durations[size] = one.durations.get(size, 0) + 1
    at = _FIXED
    for name in VALUES.get(sample.kind, ()):
        measured = sample.values.get(name)
        if measured is not None:
            size = units(measured)
            _widen(cell, at, (1, size, size, size))
        at += 4


def units(number: float) -> int:
    """Return a measured number in UNITs; what no store could hold is cut."""
    return max(-_MOST, min(_MOST, round(number / UNIT)))


def bucket(duration: int) -> int:
    """Return the bucket of a duration in UNITs: 0 holds up to 1, each ends 2^(1/8) above the last."""
    return math.ceil(math.log2(duration) * BUCKETS_PER_OCTAVE) if duration > 1 else 0


def bucket_end(number: int) -> float:
    """Return the longest duration of a bucket, in seconds."""
    return float(2.0 ** (number / BUCKETS_PER_OCTAVE)) * UNIT


def at_quantile(durations: Mapping[int, int], share: float) -> float | None:
    """Return seconds that this share of the durations did not exceed, 9 % too many at most."""
    left = share * sum(durations.values())
    for number in sorted(durations):
        left -= durations[number]
        if left <= 1e-9:
            return bucket_end(number)
    return None


def merge(into: Open, more: Open) -> None:
    """Add what was counted of the same minute elsewhere."""
    cell = into.cell
    if len(cell) < len(more.cell):  # the kind is judged by one value more since
        cell.extend([0] * (len(more.cell) - len(cell)))
    for place in range(_MAX):
        cell[place] += more.cell[place]
    cell[_MAX] = max(cell[_MAX], more.cell[_MAX])
    for at in range(_FIXED, len(more.cell), 4):
        if more.cell[at]:
            _widen(cell, at, more.cell[at : at + 4])
    for size, number in more.durations.items():
        into.durations[size] = into.durations.get(size, 0) + number


def _widen(cell: Cell, at: int, more: Sequence[int]) -> None:
    number, total, least, most = more
    if cell[at]:
        cell[at + 2] = min(cell[at + 2], least)
        cell[at + 3] = max(cell[at + 3], most)
    else:
        cell[at + 2], cell[at + 3] = least, most
    cell[at] += number
    cell[at + 1] += total


# On disk: columns, since a column of equal numbers is next to nothing when compressed.


def pack_hour(minutes: Mapping[int, Open]) -> bytes:
    """Return the minutes of one hour as they are stored."""
    places = sorted(minutes)
    width = max(len(one.cell) for one in minutes.values())
    cells = [minutes[at].cell for at in places]
    if any(len(cell) < width for cell in cells):
        cells = [cell + [0] * (width - len(cell)) for cell in cells]
    columns: list[Sequence[object]] = [
        [at % MINUTES for at in places],
        [[*size_and_count(minutes[at].durations)] for at in places],
        *zip(*cells, strict=True),
    ]
    return zlib.compress(msgspec.msgpack.encode(columns), 1)


def size_and_count(durations: Mapping[int, int]) -> Iterator[int]:
    """Yield each bucket and its count, flat."""
    for size in sorted(durations):
        yield size
        yield durations[size]


def unpack_hour(hour: int, body: bytes) -> dict[int, Open]:
    """Return the minutes of an hour, to be merged into; ValueError or zlib.error when damaged."""
    places, durations, *columns = _columns.decode(zlib.decompress(body))
    cells = map(list, zip(*columns, strict=True))
    return {
        hour * MINUTES + place: Open(cell, dict(zip(flat[::2], flat[1::2], strict=True)))
        for place, flat, cell in zip(places, durations, cells, strict=True)
    }


def read_hour(hour: int, body: bytes) -> Iterable[Minute]:
    """Return the minutes of an hour, to be read; ValueError or zlib.error when damaged."""
    places, durations, *columns = _columns.decode(zlib.decompress(body))
    fixed, values = columns[:_FIXED], columns[_FIXED:]
    first = hour * MINUTES
    return map(
        Minute,
        [first + place for place in places],
        *fixed,
        durations,
        zip(*values, strict=True) if values else repeat(()),
    )


_columns = msgspec.msgpack.Decoder(list[list])  # type: ignore[type-arg] # lists of two shapes
