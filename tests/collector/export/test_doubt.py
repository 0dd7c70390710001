import math
from itertools import pairwise

import pytest

from collector.export.doubt import CALM_SECONDS, LONGEST_SECONDS, SAFE_SECONDS, Doubts, Starts
from collector.export.parts import Answer

TAKEN, AWAY = Answer(204), Answer(0)
LANES = ("live", "backlog")


@pytest.fixture
def doubts():
    """Return those of a receiver that took something at second 100."""
    made = Doubts(LANES)
    made.heard(TAKEN, 100.0, cut=False)
    return made


def due(doubts: Doubts, now: float) -> list[float | None]:
    """Return what each lane is told."""
    return [doubts.due(lane, now) for lane in LANES]


def test_without_a_sign_nothing_is_in_doubt(doubts):
    """Answers over one connection; what is old enough is safe."""
    doubts.heard(TAKEN, 200.0, cut=False)
    assert due(doubts, 200.0) == [None, None]
    assert doubts.safe_before() == 200.0 - SAFE_SECONDS


@pytest.mark.parametrize("answer", [AWAY, Answer(502), Answer(503), Answer(504, "", 5.0)])
def test_trouble_that_ends_doubts_the_minute_before_it_began(doubts, answer):
    """However long it lasted, once for each lane, and not before the receiver is back."""
    doubts.heard(answer, 101.0, cut=False)
    doubts.heard(answer, 4_000.0, cut=False)
    assert due(doubts, 4_000.0) == [None, None]
    doubts.heard(TAKEN, 5_000.0, cut=False)
    assert doubts.safe_before() == 100.0 - SAFE_SECONDS
    assert due(doubts, 5_000.0) == [100.0 - SAFE_SECONDS] * 2
    assert due(doubts, 6_000.0) == [None, None]
    assert doubts.safe_before() == 5_000.0 - SAFE_SECONDS


@pytest.mark.parametrize("answer", [Answer(500), Answer(400), Answer(429), Answer(404)])
def test_who_answers_is_alive(doubts, answer):
    """A refusal is no restart; nor is a 500, which Prometheus says for ever to one old sample."""
    doubts.heard(answer, 101.0, cut=False)
    doubts.heard(TAKEN, 102.0, cut=False)
    assert due(doubts, 102.0) == [None, None]


def test_a_connection_that_was_cut_is_a_sign(doubts):
    """A restart between two requests shows by nothing else."""
    doubts.heard(TAKEN, 130.0, cut=True)
    assert due(doubts, 130.0) == [100.0 - SAFE_SECONDS] * 2


def test_a_lane_that_was_busy_is_told_later(doubts):
    """Each hears of it between two of its own loads."""
    doubts.heard(TAKEN, 130.0, cut=True)
    assert doubts.due("live", 130.0) == 40.0
    doubts.heard(AWAY, 140.0, cut=False)
    doubts.heard(TAKEN, 150.0, cut=False)
    assert doubts.due("live", 150.0) == 130.0 - SAFE_SECONDS
    assert doubts.safe_before() == 40.0
    assert doubts.due("backlog", 200.0) == 40.0


def rounds(doubts: Doubts, *, every: float, seconds: float, cut: bool) -> list[tuple[float, float]]:
    """Let signs follow each other from second 1,000 on; return when and since when it was sent again."""
    found, now = [], 1_000.0
    while now < 1_000.0 + seconds:
        if not cut:
            doubts.heard(AWAY, now, cut=False)
        doubts.heard(TAKEN, now, cut=cut)
        since, _ = due(doubts, now)
        if since is not None:
            found.append((now, since))
        now += every
    return found


@pytest.mark.parametrize("every", [0.5, 20.0, 59.0, 250.0])
@pytest.mark.parametrize("cut", [True, False])
def test_a_row_of_signs_is_acted_upon_ever_less_often(doubts, every, cut):
    """A receiver that never stays gets three times of everything at most, and nothing is left out."""
    hours = 10 * 3_600.0
    found = rounds(doubts, every=every, seconds=hours, cut=cut)
    again = sum(now - since for now, since in found)
    assert again < 3 * (hours + SAFE_SECONDS * len(found) + every)
    assert len(found) < 25
    for (before, _), (now, since) in pairwise(found):
        assert since <= max(before, now - LONGEST_SECONDS)
    assert doubts.safe_before() > 1_000.0 + hours - every - LONGEST_SECONDS - SAFE_SECONDS


def test_when_it_is_calm_the_rest_is_sent_again(doubts):
    """A row that ended waits for nothing, and the next sign is the first of its own."""
    for at in range(1_000, 5_000, 50):
        doubts.heard(TAKEN, float(at), cut=True)
        due(doubts, float(at))
    assert due(doubts, 5_000.0 + 200.0) == [None, None]
    assert None not in due(doubts, 4_950.0 + CALM_SECONDS)
    doubts.heard(TAKEN, 6_000.0, cut=True)
    assert None not in due(doubts, 6_000.0)
    doubts.heard(TAKEN, 6_001.0, cut=True)
    assert due(doubts, 6_001.0) == [None, None]
    assert None not in due(doubts, 6_011.0)


def test_a_proxy_that_cuts_connections_delays_no_restart(doubts):
    """Signs of another kind have a row of their own."""
    rounds(doubts, every=50.0, seconds=20_000.0, cut=True)
    doubts.heard(AWAY, 21_010.0, cut=False)
    doubts.heard(TAKEN, 21_011.0, cut=False)
    assert doubts.due("live", 21_011.0) is not None


def test_our_own_starts_are_a_row_too():
    """Kept from run to run by the wall clock, also when that was set back."""
    kept, again, wall = None, 0, 1e9
    for _ in range(100):
        doubts = Doubts(LANES)
        doubts.started(50.0, wall, kept)
        told = due(doubts, 50.0)
        assert told in ([None, None], [-math.inf, -math.inf])
        again += told[0] is not None
        kept = doubts.starts(52.0, wall + 2.0)
        wall += 3.0
    assert 3 <= again <= 10
    doubts.started(50.0, wall - 7_200.0, kept)
    assert None not in due(doubts, 50.0 + 11.0)
    doubts = Doubts(LANES)
    doubts.started(50.0, wall + 7_200.0, kept)
    assert None not in due(doubts, 50.0)
    assert Starts() == Doubts(LANES).starts(50.0, wall)
