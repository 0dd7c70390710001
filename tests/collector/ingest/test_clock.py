import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.clock import MAX_AHEAD_SECONDS, Anchor, Clocks
from tests.collector.ingest.pushes import AGENT, MACHINE, NOON, batch, push, sample, stamp

ANCHOR = NOON - 1_000.0
"""The centre's time when the machine's monotonic clock, at 1000 s now, read 0."""


def learned(*pushes, at: float = NOON + 0.05) -> Clocks:
    """Return clocks that heard these pushes, each at its sending plus the way."""
    clocks = Clocks()
    for one in pushes:
        clocks.learn(one, at + one.sent.mono_ns / 1e9 - 1_000.0)
    return clocks


def times(clocks: Clocks, *starts, received_at: float = NOON + 1, **changes) -> list[float]:
    """Return the corrected times of samples that began at these stamps."""
    samples = [sample(start=start) for start in starts]
    return clocks.correct(batch(samples=samples, **changes), received_at).times


def test_an_agents_own_anchor_is_taken():
    """What the agent learned by round trips is exact to half a round trip."""
    clocks = learned(push(anchor=ANCHOR, anchor_error=0.02))
    assert times(clocks, stamp(wall=0, mono=900)) == [NOON - 100]


def test_an_arrival_stands_in_for_an_anchor():
    """A machine's very first push has no anchor yet: its arrival is near enough."""
    clocks = learned(push())
    assert times(clocks, stamp(wall=0, mono=900)) == [pytest.approx(NOON - 99.95)]


@pytest.mark.parametrize("offset", [None, -3_600.0, 1.7e9])
def test_a_time_servers_word_moves_no_time(offset):
    """What an agent heard of an NTP server is evidence only: times rest on the centre's own clock."""
    said = {"ntp_offset": offset, "ntp_age": 1.0, "synchronised": False}
    clocks = learned(push(anchor=ANCHOR, anchor_error=0.02))
    unknown = Clocks()

    assert times(clocks, stamp(wall=0, mono=900), **said) == [NOON - 100]
    assert times(unknown, stamp(wall=NOON - 7), received_at=NOON, **said) == [NOON - 7]


def test_the_faster_arrival_is_nearer_to_the_truth():
    """Of two arrivals the one that was on its way for less time is kept."""
    clocks = Clocks()
    assert clocks.learn(push(), NOON + 0.8) is not None
    assert clocks.learn(push(), NOON + 0.9) is None
    assert clocks.learn(push(), NOON + 0.1) is not None
    assert times(clocks, stamp(mono=1_000)) == [pytest.approx(NOON + 0.1)]


@pytest.mark.parametrize(
    "anchor",
    [
        pytest.param(ANCHOR + 3_600, id="sent after it arrived"),
        pytest.param(ANCHOR - 3_600, id="on its way for an hour"),
    ],
)
def test_an_anchor_that_cannot_be_true_is_passed_over(anchor):
    """A push is not sent after it arrived, nor an hour before."""
    clocks = learned(push(anchor=anchor, anchor_error=0.01))
    assert times(clocks, stamp(mono=900)) == [pytest.approx(NOON - 99.95)]


def test_only_a_notably_better_anchor_replaces_one():
    """An anchor changes when it becomes better, or too old to be trusted as far."""
    clocks = Clocks()
    first = push(anchor=ANCHOR, anchor_error=0.05)
    assert clocks.learn(first, NOON + 0.1) is not None
    worse = push(anchor=ANCHOR + 0.2, anchor_error=0.3)
    assert clocks.learn(worse, NOON + 0.3) is None
    assert times(clocks, stamp(mono=900)) == [NOON - 100]
    better = push(anchor=ANCHOR + 0.01, anchor_error=0.01)
    assert clocks.learn(better, NOON + 0.1) is not None
    assert times(clocks, stamp(mono=900)) == [pytest.approx(NOON - 99.99)]
    a_day = 86_400.0
    later = push(sent=stamp(mono=1_000 + a_day), anchor=ANCHOR + 1.5, anchor_error=0.05)
    assert clocks.learn(later, NOON + a_day + 1.55) is not None
    assert times(clocks, stamp(mono=900)) == [pytest.approx(NOON - 98.5)]


