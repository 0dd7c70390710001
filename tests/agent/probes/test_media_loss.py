"""Loss is told apart by direction as far as the numbers tell, and never beyond."""

import json
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.media_loss import Late, Loss, losses, reordering, zero_loss_upper_bound
from agent.wire.stamp_packet import Totals

VECTORS = json.loads((Path(__file__).parent / "media_vectors.json").read_text("utf-8"))
LOST_THERE, LOST_BACK, CAME = "there", "back", "came"


def total(unique: int, duplicates: int = 0, *, reflected: int | None = None) -> Totals:
    """Return the count of a reflector that answered everything, or as many as said."""
    answered = unique + duplicates if reflected is None else reflected
    return Totals(unique=unique, duplicates=duplicates, reflected=answered, drops=0)


def session(fates: list[str]) -> tuple[list[tuple[int, int]], Totals]:
    """Return the replies of a session whose packets met these fates, and the true totals."""
    arrived = [seq for seq, fate in enumerate(fates) if fate != LOST_THERE]
    pairs = [(seq, at) for at, seq in enumerate(arrived) if fates[seq] == CAME]
    return pairs, total(len(arrived))


def runs(lost: list[bool]) -> tuple[int, ...]:
    """Return how many were lost in a row, each time."""
    return tuple(len(list(group)) for gone, group in groupby(lost) if gone)


@pytest.mark.parametrize("case", VECTORS["loss"]["one_stream"], ids=lambda case: case["name"])
def test_one_stream_is_counted_as_the_vectors(case):
    """Loss, its runs, duplicates and reordering of one direction; the tail counts as lost."""
    start = case["sent"][0]
    arrivals = [seq - start for seq in case["arrivals"]]
    unique = list(dict.fromkeys(arrivals))
    found = losses([(seq, at) for at, seq in enumerate(unique)], len(case["sent"]), None)

    assert found.roundtrip is not None
    assert case["loss_ratio"] == pytest.approx(found.roundtrip.ratio, abs=1e-6)
    assert tuple(case["loss_run_lengths"]) == found.roundtrip.runs
    assert case["BurstR"] == (
        found.roundtrip.burst_ratio
        if case["BurstR"] is None
        else pytest.approx(found.roundtrip.burst_ratio)
    )
    late = [
        Late(one["seq"] - start, one["position_1based"], one["extent"], one["n_reordering"])
        for one in case["reordered"]
    ]
    assert late == reordering(unique)
    assert case["reordered_ratio"] == pytest.approx(len(late) / len(unique), abs=1e-6)


@pytest.mark.parametrize(
    "case", VECTORS["loss"]["stateful_reflector"], ids=lambda case: case["name"]
)
def test_a_counting_reflector_tells_the_directions_apart(case):
    """Its numbers and its total say which way each packet was lost."""
    sent, came = case["sent"], case["reflector_total_received"]
    pairs = [tuple(pair) for pair in case["replies_senderseq_reflectorseq"]]

    assert losses(pairs, sent, total(came)) == (
        Loss(case["round_trip_lost"] / sent, case["round_trip_lost"] / sent, (1, 1)),
        Loss(case["forward_lost"] / sent, case["forward_lost"] / sent, (1,)),
        Loss(case["backward_lost"] / came, case["backward_lost"] / came, (1,)),
    )


def test_without_totals_a_lost_tail_is_a_range():
    """What is missing behind the last reply may have been lost either way; no run is made up."""
    pairs = [(0, 0), (1, 1), (3, 2), (4, 3), (6, 5), (7, 6)]

    roundtrip, forward, backward = losses(pairs, 10, None)

    assert Loss(4 / 10, 4 / 10, (1, 1, 2)) == roundtrip
    assert Loss(1 / 10, 3 / 10, None) == forward
    assert Loss(1 / 7, 3 / 9, None) == backward
    assert forward is not None
    assert (None, None, None) == (forward.ratio, forward.longest_run, forward.burst_ratio)


def test_without_totals_an_answered_tail_is_exact():
    """If the last packet was answered nothing is left to guess."""
    pairs = [(0, 0), (1, 1), (3, 2), (4, 3), (6, 5), (7, 6), (8, 7), (9, 8)]

    assert losses(pairs, 10, total(9)) == losses(pairs, 10, None)


def test_nothing_came_back():
    """All is lost; where, the totals say, and without them it is anybody's guess."""
    all_lost = Loss(1.0, 1.0, (5,))

    assert (all_lost, all_lost, None) == losses([], 5, total(0))
    assert (all_lost, Loss(0.0, 0.0, ()), all_lost) == losses([], 5, total(5))
    assert (all_lost, Loss(0.4, 0.4, None), Loss(1.0, 1.0, (3,))) == losses([], 5, total(3))
    assert (all_lost, Loss(0.0, 1.0, None), Loss(0.0, 1.0, None)) == losses([], 5, None)


def test_nothing_was_sent():
    """No packet, no loss: absent, never 0."""
    assert (None, None, None) == losses([], 0, None)


def test_replies_prove_more_than_totals_taken_too_early():
    """A straggler that was counted after the totals were asked for is not lost less than never."""
    pairs = [(0, 0), (1, 1), (2, 2)]

    assert losses(pairs, 3, total(3)) == losses(pairs, 3, total(2))


def test_what_the_reflector_refused_to_answer_was_lost_in_neither_direction():
    """Its own bounds are not the line's: only the round trip misses those packets."""
    roundtrip, forward, backward = losses([(0, 0), (1, 1)], 4, total(4, reflected=2))

    assert Loss(0.5, 0.5, (2,)) == roundtrip
    assert Loss(0.0, 0.0, None) == forward
    assert Loss(0.0, 0.0, ()) == backward


