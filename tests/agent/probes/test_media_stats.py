"""Figures are those of their RFCs, and what was not measured is absent."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.media_loss import Late, Loss
from agent.probes.media_stats import Delays, Figures, Trip, jitter, jitter_units, measure
from tests.agent.probes.trips import MS, counted, lose, session

VECTORS = json.loads((Path(__file__).parent / "media_vectors.json").read_text("utf-8"))
JITTER = VECTORS["tolerances"]["jitter_ms"]
TAKES = st.sampled_from([5 * MS, 6 * MS, 9 * MS, 70 * MS, None])
FATES = st.lists(st.tuples(TAKES, TAKES), min_size=1, max_size=40)


def measured(sent: int, **ways: Any) -> Figures:
    """Return the figures of a session whose packets met this."""
    trips, totals = session(sent, **ways)
    return measure(trips, sent, totals)


def queue(seed: int, mean: float) -> Callable[[int], int]:
    """Return delays of a line that others use too: 10 ms and a queue by chance."""
    chance = random.Random(seed)
    return lambda _: 10 * MS + round(chance.expovariate(1 / mean))


def filling(seq: int) -> int:
    """Return the delay in a queue that grows by 10 us a packet."""
    return 10 * MS + seq * 10_000


@pytest.mark.parametrize("case", VECTORS["jitter"]["cases"], ids=lambda case: case["name"])
def test_jitter_and_variation_are_those_of_the_vectors(case):
    """RFC 3550's jitter after each packet, RFC 5481's variation and its quantiles; both ways."""
    sent = [round(ms * MS) for ms in case["send_ms"]]
    arrived = [round(ms * MS) for ms in case["arrive_ms_in_arrival_order"]]
    transits = [came - went for went, came in zip(sent, arrived, strict=True)]

    expected = case["rfc3550_jitter_ms_after_each"]
    assert expected == pytest.approx(
        [jitter(transits[: count + 1]) / MS for count in range(len(transits))], abs=JITTER
    )
    stamps = enumerate(zip(sent, arrived, strict=True))
    forward = [
        Trip(seq=seq, reflector_seq=seq, t1=went, t2=came, t3=came, t4=came)
        for seq, (went, came) in stamps
    ]
    backward = [replace(trip, t2=trip.t1, t3=trip.t1, t4=trip.t2) for trip in forward]
    for way in (
        measure(forward, len(sent), None).forward,
        measure(backward, len(sent), None).backward,
    ):
        assert way.variation is not None
        assert case["rfc3550_jitter_ms"] == pytest.approx(way.jitter_seconds * 1000, abs=JITTER)
        for percent, name in ((50, "p50"), (95, "p95"), (99, "p99"), (100, "max")):
            found = way.variation.quantile(percent) * 1000
            assert case[f"pdv_{name}_ms"] == pytest.approx(found, abs=JITTER)


@pytest.mark.parametrize("case", VECTORS["jitter"]["integer_cases"], ids=lambda case: case["name"])
def test_jitter_in_units_is_that_of_the_appendix(case):
    """RFC 3550 A.8: integers, and stamps that begin anew."""
    stamps = zip(case["arrival_ts_units"], case["rtp_ts"], strict=True)
    transits = [(came - went) & 0xFFFFFFFF for came, went in stamps]

    assert case["transit_u32"] == transits
    assert case["jitter_rtp_units_after_each"] == [
        jitter_units(transits[: count + 1]) for count in range(len(transits))
    ]


def test_jitter_in_units_bears_a_transit_around_zero():
    """A transit time that falls below 0 differs by 10, not by four billion."""
    assert jitter_units([4, 2**32 - 6] * 100) == jitter_units([24, 14] * 100) == 9


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 10), (55, 11), (95, 19), (99, 20), (100, 20)]
)
def test_a_quantile_is_a_value_that_occurred(percent, expected):
    """Nearest rank: the 55th of 100 hundredths is no accident of floats."""
    assert expected / 1e9 == Delays(range(20, 0, -1)).quantile(percent)


def test_the_share_above_a_limit_does_not_hold_the_limit():
    """Exactly 60 ms are in time; the limit a quantile gives excludes nothing at or below it."""
    delays = Delays([10 * MS, 60 * MS, 60 * MS + 1, 90 * MS])

    assert delays.share_above(0.060) == 0.5
    assert delays.share_above(delays.quantile(75)) == 0.25


def test_a_quiet_line_has_figures_of_nothing_but_delay():
    """Constant delay: exactly 0 loss, jitter and variation, whatever the reflector's clock says."""
    found = measured(1_000)

    assert found.received == 1_000
    assert found.loss == found.forward.loss == found.backward.loss == Loss(0.0, 0.0, ())
    for way in (found.forward, found.backward):
        assert way.variation is not None
        assert (0.0, 0.0) == (way.variation.quantile(0), way.variation.quantile(100))
        assert (0.0, 0.0, 0.0) == (way.jitter_seconds, way.late_ratio, way.reordered_ratio)
        assert ([], 0, None) == (way.late, way.duplicates, way.delay)
    assert found.rtt is not None
    assert [0.020] * 4 == [found.rtt.quantile(percent) for percent in (0, 50, 95, 100)]
    assert (46, 0, 61) == (found.forward.dscp, found.backward.dscp, found.ttl)
    assert found.skew == 0.0


