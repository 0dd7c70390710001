from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.inventory.limits import ConferenceLimits, InternetLimits, WebLimits
from collector.inventory.model import Series
from collector.state.meters import CALMER, LEARNED, Meter
from collector.state.path_meters import LOSS_ATTEMPTS, LOSSY, EchoMeter, MediaMeter
from collector.state.quality import ECHOES, PAGES, TESTS
from tests.collector.a_province import a_sample
from tests.collector.diagnosis.poor_province import echo, media, page

SERIES = Series("05293", "internet", "203.0.113.1", "")
LIMITS = InternetLimits(delay_from_seconds=0.05, delay_factor=3, delay_seconds=0.3, loss=0.03)
FLOOR = InternetLimits(delay_from_seconds=0.06, delay_factor=3, delay_seconds=0.3, loss=0.03)
"""Delays are held against the floor alone, as what is usual moves."""
STEP = 5.0


def an_echo_meter(limits: InternetLimits = LIMITS, usual: float = 0.02) -> EchoMeter:
    """Return a meter that has learned what is usual."""
    meter = EchoMeter(habit=ECHOES, limits=limits, echoes=3)
    run(meter, [echo(SERIES, usual)] * LEARNED)
    return meter


def run(meter: Meter, samples, at: float = 0.0) -> list[int]:
    """Feed samples; return the numbers of those at which `poor` changed."""
    return [
        number for number, sample in enumerate(samples) if meter.feed(sample, at + number * STEP)
    ]


attempts = st.lists(
    st.tuples(
        st.sampled_from([0.02, 0.02, 0.047, 0.049, 0.051, 0.059, 0.061, 0.2, None]),
        st.sampled_from([0, 0, 0, 1, 2]),
        st.sampled_from([0.001, 0.039, 0.041, 0.049, 0.051]),
        st.integers(1, 40),
    ),
    max_size=12,
)


class Plain:
    """A meter as one would write it first: lists of all attempts, and sums over windows of them."""

    def __init__(self) -> None:
        self.poor, self.opened = False, 0
        self.late: list[bool] = []
        self.lost: list[int] = []
        self.seen = LEARNED

    def feed(self, delay: float | None, lost: int, jitter: float) -> None:
        """Take an attempt."""
        share = CALMER if self.poor else 1
        limit = FLOOR.delay_from_seconds * share
        late = delay is not None and (delay > limit or jitter > LIMITS.jitter_seconds * share)
        self.late.append(late)
        self.lost.append(3 if delay is None else lost)
        self.seen += 1
        if self.poor:
            self.opened += 1
            half = LOSS_ATTEMPTS // 2
            fine = (
                sum(self.late[-ECHOES.clear :]) <= ECHOES.spare
                and sum(self.lost[-half:]) <= LIMITS.loss / 2 * min(self.seen, half) * 3
            )
            if self.opened >= ECHOES.clear and fine:
                self.poor, self.late, self.lost = False, [], []
            return
        window = self.lost[-LOSS_ATTEMPTS:]
        lossy = (
            sum(one > 0 for one in window) >= LOSSY
            and sum(window) > LIMITS.loss * min(self.seen, LOSS_ATTEMPTS) * 3
        )
        if sum(self.late[-ECHOES.of :]) >= ECHOES.need or lossy:
            self.poor, self.opened = True, 0


@given(attempts)
def test_bits_say_what_windows_of_lists_would(spans):
    """Whatever comes in whatever order, the meter is poor when sums over plain lists say so."""
    meter, plain = an_echo_meter(FLOOR, usual=0.01), Plain()
    at = 1000.0
    for delay, lost, jitter, times in spans:
        for _ in range(times):
            lost_now = 0 if delay is None else lost
            meter.feed(echo(SERIES, delay, lost=lost_now, jitter=jitter), at)
            plain.feed(delay, lost_now, jitter)
            at += STEP

            assert plain.poor == meter.poor


