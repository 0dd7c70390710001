from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from collector.inventory.model import Phase, Profile, Series, Text
from collector.state.fleet import PROFILE_SECONDS, Fleet
from tests.collector.a_province import (
    NOON,
    YPHU,
    a_province,
    a_push,
    a_sample,
    gateway,
)
from tests.collector.state.fleets import DOWN, ERROR, UP, a_fleet, an_attempt, feed

GATEWAY = gateway(YPHU)


@pytest.mark.parametrize(
    ("attempts", "state", "since"),
    [
        ("", "unknown", 0),
        ("u", "up", 0),
        ("d", "unknown", 0),
        ("dd", "down", 0),
        ("du", "up", 1),
        ("dud", "down", 0),
        ("ud", "up", 0),
        ("udd", "down", 1),
        ("uud", "up", 0),
        ("uudu", "up", 0),
        ("uudud", "down", 2),
        ("dddu", "down", 0),
        ("dddud", "down", 0),
        ("ddduu", "up", 3),
        ("e", "unknown", 0),
        ("eu", "up", 1),
        ("ded", "down", 0),
        ("udeed", "down", 1),
        ("ddeeu", "down", 0),
    ],
)
def test_two_of_the_last_three_attempts_confirm(attempts, state, since):
    """Two of three agree, one success is enough where nothing is known, an error is no vote."""
    fleet = a_fleet()

    feed(fleet, GATEWAY, attempts)

    found = fleet.series[GATEWAY]
    assert (state, NOON + since) == (found.state, found.since)


def test_a_down_series_keeps_what_it_failed_of_first():
    """The first failing attempt is the evidence, not the one that confirmed it."""
    fleet = a_fleet()
    for at, failure in ((0, None), (1, "timeout"), (2, "host_unreachable")):
        fleet.apply(
            YPHU, a_sample(GATEWAY, failure, detail=f"{at}"), NOON + at, trusted=True, now=NOON + at
        )

    first = fleet.series[GATEWAY].first_failure

    assert first is not None
    assert (first.failure, first.detail, first.at) == ("timeout", "1", NOON + 1)
    assert list(fleet.down) == [GATEWAY]


@pytest.mark.parametrize(
    ("series", "limit"),
    [
        (GATEWAY, 10.0),
        (Series(YPHU, "tthc", "https://tthc.example/", ""), 15.0),
        (Series(YPHU, "dvcqg", "https://dvcqg.example/", ""), 900.0),
    ],
)
@pytest.mark.parametrize("attempts", ["u", "dd"])
def test_a_series_becomes_unknown_after_three_intervals(series, limit, attempts):
    """Ten seconds at least; since then nothing is known, and old votes no longer count."""
    fleet = a_fleet()
    last = feed(fleet, series, attempts) - 1.0
    state = fleet.series[series]
    before = state.state

    fleet.tick(last + limit)
    assert before == state.state

    found = fleet.tick(last + limit + 0.001)
    assert ("unknown", last, (), {}) == (state.state, state.since, state.votes, dict(fleet.down))
    assert ("series", series, before, "unknown") in [
        (change.what, change.key, change.before, change.after) for change in found
    ]
    assert state.sample is not None
    assert state.measured is None
    feed(fleet, series, DOWN, last + limit + 1)
    assert state.state == "unknown"


def test_a_lone_failure_is_forgotten_when_it_is_stale():
    """A failure of ten minutes ago and one of now do not confirm each other."""
    fleet = a_fleet()
    feed(fleet, GATEWAY, DOWN)

    fleet.tick(NOON + 600)
    feed(fleet, GATEWAY, DOWN, NOON + 600)

    assert fleet.series[GATEWAY].state == "unknown"


def test_errors_do_not_keep_a_series_known():
    """Where nothing could be measured for three intervals nothing is known."""
    fleet = a_fleet()
    after = feed(fleet, GATEWAY, "u" + "e" * 11)

    fleet.tick(after)

    assert fleet.series[GATEWAY].state == "unknown"
    assert fleet.series[GATEWAY].sample.error == "no permission"
    assert fleet.series[GATEWAY].measured is None