def test_without_a_reply_all_is_lost_and_nothing_else_is_said():
    """Loss is 1; what would need a packet is absent, never 0."""
    found = measure([], 50, None)

    assert found.loss == Loss(1.0, 1.0, (50,))
    assert (0, None, None, 0.0) == (found.received, found.rtt, found.ttl, found.skew)
    for way in (found.forward, found.backward):
        assert way.loss == Loss(0.0, 1.0, None)
        assert (way.late, way.reordered_ratio, way.jitter_seconds) == (None, None, None)
        assert (way.variation, way.late_ratio, way.delay, way.dscp) == (None, None, None, None)


def test_each_direction_has_its_own_figures():
    """Loss, variation, lateness and reordering are told of the direction they happened in."""

    def slow(seq):
        return 10 * MS if seq % 10 else 80 * MS  # overtaken by three

    trips, totals = session(200, there=lose([7, 8], 5 * MS), back=slow)
    found = measure(trips, 200, totals)

    assert found.forward.loss == Loss(0.01, 0.01, (2,))
    assert found.backward.loss == Loss(0.0, 0.0, ())
    assert (0.0, 0.0) == (found.forward.reordered_ratio, found.forward.late_ratio)
    assert found.forward.jitter_seconds == 0.0
    assert found.backward.late_ratio == 20 / 198
    assert found.backward.late is not None
    assert len(found.backward.late) == 20
    assert found.backward.late[1] == Late(8, 12, 3, 3)  # its number by the reflector
    assert found.backward.variation is not None
    assert found.backward.variation.quantile(99) == pytest.approx(0.070)

    late = measured(200, there=slow).forward.late
    assert late is not None
    assert late[1] == Late(10, 14, 3, 3)


def test_duplicates_are_counted_where_they_were_made_and_nowhere_else():
    """The same reply twice: on the way back; two to one packet: there; only first copies count."""
    trips, totals = session(50)
    plain = measure(trips, 50, totals)
    twice = [*trips, replace(trips[4], t4=trips[4].t4 + 500 * MS, backward_dscp=8)]
    found = measure(twice, 50, totals)

    assert (0, 1) == (found.forward.duplicates, found.backward.duplicates)
    assert found.backward.variation is not None
    assert found.backward.variation.quantile(100) == 0.0
    assert (plain.loss, plain.backward.loss) == (found.loss, found.backward.loss)

    copy = replace(trips[-1], reflector_seq=50, t2=trips[-1].t2 + 300 * MS)
    copy = replace(copy, t3=copy.t2, t4=copy.t4 + 300 * MS)
    found = measure([*trips, copy], 50, counted(50, 1))
    assert (1, 0) == (found.forward.duplicates, found.backward.duplicates)
    assert found.forward.variation is not None
    assert found.forward.variation.quantile(100) == 0.0
    assert found.forward.loss == found.backward.loss == Loss(0.0, 0.0, ())
    assert measure([*trips, copy], 50, None).forward.duplicates == 1
    assert measure(trips, 50, counted(50, 3)).forward.duplicates == 3