@given(st.lists(st.floats(0.001, 0.29), min_size=LEARNED, max_size=LEARNED))
def test_what_is_usual_is_the_median_of_the_first_attempts(delays):
    """It is not known before, and then it is their median."""
    meter = EchoMeter(habit=ECHOES, limits=InternetLimits(), echoes=3)
    run(meter, [echo(SERIES, delay) for delay in delays[:-1]])
    assert meter.usual is None
    run(meter, [echo(SERIES, delays[-1])])

    assert pytest.approx(median(delays)) == meter.usual


@given(attempts)
def test_a_meter_that_is_well_again_is_as_quick_as_before(spans):
    """After any trouble, a window of good attempts leaves nothing to be weighed."""
    meter = an_echo_meter()
    for delay, lost, jitter, times in spans:
        run(meter, [echo(SERIES, delay, lost=lost if delay else 0, jitter=jitter)] * times)
    run(meter, [echo(SERIES, 0.02)] * LOSS_ATTEMPTS)

    assert (False, False, 0) == (meter.poor, meter.busy, len(meter.recent))


GOOD = echo(SERIES, 0.02)
SLOW = echo(SERIES, 0.1)
BLINK = echo(SERIES, None)
ONE_LOST = echo(SERIES, 0.02, lost=1)
SHAKY = echo(SERIES, 0.02, jitter=0.06)
REPROBE = echo(SERIES, 0.1, attempt=2)
UNNAMED = echo(SERIES, None)
UNNAMED.values.clear()
DRIFT = [echo(SERIES, 0.02 + 0.08 * step / 720) for step in range(720)]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([GOOD] * 500, []),
        ([SLOW, *[GOOD] * 2] * 60, []),
        ([SLOW] * 7 + [GOOD] * 300, []),
        ([SLOW] * 8, [7]),
        ([GOOD, SLOW, SLOW] * 4, [11]),
        ([SLOW] * 8 + [GOOD] * 30, [7, 31]),
        ([SLOW] * 100 + [GOOD] * 22, [7]),
        ([SLOW] * 100 + [GOOD] * 23, [7, 122]),
        ([SLOW] * 8 + [GOOD, GOOD, SLOW] * 60, [7]),
        ([SHAKY] * 8, [7]),
        ([BLINK, *[GOOD] * 9] * 3 + [GOOD] * 90, []),
        ([BLINK, *[GOOD] * 9] * 12, [50]),
        ([ONE_LOST, *[GOOD] * 99] * 8, []),
        ([ONE_LOST] * 6, [5]),
        ([ONE_LOST, *[GOOD] * 16] * 30, []),
        ([ONE_LOST, *[GOOD] * 6] * 30, [35]),
        ([ONE_LOST] * 30 + [GOOD] * 57, [5]),
        ([ONE_LOST] * 30 + [GOOD] * 60, [5, 87]),
        ([REPROBE] * 50, []),
        ([UNNAMED] * 50, []),
        (DRIFT, [408]),
    ],
    ids=[
        "all is well",
        "every third attempt is slow",
        "slow for 35 s",
        "a step",
        "two of three are slow",
        "a step, and back",
        "110 s of good ones are not enough",
        "two minutes are",
        "every third one stays slow",
        "jitter",
        "three blinks",
        "a blink every 50 s",
        "an echo lost in 8 min",
        "six of the first",
        "2 % where 3 % are allowed",
        "5 % where 3 % are allowed",
        "loss that ended 285 s ago",
        "loss that ended 290 s ago and more",
        "re-probes",
        "a name that is not found",
        "from 20 ms to 100 ms within an hour",
    ],
)
def test_a_path_is_poor_when_it_was_for_long_enough(samples, expected):
    """Of each course of attempts: the numbers of those at which it became poor, and good again."""
    assert expected == run(an_echo_meter(), samples)


