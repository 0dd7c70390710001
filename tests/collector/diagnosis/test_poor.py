import pytest

from collector.diagnosis.poor import good_since, is_poor, poor
from collector.state.fleet import Fleet
from tests.collector.a_province import NOON
from tests.collector.diagnosis.poor_province import SITES, STEP, Day, province

VNPT, VIETTEL = SITES[0::2], SITES[1::2]
DOWN = {"delay": None}
SLOW, LOSSY, SHAKY = 0.2, {"delay": 0.01, "lost": 1}, {"delay": 0.01, "jitter": 0.08}


def found(day: Day) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return cause, key and sites of what is poor."""
    return [(one.cause, one.key, one.sites) for one in poor(day.fleet, day.now)]


@pytest.fixture
def day() -> Day:
    """Return a day on which everything was well for long enough."""
    day = Day()
    day.goes_on(30)
    return day


LINE = ("line_degraded", "line/00000", ("00000",))
CASES = {
    "nothing": ([], []),
    "one slow line": ([(SITES[:1], "internet", SLOW)], [LINE]),
    "one shaky line": ([(SITES[:1], "internet", SHAKY)], [LINE]),
    "one lossy line": ([(SITES[:1], "internet", LOSSY)], [LINE]),
    "a TSLCD line": (
        [(SITES[:1], "tslcd", 0.06)],
        [("line_degraded", "line/00000/tslcd", ("00000",))],
    ),
    "a line up to the floor": ([(SITES[:1], "internet", 0.099)], []),
    "two lines of a carrier are two": (
        [(VNPT[:2], "internet", SLOW)],
        [LINE, ("line_degraded", "line/00002", ("00002",))],
    ),
    "half the lines of a carrier are one": (
        [(VNPT[:3], "internet", SLOW)],
        [("line_degraded", "vnpt", VNPT[:3])],
    ),
    "lines of two carriers are one each": (
        [(SITES, "internet", SLOW)],
        [("line_degraded", "vnpt", VNPT), ("line_degraded", "viettel", VIETTEL)],
    ),
    "all lines of TSLCD": ([(SITES, "tslcd", SLOW)], [("line_degraded", "tslcd", SITES)]),
    "a bad LAN is no line's fault": (
        [(SITES[:1], check, SLOW) for check in ("gateway", "internet", "tslcd", "vc")],
        [],
    ),
    "a bad LAN takes no part in a carrier's fault": (
        [(SITES[:1], "gateway", SLOW), (VNPT, "internet", SLOW)],
        [("line_degraded", "vnpt", VNPT[1:])],
    ),
    "a line explains pages and conference": (
        [(SITES[:4], check, SLOW) for check in ("internet", "vc")] + [(SITES[:4], "tthc", 6.0)],
        [
            LINE,
            ("line_degraded", "line/00002", ("00002",)),
            ("line_degraded", "line/00001", ("00001",)),
            ("line_degraded", "line/00003", ("00003",)),
        ],
    ),
    "one point of the conference": (
        [(SITES[:1], "vc", SLOW)],
        [("vc_degraded", "conference/vc/00000", ("00000",))],
    ),
    "the conference of all": ([(SITES, "vc", SLOW)], [("vc_degraded", "vc", SITES)]),
    "bad sound at one point": (
        [(SITES[:1], "vc-sound", {"mos": 3.2})],
        [("vc_degraded", "conference/vc/00000", ("00000",))],
    ),
    "sound that comes too late": (
        [(SITES[:1], "vc-sound", {"late": 0.02})],
        [("vc_degraded", "conference/vc/00000", ("00000",))],
    ),
    "a slow system": ([(SITES[:3], "tthc", 4.0)], [("system_slow", "tthc", SITES[:3])]),
    "a system slow from two sites is nobody's": ([(SITES[:2], "tthc", 4.0)], []),
    "a slow system beside a bad carrier": (
        [(VNPT, "internet", SLOW), (SITES, "tthc", 4.0)],
        [("line_degraded", "vnpt", VNPT), ("system_slow", "tthc", VIETTEL)],
    ),
    "one of two anchors is no line": ([(SITES[:1], "internet 203.0.113.129", SLOW)], []),
    "a dead line is not degraded": ([(SITES[:1], "internet", DOWN)], []),
}


@pytest.mark.parametrize(("worse", "expected"), CASES.values(), ids=CASES)
def test_what_is_poor_is_told_once_and_of_whom_it_is(day, worse, expected):
    """Each way of being poor gives the causes that explain it, and names nobody else."""
    day.goes_on(14, *worse)

    assert expected == found(day)


def test_a_finding_tells_what_was_measured_and_the_limits(day):
    """The facts have the delay, what was usual and the limit; the time is the first slow attempt's."""
    begun = day.now
    day.goes_on(14, (SITES[:1], "internet", SLOW))
    (one,) = poor(day.fleet, day.now)

    assert ("vnpt", "vnpt", "VNPT") == (one.carrier, one.line, one.owner)
    assert begun == one.since
    assert {"line/00000": "internet: delay 200 ms (usual 10 ms, limit 100 ms)"} == one.facts


def test_a_slow_system_tells_from_where_it_was_seen(day):
    """What is shared has its share among the facts, and three examples at most."""
    day.goes_on(14, (SITES[:5], "tthc", 4.0))
    (one,) = poor(day.fleet, day.now)

    assert ("central", "tthc", "VNPT") == (one.scope, one.system, one.owner)
    assert {
        "seen from": "5 of 12 sites",
        "web/tthc/00000": "tthc: delay 4000 ms (usual 400 ms, limit 3000 ms)",
        "web/tthc/00001": "tthc: delay 4000 ms (usual 400 ms, limit 3000 ms)",
        "web/tthc/00002": "tthc: delay 4000 ms (usual 400 ms, limit 3000 ms)",
    } == one.facts


