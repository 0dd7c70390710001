"""How a call sounds is the E-model's word on what was measured, each thing counted once."""

import pytest

from agent.probes.emodel import CODECS, mos, rate_echo_free
from agent.probes.media_quality import quality
from agent.probes.media_stats import measure
from tests.agent.probes.trips import MS, counted, lose, session

G711 = CODECS["g711"]
PLC = CODECS["g711_plc"]


def test_a_quiet_line_costs_its_delay_alone():
    """Half the round trip, a packet, the least buffer and the mixing: 120 ms, not 190."""
    trips, totals = session(100, there=lambda _: 90 * MS, back=lambda _: 50 * MS)
    found = quality(measure(trips, 100, totals), G711)

    assert found is not None
    assert found.one_way_seconds == pytest.approx(0.070 + 0.020 + 0.020 + 0.010)
    assert found.r == rate_echo_free(G711, one_way_ms=found.one_way_seconds * 1e3, loss_percent=0)
    assert (mos(found.r), False, True) == (found.mos, found.extrapolated, found.half_rtt)


def test_synchronised_clocks_tell_the_worse_direction():
    """The end that hears after 90 ms hears worse than the one after 50, and needs no half."""
    trips, totals = session(100, there=lambda _: 90 * MS, back=lambda _: 50 * MS, offset=0)
    found = quality(measure(trips, 100, totals, synchronised=True), G711)

    assert found is not None
    assert found.one_way_seconds == pytest.approx(0.140)
    assert not found.half_rtt


def test_variation_is_waited_for_or_lost_but_not_both():
    """A buffer of the 99th percentile is delay, what comes later still is loss; no jitter twice."""
    slow = {seq: (110 if seq % 100 else 310) * MS for seq in range(0, 1_000, 10)}
    trips, totals = session(1_000, gap=500 * MS, back=lambda seq: slow.get(seq, 10 * MS))
    found = quality(measure(trips, 1_000, totals), PLC)

    assert found is not None
    assert found.one_way_seconds == pytest.approx(0.010 + 0.020 + 0.100 + 0.010)
    assert found.r == pytest.approx(rate_echo_free(PLC, one_way_ms=140, loss_percent=1.0))


def test_the_direction_that_loses_more_is_rated_with_its_bursts():
    """Loss of the two directions is not added up, and the runs are those of the worse."""
    gone = [*range(10, 14), *range(50, 54)]
    trips, totals = session(400, there=lose([200]), back=lose(gone))
    found = quality(measure(trips, 400, totals), PLC)

    assert found is not None
    percent = 100 * 8 / 399
    bursts = 4 * (1 - 8 / 399)
    expected = rate_echo_free(PLC, one_way_ms=60, loss_percent=percent, burst_ratio=bursts)
    assert found.r == pytest.approx(expected)
    assert found.extrapolated


def test_a_range_of_loss_counts_as_its_worst():
    """Without the reflector's totals a lost tail may all be of one direction, and is taken so."""
    trips, _ = session(100, back=lose(range(90, 100)))
    found = quality(measure(trips, 100, None), PLC)

    assert found is not None
    bursts = 10 * 0.9
    expected = rate_echo_free(PLC, one_way_ms=60, loss_percent=10, burst_ratio=bursts)
    assert found.r == pytest.approx(expected)


def test_concealment_helps():
    """The reference codec with concealment bears the same loss better."""
    trips, totals = session(100, back=lose([5, 50]))
    figures = measure(trips, 100, totals)

    assert quality(figures, PLC) > quality(figures, G711)


def test_without_a_reply_nothing_is_rated():
    """No delay, no rating; R is absent and not 0."""
    assert quality(measure([], 100, counted(100)), G711) is None