def test_one_way_delays_are_told_of_synchronised_clocks_only():
    """Of clocks that agree T2-T1 is a delay; of others it is nothing."""
    trips, totals = session(10, there=lambda _: 4 * MS, back=lambda _: 6 * MS, offset=0)

    found = measure(trips, 10, totals, synchronised=True)

    assert found.forward.delay is not None
    assert found.backward.delay is not None
    assert (0.004, 0.006) == (found.forward.delay.quantile(50), found.backward.delay.quantile(50))
    found = measure(trips, 10, totals)
    assert (None, None) == (found.forward.delay, found.backward.delay)


def test_a_clock_set_between_two_stamps_gives_no_negative_round_trip():
    """A reply whose T3 is a second after its T2 within a trip of 20 ms tells no round trip."""
    trips, totals = session(3)
    trips[1] = replace(trips[1], t3=trips[1].t3 + 1_000 * MS)

    found = measure(trips, 3, totals)

    assert found.rtt is not None
    assert (0.020, 0.020) == (found.rtt.quantile(0), found.rtt.quantile(100))
    assert measure(trips[1:2], 3, totals).rtt is None


def test_replies_to_what_was_not_sent_are_none():
    """A sequence number beyond the last changes no figure."""
    trips, totals = session(5)

    assert measure(trips, 5, totals).loss == measure(session(6)[0], 5, totals).loss


def test_what_most_packets_say_is_told():
    """A single packet marked otherwise is not the path; of silent reflectors nothing is said."""
    trips, totals = session(5)
    trips[0] = replace(trips[0], forward_dscp=0, forward_ttl=60)
    found = measure(trips, 5, totals)

    assert (46, 61) == (found.forward.dscp, found.ttl)
    silent = [replace(trip, forward_dscp=None, forward_ttl=None) for trip in trips]
    found = measure(silent, 5, totals)
    assert (None, None) == (found.forward.dscp, found.ttl)


@pytest.mark.parametrize("skew", [50e-6, -50e-6, 200e-6])
def test_a_clock_that_runs_away_is_no_variation(skew):
    """30 s on a constant line: 50 ppm would be 1.5 ms of variation and are none."""
    found = measured(1_500, skew=skew)

    assert found.skew == pytest.approx(skew, rel=1e-3)
    for way in (found.forward, found.backward):
        assert way.variation is not None
        assert way.variation.quantile(100) < 2e-6


@pytest.mark.parametrize("skew", [50e-6, -50e-6])
def test_skew_is_found_under_queues(skew):
    """With 5 ms of queue on average, variation comes out as without skew, within 0.2 ms."""
    steady, skewed = (
        measured(1_500, there=queue(1, 5 * MS), back=queue(2, 5 * MS), skew=one)
        for one in (0.0, skew)
    )

    for expected, found in (
        (steady.forward.variation, skewed.forward.variation),
        (steady.backward.variation, skewed.backward.variation),
    ):
        assert expected is not None
        assert found is not None
        for percent in (50, 95, 99):
            assert expected.quantile(percent) == pytest.approx(found.quantile(percent), abs=0.2e-3)


def test_a_queue_that_fills_is_not_taken_for_a_clock():
    """A delay that grows in one direction, or in both, is variation, all of it."""
    found = measured(1_500, there=filling)

    assert found.skew == 0.0
    assert found.forward.variation is not None
    assert found.forward.variation.quantile(100) == pytest.approx(0.01499)
    assert measured(1_500, there=filling, back=filling).skew == 0.0
    both = measured(1_500, there=filling, skew=50e-6)
    assert both.skew == pytest.approx(50e-6, rel=1e-3)
    assert both.forward.variation is not None
    assert both.forward.variation.quantile(100) == pytest.approx(0.01499, abs=1e-6)