def test_two_percent_are_too_much_during_the_ceremony():
    """The same loss is poor by the ceremony's limit and passes on other days."""
    samples = [ONE_LOST, *[GOOD] * 16] * 10

    assert [] == run(an_echo_meter(), samples)
    assert [85] == run(an_echo_meter(InternetLimits(loss=0.01)), samples)


@pytest.mark.parametrize("over", [1.02, 1.2])
def test_at_the_threshold_it_opens_once(over):
    """Delays that swing around the limit for hours make one trouble, not many."""
    around = [echo(SERIES, 0.06 * over), echo(SERIES, 0.06 * over), echo(SERIES, 0.058)]

    assert [10] == run(an_echo_meter(), around * 400)


def test_a_running_trouble_does_not_become_usual():
    """What is usual is the same after hours of slow attempts."""
    meter = an_echo_meter()
    usual = meter.usual
    run(meter, [SLOW] * 5000)

    assert usual == meter.usual


def test_a_slow_change_within_the_limits_is_followed():
    """A line that is a little slower for a day has that as its usual delay."""
    meter = an_echo_meter()
    run(meter, [echo(SERIES, 0.025)] * 17280)

    assert pytest.approx(0.025, rel=0.01) == meter.usual


def test_rest_forgets_the_last_attempts_and_not_what_is_usual():
    """A target that went down and came back is judged by what comes then."""
    meter = an_echo_meter()
    usual = meter.usual
    run(meter, [SLOW] * 8)
    meter.rest()

    assert (False, usual, False) == (meter.poor, meter.usual, meter.sure)
    assert [7] == run(meter, [SLOW] * 8)


def test_before_anything_is_usual_only_the_upper_limit_holds():
    """A line that was never seen well is poor beyond the limit that holds whatever is usual."""
    meter = EchoMeter(habit=ECHOES, limits=LIMITS, echoes=3)

    assert [7] == run(meter, [echo(SERIES, 0.31)] * 8)
    assert [] == run(EchoMeter(habit=ECHOES, limits=LIMITS, echoes=3), [SLOW] * 20)


def test_other_limits_hold_from_then_on():
    """A profile's limits are taken without learning anew what is usual."""
    meter = an_echo_meter()
    run(meter, [SLOW] * 4)
    meter.use(InternetLimits(delay_from_seconds=0.15))

    assert [] == run(meter, [SLOW] * 50)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(2.9, []), (3.1, [3]), (0.3, [])], ids=["floor", "slow", "usual"]
)
def test_a_page_is_slow_after_four_of_six(seconds, expected):
    """Pages are judged by the whole request, after four attempts."""
    meter = Meter(habit=PAGES, limits=WebLimits())
    run(meter, [page(SERIES, 0.3)] * LEARNED)

    assert expected == run(meter, [page(SERIES, seconds)] * 6)


def test_a_failed_page_is_no_slow_page():
    """How long a failure took says nothing of how quick the page is."""
    meter = Meter(habit=PAGES, limits=WebLimits())
    run(meter, [page(SERIES, 0.3)] * LEARNED)
    before = meter.seen
    run(meter, [a_sample(SERIES, "timeout", kind="http", duration=10.0)] * 6)

    assert (before, False) == (meter.seen, meter.poor)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, []),
        ({"mos": 3.5}, [1]),
        ({"loss": 0.012}, [1]),
        ({"late": 0.012}, [1]),
        ({"loss": 0.006, "late": 0.006}, [1]),
    ],
)
def test_two_bad_media_tests_of_three_are_poor(what, expected):
    """Loss, what comes too late and the estimated opinion each make a test bad."""
    meter = MediaMeter(habit=TESTS, limits=ConferenceLimits())

    assert expected == run(meter, [media(SERIES, **what)] * 3)


def test_one_bad_media_test_is_not_poor():
    """A quarter of an hour later it is measured again; two good ones end it."""
    meter = MediaMeter(habit=TESTS, limits=ConferenceLimits())
    bad, good = media(SERIES, mos=3.0), media(SERIES)

    assert [2, 4] == run(meter, [bad, good, bad, good, good])
