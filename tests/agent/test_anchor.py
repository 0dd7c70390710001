"""The centre's clock, as an agent comes to know it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.anchor import DRIFT, Anchor

TRUE = 1_750_000_000.0
"""The centre's UTC when the machine's monotonic clock read 0."""
seconds = st.floats(0, 10, allow_subnormal=False)


def exchange(anchor: Anchor, at: float, ways: tuple[float, float, float], true: float = TRUE):
    """Let an agent learn from an exchange: seconds there, inside the centre, and back."""
    there, inside, back = ways
    anchor.learn(
        sent_ns=round(at * 1e9),
        received_at=true + at + there,
        answered_at=true + at + there + inside,
        arrived_ns=round((at + there + inside + back) * 1e9),
    )


def test_nothing_is_known_before_the_first_answer():
    """Absent is not zero."""
    assert Anchor().read(5) == (None, None)


@given(st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=1, max_size=20))
def test_the_truth_lies_within_the_error(ways):
    """However unequal the two ways were, the anchor is never further off than it says."""
    anchor = Anchor()
    at = 100.0
    for pause, there, inside, back in ways:
        at += pause
        exchange(anchor, at, (there, inside, back))
        at += there + inside + back
        found, error = anchor.read(round(at * 1e9))

        assert abs(found - TRUE) <= error + 1e-5


def test_equal_ways_give_the_very_time():
    """Half the round trip is the error; equal halves cancel out."""
    anchor = Anchor()
    exchange(anchor, 100.0, (0.02, 0.5, 0.02))
    found, error = anchor.read(round(100.54 * 1e9))

    assert found == pytest.approx(TRUE, abs=1e-5)
    assert error == pytest.approx(0.02, abs=1e-5)


def test_the_best_exchange_is_kept_while_it_is_the_best():
    """A slow answer does not spoil what a quick one taught, until that one is too old."""
    anchor = Anchor()
    exchange(anchor, 0.0, (0.001, 0.0, 0.001))
    exchange(anchor, 10.0, (0.1, 0.0, 0.0))
    assert anchor.read(10_000_000_000)[0] == pytest.approx(TRUE, abs=1e-5)
    assert anchor.read(10_000_000_000)[1] == pytest.approx(0.001 + 10 * DRIFT, abs=1e-5)

    exchange(anchor, 1000.0, (0.1, 0.0, 0.0))
    assert anchor.read(1000_000_000_000)[0] == pytest.approx(TRUE + 0.05, abs=1e-5)


def test_a_clock_that_was_set_is_followed():
    """An estimate that cannot be true together with the best one takes its place."""
    anchor = Anchor()
    exchange(anchor, 0.0, (0.001, 0.0, 0.001))
    exchange(anchor, 10.0, (0.2, 0.0, 0.2), true=TRUE + 3600)

    assert anchor.read(10_400_000_000)[0] == pytest.approx(TRUE + 3600, abs=1e-3)


@pytest.mark.parametrize(("inside", "back"), [(0.5, -0.6), (-0.1, 0.2)])
def test_impossible_exchanges_teach_nothing(inside, back):
    """An answer given before the push came, or faster than the centre took for it."""
    anchor = Anchor()
    exchange(anchor, 10.0, (0.01, inside, back))

    assert anchor.read(0) == (None, None)