def test_a_reflector_that_believes_in_1970_is_measured_as_exactly():
    """Stamps half a century apart cost no precision: a microsecond's variation is one."""
    found = measured(
        1_500, there=lambda seq: 10 * MS + seq % 2 * 1_000, offset=-1_795_437_000_123_456_789
    )

    assert found.forward.variation is not None
    assert (0.0, 1e-6) == tuple(found.forward.variation.quantile(p) for p in (0, 100))


def test_skew_is_left_in_short_sessions():
    """In under 10 s there is too little of it to be worth a guess."""
    assert measured(490, skew=50e-6).skew == 0.0


@given(FATES, st.randoms())
def test_the_order_of_arrival_matters_to_the_way_back_alone(fates, rng):
    """Shuffled arrivals: the way there, loss, round trip and variation stay what they were."""
    trips, totals = session(
        len(fates), there=lambda seq: fates[seq][0], back=lambda seq: fates[seq][1]
    )
    shuffled = rng.sample(trips, len(trips))
    one, two = measure(trips, len(fates), totals), measure(shuffled, len(fates), totals)

    assert (one.loss, one.forward.loss, one.backward.loss) == (
        two.loss,
        two.forward.loss,
        two.backward.loss,
    )
    assert (one.forward.late, one.forward.jitter_seconds) == (
        two.forward.late,
        two.forward.jitter_seconds,
    )
    for mine, other in (
        (one.rtt, two.rtt),
        (one.forward.variation, two.forward.variation),
        (one.backward.variation, two.backward.variation),
    ):
        assert (mine is None) == (other is None)
        if mine and other:
            assert [mine.quantile(p) for p in range(101)] == [other.quantile(p) for p in range(101)]


@given(FATES, st.integers(-(10**15), 10**15))
def test_the_offset_of_a_clock_matters_to_nothing(fates, offset):
    """Whatever the reflector's clock says, as long as it goes on: every figure is the same."""
    trips, totals = session(
        len(fates), there=lambda seq: fates[seq][0], back=lambda seq: fates[seq][1]
    )
    moved = [replace(trip, t2=trip.t2 + offset, t3=trip.t3 + offset) for trip in trips]
    one, two = measure(trips, len(fates), totals), measure(moved, len(fates), totals)

    assert one.forward.jitter_seconds == two.forward.jitter_seconds
    assert one.backward.jitter_seconds == two.backward.jitter_seconds
    assert one.forward.late_ratio == two.forward.late_ratio
    assert (one.rtt and one.rtt.quantile(100)) == (two.rtt and two.rtt.quantile(100))


def test_a_long_session_is_measured_in_no_time():
    """25,000 replies with loss, queues and skew take far less than a second of a CPU."""
    chance = random.Random(7)

    def way(_):
        return 10 * MS + chance.randrange(5 * MS) if chance.random() > 0.01 else None

    trips, totals = session(25_000, gap=1_200_000, there=way, back=way, skew=30e-6)
    start = time.process_time()
    found = measure(trips, 25_000, totals)

    assert time.process_time() - start < 0.8
    assert found.skew == pytest.approx(30e-6, rel=0.1)


@pytest.mark.parametrize("step", [-300, 300])
def test_a_clock_that_was_set_is_found(step):
    """The other clock jumps at half time: at least so much as exceeds the round trip is certain."""
    trips, totals = session(1_000)
    trips = [
        replace(trip, t2=trip.t2 + step * MS, t3=trip.t3 + step * MS) if trip.seq >= 500 else trip
        for trip in trips
    ]

    assert measure(trips, 1_000, totals).clock_step_seconds == pytest.approx(0.27, abs=0.001)


@given(FATES, st.integers(-500, 500))
def test_no_path_looks_like_a_clock_that_was_set(fates, ppm):
    """Whatever is delayed or lost, and however a clock runs that nobody sets."""
    found = measured(
        len(fates),
        gap=500 * MS,
        there=lambda seq: fates[seq][0],
        back=lambda seq: fates[seq][1],
        skew=ppm * 1e-6,
    )

    assert found.clock_step_seconds == 0