def test_late_samples_change_nothing():
    """Older than the newest applied, or stale on arrival: history, whatever they say."""
    fleet = a_fleet()
    feed(fleet, GATEWAY, "uuu", NOON + 100)
    before = asdict(fleet.series[GATEWAY])

    for late in range(60):
        fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + late, trusted=True, now=NOON + 103)
    fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + 102, trusted=True, now=NOON + 103)

    assert before == asdict(fleet.series[GATEWAY])


def test_a_stale_sample_is_only_shown():
    """The newest there is can be looked at, but says nothing of now."""
    fleet = a_fleet()

    for late in (0, 1, 2):
        fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + late, trusted=True, now=NOON + 60)

    state = fleet.series[GATEWAY]
    assert (state.state, state.at, state.measured) == ("unknown", NOON + 2, None)
    assert state.sample.failure == "timeout"


def test_a_failure_measured_in_silence_says_nothing_of_now():
    """The cut line is what failed, and it is back; a success, and what fails afterwards, count."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON)
    feed(fleet, GATEWAY, "uuu", NOON)
    fleet.tick(NOON + 5)
    assert fleet.agents[YPHU].contact == "silent"
    fleet.heard(YPHU, a_push(YPHU), NOON + 6)

    for at in (3, 4, 5):
        fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + at, trusted=True, now=NOON + 6)

    state = fleet.series[GATEWAY]
    assert (state.state, state.at, state.sample.failure) == ("up", NOON + 5, "timeout")
    fleet.apply(YPHU, a_sample(GATEWAY), NOON + 5.5, trusted=True, now=NOON + 6)
    assert state.measured is state.sample
    feed(fleet, GATEWAY, "dd", NOON + 7)
    assert (state.state, state.since) == ("down", NOON + 7)


def test_a_silence_that_ended_in_a_future_taken_back_hides_nothing():
    """The machine's clock was an hour ahead when the agent came back; now it is right."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON + 3600)
    fleet.tick(NOON + 3605)
    fleet.heard(YPHU, a_push(YPHU), NOON + 3606)

    fleet.pardon(NOON)
    feed(fleet, GATEWAY, "dd", NOON + 1)

    assert fleet.series[GATEWAY].state == "down"


def test_a_time_nobody_vouches_for_is_no_vote():
    """An untrusted sample may be days old: it is shown, and changes no state."""
    fleet = a_fleet()

    for at in (0, 1, 2):
        fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + at, trusted=False, now=NOON + at)

    assert fleet.series[GATEWAY].state == "unknown"


def test_a_sample_from_the_future_does_not_make_the_present_history():
    """What lies further ahead than ten seconds is applied to nothing."""
    fleet = a_fleet()

    fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), NOON + 86400, trusted=True, now=NOON)
    feed(fleet, GATEWAY, UP, NOON + 1)

    assert fleet.series[GATEWAY].state == "up"


def test_a_sample_slightly_ahead_stays_fresh_no_longer():
    """Freshness counts from the centre's clock."""
    fleet = a_fleet()

    fleet.apply(YPHU, a_sample(GATEWAY), NOON + 9, trusted=True, now=NOON)
    fleet.tick(NOON + 10.1)

    assert fleet.series[GATEWAY].state == "unknown"


def test_what_the_inventory_does_not_know_is_counted():
    """A check that was removed is still measured for a while: no error, no state."""
    fleet = a_fleet()

    fleet.apply(YPHU, a_sample(Series(YPHU, "old", "x", "")), NOON, trusted=True, now=NOON)
    fleet.heard("99999", a_push("99999"), NOON)

    assert fleet.unknown_series == 1


