import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.export.gate import Gate

NOW = 1_751_346_007.0
HOUR = 3_600.0
GATE = Gate(window_seconds=6 * HOUR)


@pytest.mark.parametrize(
    ("seconds_ago", "age"),
    [
        (3 * 24 * HOUR, "too_old"),
        (5.76 * HOUR, "too_old"),
        (5.74 * HOUR, "window"),
        (68, "window"),
        (67, "live"),
        (0, "live"),
        (-10, "live"),
        (-10.1, "ahead"),
        (-3 * 24 * HOUR, "ahead"),
    ],
)
def test_a_sample_goes_by_its_own_time(seconds_ago, age):
    """15 minutes of the window are kept for retries; 10 s ahead is the most a clock may differ."""
    assert GATE.age(NOW - seconds_ago, NOW, live_from=GATE.live_from(NOW)) == age


@pytest.mark.parametrize("seconds_ago", [-(10**6), 0, 100, 10**6])
def test_a_time_nobody_vouches_for_is_never_sent(seconds_ago):
    """It may be true, and may be years off."""
    age = GATE.age(NOW - seconds_ago, NOW, live_from=GATE.live_from(NOW), trusted=False)

    assert age == "untrusted"


@given(st.floats(0, 4e9))
def test_what_is_a_minute_young_is_live(now):
    """The bound moves in steps, never into the last minute, never back."""
    bound = GATE.live_from(now)

    assert now - 70.1 <= bound <= now - 59.9
    assert GATE.live_from(now + 1) >= bound
