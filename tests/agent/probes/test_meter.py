"""Speed is that of the found pace; the share is kept whatever the server does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.meter import Meter

FAST = 1e12


def metered(*marks: tuple[float, int], bits: float = FAST) -> Meter:
    """Return a meter that began at 100 s and saw these."""
    meter = Meter(100.0, bits)
    for now, total in marks:
        meter.mark(now, total)
    return meter


def test_the_start_is_left_out():
    """The first quarter of the bytes, slow as it is, is in the whole but not in the speed."""
    meter = metered((102.0, 1_000), (103.0, 2_500), (104.0, 6_000), (105.0, 10_000))

    assert meter.bytes_per_second() == 7_500 / 2
    assert (meter.bytes, meter.seconds) == (10_000, 5.0)


@pytest.mark.parametrize(
    ("marks", "speed"),
    [
        ((), None),
        (((101.0, 0),), None),
        (((100.0, 5),), None),
        (((102.0, 500),), 250.0),
        (((101.0, 500), (102.0, 500)), 250.0),
        (((101.0, 100), (102.0, 500)), 400.0),
    ],
)
def test_little_to_tell_from(marks, speed):
    """A transfer seen in one piece counts as a whole; nothing, or no time at all, is no speed."""
    assert metered(*marks).bytes_per_second() == speed


def test_what_lies_before_us_takes_as_long_as_what_lies_behind():
    """What waits in the queue is through at the speed so far; at once while there is none."""
    assert metered((102.0, 1_000)).through_by(102.0, 500) == 103.0
    assert metered((102.0, 0)).through_by(102.0, 500) == 102.0


@pytest.mark.parametrize(("held", "word"), [(0.0, "cap"), (0.09, "cap"), (0.2, "share")])
def test_what_limited_it(held, word):
    """It was our share if we held back for a tenth of the time, else what ended it."""
    meter = metered(bits=8e6)
    meter.hold(100.0, round(held * 950_000))
    meter.mark(101.0, 950_000)

    assert meter.limited_by("cap") == word


@given(
    bits=st.floats(1e5, 1e10),
    steps=st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 65536)), min_size=1, max_size=50),
)
def test_the_share_is_never_passed(bits, steps):
    """Whoever holds back for as long as is said has, headers and all, taken no more than the share."""
    meter = Meter(0.0, bits)
    now, total = 0.0, 0
    for pause, size in steps:
        now += pause
        total += size
        now += meter.hold(now, total)

        assert total * 8 / 0.95 <= bits * now * (1 + 1e-9)
