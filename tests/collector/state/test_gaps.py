"""Gaps: each has one cause, and one that nothing speaks of is called unknown."""

import pytest

from agent.wire import Ranges, Tally
from collector.state.accounts import Boot
from collector.state.gaps import Gap, Life, find_gaps
from collector.state.stretch import Stretch

T = 1_751_342_400.0
HOUR = 3600.0
END = T + 10 * HOUR


def stretch(first: int, last: int, begin: float, end: float, **changes) -> Stretch:
    """Return some batches of boot a; times in hours from T."""
    fields = {
        "agent": "04792",
        "boot": "a",
        "machine_boot": "m",
        "hour": int((T + end * HOUR) // HOUR),
        "config": 1,
        "trusted": True,
        "first": first,
        "last": last,
        "begin": T + begin * HOUR,
        "end": T + end * HOUR,
        "up": 1e6 + begin * HOUR,
        "samples": last - first + 1,
        "before": Tally(),
        "after": Tally(),
    }
    return Stretch(**{**fields, **changes})


def boot(name: str, sealed: int, *stored: tuple[int, int], **changes) -> Boot:
    """Return what is known of a boot."""
    fields = {
        "boot": name,
        "sealed": sealed,
        "stored": Ranges(stored),
        "pending": Ranges(),
        "losses": {},
    }
    return Boot(**{**fields, **changes})


def gaps(*stretches: Stretch, boots: tuple[Boot, ...] = (), **changes) -> list[tuple]:
    """Return the gaps of ten hours: begin, end in hours, cause, and batches or an announcement."""
    fields = {
        "stretches": stretches,
        "boots": {one.boot: one for one in boots},
        "goodbyes": frozenset(),
        "heard_at": END,
    }
    found = find_gaps(Life(**{**fields, **changes}), T, END)
    return [
        (
            round((one.begin - T) / HOUR, 2),
            round((one.end - T) / HOUR, 2),
            one.cause,
            *([one.batches] if one.batches else []),
            *(["announced"] if one.announced else []),
        )
        for one in found
    ]


WHOLE = (stretch(1, 100, 0, 4), stretch(101, 200, 4, 10))


def test_an_agent_that_was_never_away_has_none():
    """Batches that follow each other leave nothing to explain."""
    assert gaps(*WHOLE, boots=(boot("a", 200, (1, 200)),)) == []


def test_a_cut_link_is_no_gap_once_the_backlog_is_in():
    """Whatever arrived late stands where it was measured."""
    late = stretch(51, 100, 2, 4)
    assert gaps(stretch(1, 50, 0, 2), WHOLE[1], late, boots=(boot("a", 200, (1, 200)),)) == []


@pytest.mark.parametrize("cause", ["pending", "dropped", "set_aside", "damaged", "memory"])
def test_a_hole_in_the_numbers_is_named_by_their_account(cause):
    """What became of the missing numbers is what the gap is called."""
    hole = Ranges([(51, 100)])
    how = {"pending": hole} if cause == "pending" else {"losses": {cause: hole}}
    one = boot("a", 200, (1, 50), (101, 200), **how)
    assert gaps(stretch(1, 50, 0, 2), WHOLE[1], boots=(one,)) == [(2.0, 4.0, cause, 50)]


def test_a_hole_of_two_causes_is_shared_by_numbers():
    """The oldest were given up, the rest still waits."""
    one = boot(
        "a",
        200,
        (1, 50),
        (101, 200),
        pending=Ranges([(76, 100)]),
        losses={"dropped": Ranges([(51, 75)])},
    )
    assert gaps(stretch(1, 50, 0, 2), WHOLE[1], boots=(one,)) == [
        (2.0, 3.0, "dropped", 25),
        (3.0, 4.0, "pending", 25),
    ]


def test_a_hole_nobody_speaks_of_is_unknown():
    """Numbers that are neither stored, held nor lost for a reason are called just that."""
    one = boot("a", 200, (1, 50), (101, 200))
    assert gaps(stretch(1, 50, 0, 2), WHOLE[1], boots=(one,)) == [(2.0, 4.0, "unknown", 50)]


@pytest.mark.parametrize(
    ("after", "cause"),
    [
        (Tally(slept=2 * HOUR), "asleep"),
        (Tally(stalled=1440), "stalled"),
        (Tally(busy=1440), "busy"),
        (Tally(lost=500), "memory"),
        (Tally(), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_pause_without_a_hole_is_named_by_what_the_agent_counted(after, cause):
    """No batch was made: the PC slept, the program stood still, or its runs were all busy."""
    assert gaps(
        stretch(1, 50, 0, 2),
        stretch(51, 200, 4, 10, before=after, after=after),
        boots=(boot("a", 200, (1, 200)),),
    ) == [(2.0, 4.0, cause)]


def test_a_clock_that_was_set_at_the_centre_is_no_pause():
    """The numbers follow each other, the PC's own clock says in which time: that hour never was."""
    set_ahead = stretch(51, 200, 4, 10, up=1e6 + 3 * HOUR)
    whole = (boot("a", 200, (1, 200)),)
    assert gaps(stretch(1, 50, 0, 3), set_ahead, boots=whole) == [(3.0, 4.0, "clock_set")]
    set_back = stretch(51, 100, 0, 1, up=1e6 + 6 * HOUR), stretch(1, 50, 4, 10, up=1e6)
    assert gaps(*set_back, boots=whole) == [(1.0, 4.0, "clock_set")]
    slept = stretch(51, 200, 4, 10, before=Tally(slept=HOUR))
    assert gaps(stretch(1, 50, 0, 3), slept, boots=whole) == [(3.0, 4.0, "asleep")]


def test_a_clock_that_was_set_while_the_program_was_stopped():
    """Most of what lies between two runs of it never was."""
    on = again(4, up=1e6 + 2 * HOUR + 60)
    assert gaps(stretch(1, 50, 0, 2), on, boots=BOOTS) == [(2.0, 4.0, "clock_set")]


def again(begin: float, **changes) -> Stretch:
    """Return the batches of the next boot of the program, until the end."""
    return stretch(1, 100, begin, 10, boot="b", **changes)


BOOTS = (boot("a", 50, (1, 50)), boot("b", 100, (1, 100)))


def test_a_pc_that_was_off():
    """Another boot of the machine: off from the last batch until it was switched on."""
    on = again(4, machine_boot="n", up=60.0)
    assert gaps(stretch(1, 50, 0, 2), on, boots=BOOTS) == [(2.0, 4.0, "pc_off")]


def test_a_program_that_began_long_after_its_pc():
    """The PC was on and the agent was not: two gaps."""
    on = again(4, machine_boot="n", up=HOUR)
    assert gaps(stretch(1, 50, 0, 2), on, boots=BOOTS) == [
        (2.0, 3.0, "pc_off"),
        (3.0, 4.0, "stopped"),
    ]


def test_a_program_that_was_stopped():
    """The same boot of the machine: only the agent was away, however shortly."""
    assert gaps(stretch(1, 50, 0, 2), again(4), boots=BOOTS) == [(2.0, 4.0, "stopped")]
    assert gaps(stretch(1, 50, 0, 2), again(2.01), boots=BOOTS) == [(2.0, 2.01, "stopped")]


def test_an_orderly_stop_is_told():
    """An office that is switched off at night is not an accident."""
    on = again(4, machine_boot="n", up=60.0)
    found = gaps(stretch(1, 50, 0, 2), on, boots=BOOTS, goodbyes=frozenset("a"))
    assert found == [(2.0, 4.0, "pc_off", "announced")]


def test_what_a_boot_did_not_hand_over_before_it_ended():
    """The tail of the old boot and the head of the new one have fates of their own."""
    old = boot("a", 75, (1, 50), losses={"memory": Ranges([(51, 75)])})
    new = boot("b", 100, (26, 100), pending=Ranges([(1, 25)]))
    on = stretch(26, 100, 7, 10, boot="b")
    assert gaps(stretch(1, 50, 0, 2), on, boots=(old, new)) == [
        (2.0, 3.02, "memory", 25),
        (3.02, 5.99, "stopped"),
        (5.99, 7.0, "pending", 25),
    ]


def test_an_agent_that_is_silent_now():
    """Nobody can know why before it is back; a goodbye says it."""
    some = stretch(1, 50, 0, 2)
    silent = {"boots": BOOTS[:1], "heard_at": some.end}
    assert gaps(some, **silent) == [(2.0, 10.0, "silent")]
    assert gaps(some, goodbyes=frozenset("a"), **silent) == [(2.0, 10.0, "stopped", "announced")]


def test_an_agent_that_is_heard_and_hands_nothing_over():
    """What it made and still holds is pending; making nothing, for no reason, is unknown."""
    some = stretch(1, 51, 0, 2)
    waiting = boot("a", 251, (1, 51), pending=Ranges([(52, 251)]), running=True)
    assert gaps(some, boots=(waiting,)) == [(2.0, 10.0, "pending", 200)]
    assert gaps(some, boots=(boot("a", 51, (1, 51), running=True),)) == [(2.0, 10.0, "unknown")]


def test_before_the_first_report():
    """A site that came late never reported before; of older times the centre keeps nothing."""
    some = stretch(1, 100, 4, 10)
    one = boot("a", 100, (1, 100))
    assert gaps(some, boots=(one,)) == [(0.0, 4.0, "never")]
    assert gaps(some, boots=(one,), kept_since=T + 1) == [(0.0, 4.0, "removed")]
    assert gaps(boots=()) == [(0.0, 10.0, "never")]


def test_a_boot_of_which_nothing_has_come_yet():
    """What an earlier boot holds was made before; what a later one holds, after."""
    held = boot("z", 70, pending=Ranges([(1, 70)]))
    known = boot("a", 100, (1, 100))
    assert gaps(stretch(1, 100, 4, 10), boots=(held, known)) == [(0.0, 4.0, "pending", 70)]
    assert gaps(stretch(1, 100, 0, 2), boots=(known, held)) == [(2.0, 10.0, "pending", 70)]
    assert gaps(boots=(held,)) == [(0.0, 10.0, "pending", 70)]


def test_the_beginning_of_a_first_boot_that_is_still_on_its_way():
    """Fresh data come first: the numbers before them are pending, and were made before them."""
    one = boot("a", 200, (101, 200), pending=Ranges([(1, 100)]))
    assert gaps(WHOLE[1], boots=(one,)) == [(0.0, 4.0, "pending", 100)]


def test_gaps_are_cut_to_the_window():
    """What began before it or ends behind it counts as far as it reaches in."""
    outside = stretch(1, 50, -4, -2), stretch(51, 60, 1, 11)
    one = boot("a", 60, (1, 60))
    (found,) = find_gaps(
        Life(stretches=outside, boots={"a": one}, goodbyes=frozenset(), heard_at=END), T, END
    )
    assert found == Gap(begin=T, end=T + HOUR, cause="unknown")
    assert found.seconds == HOUR


def test_times_nobody_vouches_for_explain_nothing():
    """A batch of an untrusted clock is stored, and stands nowhere in time."""
    lost_clock = stretch(51, 100, 9, 9, trusted=False)
    one = boot("a", 200, (1, 200))
    assert gaps(stretch(1, 50, 0, 2), lost_clock, WHOLE[1], boots=(one,)) == [
        (2.0, 4.0, "untrusted", 50)
    ]
