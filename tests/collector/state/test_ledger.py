"""Ledger: what was to be measured, what was, and where the rest is."""

from agent.wire import Ranges, Tally
from collector.state.gaps import Life
from collector.state.ledger import (
    AgentLedger,
    CheckLedger,
    Counted,
    Planned,
    add_up,
    agent_ledger,
    in_force,
)
from tests.collector.state.test_gaps import END, HOUR, WHOLE, T, boot, stretch

GATEWAY = Planned("cong", "192.0.2.1", "", "icmp", 10.0)
PORTAL = Planned("tthc", "https://tthc.example", "vnpt", "http", 60.0)
MEDIA = Planned("vc", "bridge.example:20000", "", "media", 3600.0)
PLANS = {1: [GATEWAY, PORTAL, MEDIA]}
ALL = boot("a", 200, (1, 200))


def counted(run: Planned = GATEWAY, runs: int = 3_600, **changes) -> Counted:
    """Return attempts of boot a: all runs of ten hours, each once."""
    fields = {
        "check": run.check,
        "target": run.target,
        "line": run.line,
        "kind": run.kind,
        "boot": "a",
        "first": 1,
        "last": runs,
        "stored": runs,
        "runs": runs,
        "apart": 0,
        "doubled": 0,
    }
    return Counted(**{**fields, **changes})


def ledger(*counts: Counted, stretches=WHOLE, boots=(ALL,), plans=None) -> AgentLedger:
    """Return the ledger of ten hours."""
    life = Life(
        stretches=stretches,
        boots={one.boot: one for one in boots},
        goodbyes=frozenset(),
        heard_at=END,
    )
    return agent_ledger("04792", (T, END), life, counts, PLANS if plans is None else plans)


def check(of: AgentLedger, name: str = "cong") -> CheckLedger:
    """Return one check of a ledger."""
    return next(one for one in of.checks if one.check == name)


def test_everything_is_there():
    """Expected, made and stored agree; nothing is missing, doubled or unaccounted for."""
    found = ledger(counted(), counted(PORTAL, 600))
    assert check(found) == CheckLedger(
        check="cong", expected=3_600, made=3_600, stored=3_600, runs=3_600, missing={}
    )
    assert (check(found).complete, check(found, "tthc").expected) == (1.0, 600)
    assert (found.unaccounted, found.doubled, found.gaps) == (0, 0, [])
    assert [one.boot for one in found.accounts] == ["a"]


def test_what_lies_in_another_hour_is_not_lost():
    """The centre's clock was an hour ahead for a while, also at first: what came then is stored."""
    ahead = (stretch(1, 20, 11, 11.1), stretch(21, 50, 0, 4), stretch(101, 200, 4, 10))
    one = counted(runs=3_600, first=361, stored=2_340, elsewhere=900)
    found = check(ledger(one, stretches=ahead))
    assert (found.made, found.stored, found.lost) == (2_340, 2_340, 0)


def test_runs_in_slots_are_expected_by_nobody():
    """Only the centre knows when they may begin: what came of them is counted, nothing is missing."""
    found = ledger(counted(), counted(MEDIA, 4))
    media = check(found, "vc")
    assert (media.expected, media.stored, media.missing, media.complete) == (None, 4, {}, None)


def test_a_night_off_is_the_cause_of_what_is_missing():
    """Each missing run stands under the gap it fell into."""
    stretches = stretch(1, 50, 0, 2), stretch(1, 100, 6, 10, boot="b", machine_boot="n", up=30.0)
    found = ledger(
        counted(runs=720),
        counted(runs=1_440, boot="b"),
        counted(PORTAL, 120),
        counted(PORTAL, 240, boot="b"),
        stretches=stretches,
        boots=(boot("a", 50, (1, 50)), boot("b", 100, (1, 100))),
    )
    assert check(found).missing == {"pc_off": 1_440}
    assert check(found, "tthc").missing == {"pc_off": 240}
    assert check(found).complete == 0.6
    assert check(found).lost == 0


def test_what_the_agent_counted_itself_explains_the_rest():
    """Runs that could not begin are told as a sum: it covers so many, and no more."""
    after = Tally(busy=20, stalled=5, lost=2)
    whole = stretch(1, 200, 0, 10, after=after)
    found = ledger(counted(runs=3_570), counted(PORTAL, 600), stretches=(whole,))
    assert check(found).missing == {"busy": 20, "stalled": 5, "memory": 2, "unknown": 3}
    assert check(found, "tthc").missing == {}


def test_what_the_agent_says_comes_before_the_edges_of_a_gap():
    """A run more than fits into a gap is put there only if nothing else explains it."""
    after = Tally(busy=2)
    stretches = stretch(1, 50, 0, 2), stretch(51, 200, 4, 10, before=after, after=after)
    found = ledger(counted(runs=3_600 - 720 - 3), stretches=stretches, plans={1: [GATEWAY]})
    assert check(found).missing == {"busy": 723}
    stopped = stretch(1, 50, 0, 2), stretch(1, 100, 4, 10, boot="b", before=Tally(), after=after)
    found = ledger(
        counted(runs=720),
        counted(runs=3_600 - 1_440 - 4, boot="b"),
        stretches=stopped,
        boots=(boot("a", 50, (1, 50)), boot("b", 100, (1, 100))),
        plans={1: [GATEWAY]},
    )
    assert check(found).missing == {"stopped": 722, "busy": 2}