def test_a_line_covers_what_goes_over_it(day):
    """What a poor line explains is named with it, so that it is no trouble of its own."""
    day.goes_on(
        14, (SITES[:1], "internet", SLOW), (SITES[:1], "vc", SLOW), (SITES[:1], "tthc", 6.0)
    )
    (one,) = poor(day.fleet, day.now)

    assert {"conference/vc/00000", "web/tthc/00000"} == one.covers
    assert all(is_poor(day.fleet, name) for name in one.covers)


@pytest.mark.parametrize(("at", "severity"), [(NOON, "ticket"), (NOON + 3600, "page")])
def test_it_pages_while_a_phase_is_on(at, severity):
    """What is slow wakes somebody in a phase of the event, and is a ticket on other days."""
    day = Day(at)
    day.goes_on(30)
    day.goes_on(14, (SITES, "vc", SLOW))

    assert [severity] == [one.severity for one in poor(day.fleet, day.now)]


def test_what_nobody_here_can_mend_is_a_ticket():
    """An external system that is slow wakes nobody, not even during the ceremony."""
    day = Day(NOON + 3600)
    day.goes_on(30)
    day.goes_on(14, (SITES, "dvcqg", 6.0))

    assert [("system_slow", "ticket")] == [
        (one.cause, one.severity) for one in poor(day.fleet, day.now)
    ]


@pytest.mark.parametrize(("at", "poor_now"), [(NOON, []), (NOON + 3600, [LINE])])
def test_the_ceremony_is_judged_by_stricter_limits(at, poor_now):
    """A delay that passes on other days is too long by the limits of the phase's profile."""
    day = Day(at)
    day.goes_on(30)
    day.goes_on(14, (SITES[:1], "internet", 0.07))

    assert poor_now == found(day)


def test_limits_change_when_a_phase_begins():
    """A line that was slow all along is poor soon after the ceremony's limits came into force."""
    day = Day(NOON + 3600 - 60 * STEP)
    day.goes_on(30)
    day.goes_on(30, (SITES[:1], "internet", 0.07))
    assert [] == found(day)

    day.goes_on(14, (SITES[:1], "internet", 0.07))

    assert [LINE] == found(day)


def test_recovery_is_told_with_its_time(day):
    """A line that is well again for two minutes is good from the first of those attempts on."""
    day.goes_on(14, (SITES[:1], "internet", SLOW))
    assert good_since(day.fleet, "line/00000") is None
    well = day.now

    day.goes_on(22)
    assert [LINE] == found(day)
    day.goes_on(3)

    assert [] == found(day)
    assert 0 <= good_since(day.fleet, "line/00000") - well <= STEP


def test_a_line_that_died_is_neither_poor_nor_good(day):
    """Down is not degraded; and what opened before is not over because the line is dead."""
    day.goes_on(14, (SITES[:1], "internet", SLOW))
    assert is_poor(day.fleet, "line/00000")
    day.goes_on(4, (SITES[:1], "internet", DOWN))

    assert [] == found(day)
    assert not is_poor(day.fleet, "line/00000")
    assert good_since(day.fleet, "line/00000") is None


def test_an_outage_leaves_no_loss_behind(day):
    """What was lost before and while a line was down is not held against it when it is back."""
    for _ in range(8):
        day.goes_on(10, (SITES[:1], "internet", DOWN))
        assert not day.fleet.quality.poor
        day.goes_on(10)

        assert [] == found(day)


def test_silence_is_neither_poor_nor_good(day):
    """A PC that says nothing leaves what is known of its line open."""
    day.goes_on(14, (SITES[:1], "internet", SLOW))
    day.goes_on(5, *((SITES[:1], check, "nothing") for check in ("internet", "vc", "tthc")))

    assert [] == found(day)
    assert good_since(day.fleet, "line/00000") is None


def test_after_a_restart_nothing_is_called_good_before_it_is_known(day):
    """A new fleet learns what is usual first; until then an open incident stays open."""
    restarted = Day(day.now)
    restarted.goes_on(20)
    assert good_since(restarted.fleet, "line/00000") is None

    restarted.goes_on(10)

    assert good_since(restarted.fleet, "line/00000") is not None


def test_history_is_not_judged(day):
    """Samples that are older than the newest change nothing, however bad they are."""
    slow = [
        (series, day.fleet.series[series].sample)
        for series in day.fleet.series
        if series.check == "internet"
    ]
    before = [day.fleet.series[series].meter.seen for series, _ in slow]
    for series, sample in slow:
        for late in range(20):
            day.fleet.apply(series.agent, sample, NOON + late, trusted=True, now=day.now)

    assert before == [day.fleet.series[series].meter.seen for series, _ in slow]


def test_what_left_the_inventory_is_not_known(day):
    """A subject that nobody measures any more is not called good."""
    assert good_since(day.fleet, "line/99999") is None
    assert not is_poor(day.fleet, "line/99999")


def test_a_reload_keeps_what_is_usual_and_poor(day):
    """The same province read again changes nothing of what is poor."""
    day.goes_on(14, (SITES[:1], "internet", SLOW))
    before = found(day)
    day.fleet.reload(province(), day.now)

    assert before == found(day) == [LINE]


def test_a_fleet_that_is_well_is_not_searched():
    """Where nothing is poor, nothing is looked at."""
    assert [] == poor(Fleet(province(), started_at=NOON), NOON)