def test_a_faster_profile_makes_series_stale_sooner():
    """Twice as often measured is half as long believed, for those measured before it too."""
    tthc = Series(YPHU, "tthc", "https://tthc.example/", "")
    slow = Profile(batch_seconds=1.0, silent_after_seconds=4.0, interval_factor=10.0)
    fast = replace(slow, interval_factor=1.0)
    begins = datetime.fromtimestamp(NOON + 10, UTC)
    inventory = replace(
        a_province(),
        profiles={"slow": slow, "fast": fast},
        default_profile="slow",
        phases={
            "day": Phase(
                name=Text(vi="Ngày", en="Day"),
                begins=begins,
                ends=begins + timedelta(hours=8),
                profile="fast",
            )
        },
        interval_of={**a_province().interval_of, tthc: 50.0},
    )
    fleet = Fleet(inventory, started_at=NOON)
    feed(fleet, tthc, UP)
    fleet.tick(NOON + 65)
    assert fleet.series[tthc].state == "up"

    fleet.tick(NOON + 10 + PROFILE_SECONDS)

    assert fleet.series[tthc].state == "unknown"


def test_a_series_is_believed_as_long_as_its_samples_wait_for_their_batch():
    """Asked each second but sent each ten: between two batches it is not forgotten."""
    calm = Profile(batch_seconds=10.0, silent_after_seconds=35.0)
    inventory = replace(a_province(), profiles={"calm": calm}, default_profile="calm")
    fleet = Fleet(inventory, started_at=NOON)
    last = feed(fleet, GATEWAY, UP) - 1.0

    fleet.tick(last + 35.0)
    assert fleet.series[GATEWAY].state == "up"

    fleet.tick(last + 35.001)
    assert fleet.series[GATEWAY].state == "unknown"


ATTEMPTS = st.lists(
    st.tuples(st.floats(0, 120), st.sampled_from([UP, DOWN, ERROR]), st.booleans()), max_size=30
)


@given(ATTEMPTS)
@settings(max_examples=200)
def test_only_the_order_of_measuring_counts(attempts):
    """Whatever arrives late, doubled or shuffled afterwards changes no state and tells nobody."""
    fleet = a_fleet()
    for at, attempt, trusted in attempts:
        sample = an_attempt(GATEWAY, attempt)
        fleet.apply(YPHU, sample, NOON + at, trusted=trusted, now=NOON + at)
    fleet.tick(NOON + 121)
    newest = max((at for at, _, _ in attempts), default=0.0)
    before = asdict(fleet.series[GATEWAY])

    for at, _, _ in reversed(attempts):
        for shift in (0.0, -0.5, -60.0):
            late = NOON + min(at + shift, newest)
            fleet.apply(YPHU, a_sample(GATEWAY, "timeout"), late, trusted=True, now=NOON + 121)

    if attempts:
        assert before == asdict(fleet.series[GATEWAY])
    assert fleet.tick(NOON + 121) == []


@given(ATTEMPTS, st.floats(0, 40))
@settings(max_examples=200)
def test_what_is_known_is_what_the_last_attempts_say(attempts, later):
    """Up and down always rest on a fresh vote that says so; no vote, nothing known."""
    fleet = a_fleet()
    now = NOON
    for at, attempt, trusted in sorted(attempts):
        now = NOON + at
        fleet.tick(now)
        sample = an_attempt(GATEWAY, attempt)
        fleet.apply(YPHU, sample, now, trusted=trusted, now=now)
    now += later
    fleet.tick(now)

    state = fleet.series[GATEWAY]
    assert (state.state == "down") == (GATEWAY in fleet.down)
    if state.state == "unknown":
        assert all(vote.failure for vote in state.votes)
        assert len(state.votes) < 2
    else:
        said = [vote.failure is None for vote in state.votes]
        needed = 2 if len(said) == 3 or state.state == "down" else 1
        assert said.count(state.state == "up") >= needed
        assert now - state.voted_at <= 10.0