def test_tallies_of_a_boot_are_not_counted_twice():
    """They are totals: what stood in an earlier hour, or before the window, is taken off."""
    stretches = (
        stretch(1, 100, 0, 4, before=Tally(), after=Tally(busy=4)),
        stretch(101, 200, 4, 10, before=Tally(busy=6), after=Tally(busy=10)),
    )
    found = ledger(counted(runs=3_580), counted(PORTAL, 600), stretches=stretches)
    assert check(found).missing == {"busy": 10, "unknown": 10}


def test_attempts_that_were_made_and_never_came():
    """The agent numbers its attempts: a number that is not stored was lost on the way."""
    hole = boot("a", 200, (1, 50), (101, 200), losses={"dropped": Ranges([(51, 100)])})
    found = ledger(
        counted(runs=2_880, last=3_650, stored=2_930),
        stretches=(stretch(1, 50, 0, 2), WHOLE[1]),
        boots=(hole,),
        plans={1: [GATEWAY]},
    )
    one = check(found)
    assert (one.made, one.stored, one.lost, one.missing) == (3_650, 2_930, 720, {"dropped": 720})
    assert found.accounts[0].dropped == 50


def test_attempts_of_a_boot_that_began_before_count_from_the_first_seen():
    """Of a boot that ran already, the numbers before the window are another window's."""
    stretches = stretch(1, 10, -3, -1), stretch(11, 200, -1, 10)
    found = ledger(counted(first=1_000, last=4_599), stretches=stretches)
    assert (check(found).made, check(found).lost) == (3_600, 0)


def test_a_first_boot_whose_beginning_is_lost():
    """Attempts count from 1: what came before the first stored one was made too."""
    found = ledger(counted(first=11, last=3_610))
    assert (check(found).made, check(found).lost) == (3_610, 10)


def test_what_is_doubled_is_told():
    """A batch counted twice, or an attempt that came more often than it was made."""
    twice = stretch(1, 200, 0, 10, repeated=2)
    found = ledger(counted(doubled=3), stretches=(twice,))
    assert (found.repeated, found.doubled) == (2, 5)


def test_samples_without_a_time_are_stored_and_apart():
    """They arrived and are kept, and belong to no minute: missing, with that cause."""
    found = ledger(counted(runs=3_000, stored=3_600, last=3_600, apart=600))
    assert (check(found).stored, check(found).apart) == (3_600, 600)
    assert check(found).missing == {"untrusted": 600}


def test_more_than_was_expected_is_no_debt():
    """The first and last run of a window may both fall into it."""
    found = ledger(counted(runs=3_601))
    assert (check(found).missing, check(found).complete) == ({}, 1.0)


def test_each_configuration_rules_while_the_agent_goes_by_it():
    """A calmer profile expects less; a gap is the earlier one's, which was in force then."""
    stretches = (
        stretch(1, 50, 0, 2),
        stretch(51, 60, 4, 5),
        stretch(61, 200, 5, 10, config=2),
    )
    assert in_force(stretches, PLANS, (T, END)) == [
        (T, T + 5 * HOUR, 1),
        (T + 5 * HOUR, END, 2),
    ]
    calm = Planned("cong", "192.0.2.1", "", "icmp", 30.0)
    found = ledger(counted(runs=1_080 + 600), stretches=stretches, plans={1: [GATEWAY], 2: [calm]})
    assert check(found).expected == 1_800 + 600
    assert check(found).missing == {"unknown": 720}


def test_a_window_without_any_batch_goes_by_what_was_told():
    """A site that never reported owes everything that it was told to measure."""
    found = ledger(stretches=(), boots=())
    assert check(found).missing == {"never": 3_600}
    assert (check(found).expected, check(found).complete) == (3_600, 0.0)
    assert ledger(stretches=(), boots=(), plans={}).checks == []


def test_a_configuration_of_the_pcs_own_expects_nothing_here():
    """The centre never gave it, and cannot say what it asks for."""
    own = stretch(1, 200, 0, 10, config=0)
    found = ledger(counted(), stretches=(own,))
    assert (check(found).expected, check(found).missing, check(found).runs) == (None, {}, 3_600)


def test_the_agents_of_a_site_add_up():
    """One line a check, whoever runs it."""
    one = ledger(counted(runs=3_500), counted(PORTAL, 600))
    other = ledger(counted(), plans={1: [GATEWAY]})
    sums = {found.check: found for found in add_up([one, other])}
    assert sums["cong"] == CheckLedger(
        check="cong",
        expected=7_200,
        made=7_100,
        stored=7_100,
        runs=7_100,
        missing={"unknown": 100},
    )
    assert sums["tthc"].expected == 600
