"""Rollup: minutes out of attempts, exact in any order."""

import random
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import PROBES
from agent.wire import EVIDENCE
from collector.state.minutes import (
    VALUES,
    Key,
    Minute,
    Range,
    at_quantile,
    bucket,
    bucket_end,
    merge,
    pack_hour,
    read_hour,
    units,
    unpack_hour,
)
from collector.state.rollup import Gathered, Line, Rollup
from tests.collector.ingest.pushes import AGENT, NOON
from tests.collector.state.rolling import attempt, entry

KEY = Key(AGENT, "cong", "192.0.2.1", "ftth", "icmp", 1)
MINUTE = int(NOON // 60)


def minutes(rollup: Rollup, key: Key = KEY) -> list[Minute]:
    """Return what was gathered of one series, as it is read back from disk."""
    line = rollup.gathered.series.get(key)
    gathered = line.minutes if line else {}
    return [
        one
        for hour in sorted({at // 60 for at in gathered})
        for one in read_hour(
            hour, pack_hour({at: open_ for at, open_ in gathered.items() if at // 60 == hour})
        )
    ]


def minutes_of(rollup: Rollup) -> dict:
    """Return the minutes in the making of the usual series."""
    line = rollup.gathered.series.get(KEY)
    return line.minutes if line else {}


def folded(*entries) -> Rollup:
    """Return a rollup of these entries."""
    rollup = Rollup()
    for one in entries:
        rollup.fold(one)
    return rollup


def test_a_minute_counts_its_runs_and_sums_what_they_measured():
    """Success, failure and our own error are apart; an error measured nothing, not even a time."""
    samples = [
        attempt(duration=0.010, values={"icmp_loss_ratio": 0.0, "icmp_jitter_seconds": 0.001}),
        attempt(duration=0.030, values={"icmp_loss_ratio": 0.5}, failure="loss"),
        attempt(duration=5.0, values={}, error="no such interface"),
    ]
    (one,) = minutes(folded(entry(1, samples, [NOON, NOON + 59.999, NOON + 30])))
    assert (one.at, one.runs, one.successes, one.errors) == (MINUTE, 3, 1, 1)
    assert (one.duration_sum, one.duration_max) == (40_000, 30_000)
    assert one.value(0) == Range(count=2, sum=500_000, min=0, max=500_000)
    assert one.value(1) == Range(0, 0, 0, 0)
    assert one.value(2) == Range(1, 1_000, 1_000, 1_000)
    assert sum(one.durations.values()) == 2


def test_reprobes_are_counted_beside_the_runs():
    """A failing place is asked more often: that makes it neither more complete nor worse."""
    samples = [
        attempt(),
        attempt(attempt=2, failure="timeout"),
        attempt(attempt=3),
        attempt(attempt=2, error="no route"),
    ]
    (one,) = minutes(folded(entry(1, samples, [NOON] * 4)))
    assert (one.runs, one.successes, one.errors) == (1, 1, 0)
    assert (one.again, one.again_successes, one.again_errors) == (3, 1, 1)
    assert one.duration_sum == 12_000
    assert one.value(0).count == 1


def test_evidence_belongs_to_no_minute():
    """What was seen after a failure is no attempt."""
    rollup = folded(entry(1, [attempt(kind=EVIDENCE)], [NOON]))
    assert rollup.gathered.series == {}


def test_what_has_no_time_is_counted_where_it_arrived():
    """Untrusted and quarantined samples change no minute of the past or of the future."""
    arrived = NOON + 600
    rollup = folded(
        entry(1, [attempt(), attempt()], [NOON, 0.0], trusted=False, received_at=arrived),
        entry(2, [attempt(), attempt()], [NOON, 9e9], quarantined=[1], received_at=arrived),
    )
    first, second = minutes(rollup)
    assert (first.at, first.runs, first.untrusted, first.quarantined) == (MINUTE, 1, 0, 0)
    assert (second.at, second.runs, second.untrusted, second.quarantined) == (MINUTE + 10, 0, 2, 1)


def test_late_attempts_change_their_own_minute():
    """A day's backlog is added where it was measured, whatever is there already."""
    rollup = folded(entry(1, [attempt()], [NOON]), entry(2, [attempt()], [NOON - 86_400]))
    assert [(one.at, one.runs) for one in minutes(rollup)] == [(MINUTE - 1_440, 1), (MINUTE, 1)]


def test_kinds_and_versions_of_a_probe_are_not_mixed():
    """A check that became another kind, or measures another thing since, begins a series anew."""
    rollup = folded(
        entry(1, [attempt(), attempt(version=2), attempt(kind="tcp", values={})], [NOON] * 3)
    )
    assert sorted((key.kind, key.version) for key in rollup.gathered.series) == [
        ("icmp", 1),
        ("icmp", 2),
        ("tcp", 1),
    ]


def test_every_value_named_here_is_one_that_its_probe_reports():
    """The table names keys of samples as the probes declare them, and no counter."""
    for kind, names in VALUES.items():
        known = {key for row in PROBES[kind].values if not row.counter for key in row.keys()}  # noqa: SIM118 - Value has a method of that name
        assert set(names) <= known, kind


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 2e-6, 0.000_061, 0.1, 2.999, 86_400.0])
def test_a_bucket_holds_its_durations(seconds):
    """A duration lies in the bucket that ends at it or 9 % above it at most."""
    end = bucket_end(bucket(units(seconds)))
    assert seconds <= end * (1 + 1e-12)
    assert end <= max(seconds * 2 ** (1 / 8), 1e-6) * (1 + 1e-12)


def test_a_quantile_is_never_better_than_the_truth():
    """The 95th percentile comes out at the end of its bucket."""
    took = [0.010] * 95 + [3.5] * 5
    durations: dict[int, int] = {}
    for seconds in took:
        durations[bucket(units(seconds))] = durations.get(bucket(units(seconds)), 0) + 1
    assert 0.010 <= at_quantile(durations, 0.95) <= 0.011
    assert 3.5 <= at_quantile(durations, 0.96) <= 3.9
    assert at_quantile({}, 0.95) is None


def test_what_no_store_could_hold_is_cut():
    """An agent gone mad may send any finite number."""
    huge = attempt(duration=86_400.0, values={"icmp_loss_ratio": 1e300})
    less = attempt(values={"icmp_loss_ratio": -1e300})
    (one,) = minutes(folded(entry(1, [huge, less], [NOON, NOON])))
    assert (one.value(0).max, one.value(0).min) == (1 << 53, -(1 << 53))


ATTEMPTS = st.builds(
    attempt,
    duration=st.integers(0, 5_000_000).map(lambda us: us / 1e6),
    values=st.dictionaries(
        st.sampled_from(VALUES["icmp"]), st.integers(-50, 10**7).map(lambda n: n / 1e7), max_size=3
    ),
    failure=st.sampled_from([None, "timeout"]),
    error=st.sampled_from(["", "", "no permission"]),
    attempt=st.integers(1, 3),
)
TIMED = st.lists(st.tuples(ATTEMPTS, st.integers(0, 7_200)), min_size=1, max_size=20)


@given(timed=TIMED, pieces=st.integers(1, 4), seed=st.integers(0, 99))
def test_order_and_pieces_change_nothing(timed, pieces, seed):
    """However attempts are shuffled, cut, packed and merged, the minutes are the same."""
    whole = minutes(
        folded(entry(1, [one for one, _ in timed], [NOON + second for _, second in timed]))
    )
    shuffled = random.Random(seed).sample(timed, len(timed))
    kept = {}
    for piece in range(pieces):
        part = shuffled[piece::pieces]
        rollup = folded(entry(1, [one for one, _ in part], [NOON + second for _, second in part]))
        for at, open_ in minutes_of(rollup).items():
            ((place, again),) = unpack_hour(at // 60, pack_hour({at: open_})).items()
            assert place == at
            if at in kept:
                merge(kept[at], again)
            else:
                kept[at] = again
    rollup = Rollup()
    rollup.gathered = Gathered({KEY: Line(kept, {})}, {})
    assert minutes(rollup) == whole
    assert sum(one.runs + one.again for one in whole) == len(timed)


def test_a_row_written_before_a_value_was_added_is_read():
    """A kind that is judged by one more value since reads old rows, and adds to them."""
    old = minutes_of(folded(entry(1, [attempt()], [NOON])))
    for open_ in old.values():
        del open_.cell[-4:]
    (read,) = read_hour(MINUTE // 60, pack_hour(old))
    assert (read.value(1).count, read.value(2)) == (1, Range(0, 0, 0, 0))
    kept = unpack_hour(MINUTE // 60, pack_hour(old))
    more = entry(2, [attempt(values={"icmp_jitter_seconds": 0.5})], [NOON])
    new = minutes_of(folded(more))
    merge(kept[MINUTE], new[MINUTE])
    kept[MINUTE + 1] = old[MINUTE]
    first, second = read_hour(MINUTE // 60, pack_hour(kept))
    assert (first.runs, first.value(2).max, second.runs) == (2, 500_000, 1)


def test_a_damaged_row_says_so():
    """What the disk made of a row is an error of two kinds, and never another minute."""
    with pytest.raises(zlib.error):
        list(read_hour(1, b"nothing"))
    with pytest.raises(msgspec.DecodeError):
        unpack_hour(1, zlib.compress(b"nothing"))