def test_a_step_of_the_centres_clock_is_followed():
    """When the centre's own clock was wrong, what was learned by it is dropped."""
    clocks = learned(push(anchor=ANCHOR, anchor_error=0.01))
    stepped = push(anchor=ANCHOR, anchor_error=0.01)
    assert clocks.learn(stepped, NOON + 7_200.05) is not None
    assert times(clocks, stamp(mono=900), received_at=NOON + 7_201) == [
        pytest.approx(NOON + 7_100.05)
    ]


def test_an_old_boot_of_the_machine_is_corrected_by_its_own_anchor():
    """Monotonic clocks start anew at each boot: each has its own anchor, kept over a restart."""
    before = learned(push(anchor=ANCHOR, anchor_error=0.01))
    kept = before.anchor(AGENT, MACHINE)
    assert kept is not None
    clocks = Clocks([kept])
    clocks.learn(push(machine_boot="c3" * 16, sent=stamp(mono=5)), NOON + 60)
    assert times(clocks, stamp(wall=0, mono=900)) == [NOON - 100]


@pytest.mark.parametrize("synchronised", [True, False])
def test_a_machines_boot_that_never_reached_the_centre_has_its_wall_clock(synchronised):
    """Then the wall clock is all there is, trusted only where the kernel vouches for it."""
    corrected = Clocks().correct(
        batch(synchronised=synchronised, samples=[sample(start=stamp(wall=NOON - 5))]), NOON
    )
    assert corrected.times == [NOON - 5]
    assert corrected.trusted is synchronised


def test_an_anchor_makes_an_unsynchronised_clock_trusted():
    """The wall clock plays no part where the monotonic one is known."""
    clocks = learned(push(anchor=ANCHOR, anchor_error=0.01))
    assert clocks.correct(batch(synchronised=False), NOON + 1).trusted


def test_samples_ahead_of_the_centre_are_quarantined():
    """More than 10 s ahead: kept and applied to nothing; the others of the batch go on."""
    starts = [NOON, NOON + MAX_AHEAD_SECONDS, NOON + MAX_AHEAD_SECONDS + 0.001, NOON + 3 * 86_400]
    samples = [sample(start=stamp(wall=start)) for start in starts]
    corrected = Clocks().correct(batch(samples=samples), NOON)
    assert corrected.times == starts
    assert corrected.quarantined == [2, 3]


def test_boots_of_one_agent_are_bounded():
    """An agent that invents machine boots pushes out its own, and nobody else's."""
    clocks = learned(push(agent="04793"))
    for number in range(200):
        clocks.learn(push(machine_boot=f"m{number}"), NOON)
    assert clocks.anchor(AGENT, "m0") is None
    assert clocks.anchor(AGENT, "m199") is not None
    assert clocks.anchor("04793", MACHINE) is not None


@given(
    steps=st.lists(st.floats(-3_600, 3_600), min_size=1, max_size=20),
    delays=st.lists(st.floats(0, 0.4), min_size=20, max_size=20),
    own=st.booleans(),
)
def test_steps_of_the_wall_clock_do_not_move_corrected_times(steps, delays, own):
    """Whatever the PC's wall clock does, a sample's time stays within the learned error."""
    clocks = Clocks()
    wrong = 0.0
    for second, step in enumerate(steps):
        wrong += step
        mono = 1_000.0 + second
        way = delays[second]
        sent = stamp(wall=max(0.0, ANCHOR + mono + wrong), mono=mono)
        anchored = {"anchor": ANCHOR + way / 4, "anchor_error": way / 2} if own else {}
        clocks.learn(push(sent=sent, **anchored), ANCHOR + mono + way)
        start = stamp(wall=max(0.0, ANCHOR + mono - 0.5 + wrong), mono=mono - 0.5)
        (time,) = times(clocks, start, received_at=ANCHOR + mono + way)
        assert abs(time - (ANCHOR + mono - 0.5)) <= 0.41


@given(
    at=st.floats(NOON - 1, NOON + 1),
    error=st.floats(0, 1),
    mono=st.floats(0, 1e6),
    wait=st.floats(0, 1e6),
)
def test_an_error_only_grows_with_age(at, error, mono, wait):
    """An anchor is never taken for better than when it was learned."""
    anchor = Anchor(agent=AGENT, machine_boot=MACHINE, at=at, error=error, learned_mono=mono)
    assert anchor.error_at(mono + wait) >= anchor.error_at(mono) == error