def test_runs_that_could_lie_in_several_ways_are_not_told():
    """Of three missing packets one was lost on the way back: which one nobody knows."""
    roundtrip, forward, backward = losses([(0, 0), (4, 2)], 5, total(3))

    assert Loss(0.6, 0.6, (3,)) == roundtrip
    assert Loss(0.4, 0.4, None) == forward
    assert Loss(1 / 3, 1 / 3, (1,)) == backward


def test_overtaken_packets_are_not_lost():
    """Packet 1 came to the reflector after 3; packet 4 did not come at all."""
    _, forward, backward = losses([(0, 0), (2, 1), (3, 2), (1, 3), (5, 4)], 6, total(5))

    assert Loss(1 / 6, 1 / 6, (1,)) == forward
    assert Loss(0.0, 0.0, ()) == backward
    lost_before = losses([(0, 0), (3, 1), (1, 2), (4, 3)], 5, total(4))
    assert Loss(1 / 5, 1 / 5, (1,)) == lost_before.forward


def test_copies_made_on_the_way_there_are_not_the_ones_missing():
    """Packet 1 was doubled on the way there and 2 was lost: one is lost, not none."""
    _, forward, backward = losses([(0, 0), (1, 1), (1, 2), (3, 3)], 4, total(3, 1))

    assert Loss(1 / 4, 1 / 4, (1,)) == forward
    assert Loss(0.0, 0.0, ()) == backward
    assert losses([(0, 0), (1, 1), (1, 2), (3, 3)], 4, None)[1] == forward


def test_a_reflector_that_claims_a_huge_number_costs_no_memory():
    """A reply numbered four billion means a loss near 1, found in no time."""
    _, _, backward = losses([(0, 0), (1, 2**32 - 1)], 2, None)

    assert backward is not None
    assert backward.runs == (2**32 - 2,)


@given(st.lists(st.sampled_from([CAME, CAME, CAME, LOST_THERE, LOST_BACK])), st.randoms())
def test_the_directions_are_those_of_what_happened(fates, rng):
    """In any order of arrival: true counts, true runs where any are told, and both add up."""
    pairs, totals = session(fates)
    rng.shuffle(pairs)
    there, back = fates.count(LOST_THERE), fates.count(LOST_BACK)

    roundtrip, forward, backward = losses(pairs, len(fates), totals)

    if fates:
        gone = (there + back) / len(fates)
        assert Loss(gone, gone, runs([fate != CAME for fate in fates])) == roundtrip
        assert forward is not None
        assert there / len(fates) == forward.ratio
        assert forward.runs in {None, runs([fate == LOST_THERE for fate in fates])}
    if totals.unique:
        ratio = back / totals.unique
        reached = [fate for fate in fates if fate != LOST_THERE]
        assert Loss(ratio, ratio, runs([fate == LOST_BACK for fate in reached])) == backward
        assert 1 - roundtrip.ratio == pytest.approx((1 - forward.ratio) * (1 - ratio))


@given(st.lists(st.sampled_from([CAME, CAME, LOST_THERE, LOST_BACK]), min_size=1))
def test_a_range_holds_what_happened(fates):
    """Without totals the true loss of both directions is within what is told."""
    pairs, totals = session(fates)
    _, forward, backward = losses(pairs, len(fates), None)

    assert forward.least <= fates.count(LOST_THERE) / len(fates) <= forward.most
    if backward and totals.unique:
        assert backward.least <= fates.count(LOST_BACK) / totals.unique <= backward.most


@given(st.lists(st.sampled_from([CAME, CAME, LOST_THERE, LOST_BACK]), min_size=1), st.data())
def test_duplicates_never_change_loss(fates, data):
    """Replies that come twice, in whatever place, are no more and no fewer packets lost."""
    pairs, totals = session(fates)
    twice = data.draw(st.lists(st.sampled_from(pairs))) if pairs else []

    assert losses(pairs, len(fates), totals) == losses(pairs + twice, len(fates), totals)
    assert losses(pairs, len(fates), None) == losses(twice + pairs, len(fates), None)


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 40))),
    st.none() | st.builds(Totals, *[st.integers(0, 60)] * 4),
)
def test_whatever_a_reflector_claims_loss_is_a_ratio(pairs, totals):
    """Numbers that cannot be still give ratios of 0 to 1, least before most."""
    for loss in losses(pairs, 20, totals):
        if loss:
            assert 0 <= loss.least <= loss.most <= 1
            assert loss.burst_ratio is None or loss.burst_ratio >= 0


@given(st.permutations(range(12)))
def test_reordering_is_that_of_its_definitions(numbers):
    """RFC 4737 word by word: NextExp, the first that overtook, those right before that did."""
    expected = []
    for i, seq in enumerate(numbers):
        before = numbers[:i]
        if any(other > seq for other in before):
            first = next(j for j, other in enumerate(before) if other > seq)
            n = next((n for n, other in enumerate(reversed(before)) if other < seq), i)
            expected.append(Late(seq, i + 1, i - first, n))

    assert expected == reordering(numbers)


@pytest.mark.parametrize(
    "case", VECTORS["zero_loss_upper_bound_95"], ids=lambda case: str(case["packets"])
)
def test_no_loss_among_few_packets_says_little(case):
    """The exact form of the rule of three."""
    found = zero_loss_upper_bound(case["packets"])

    assert case["loss_upper_bound"] == pytest.approx(found, abs=1e-6)


def test_no_packet_says_nothing():
    """Any loss is possible where nothing was sent."""
    assert zero_loss_upper_bound(0) == 1.0
