"""Accounts: every number under one word, and what is not known is said to be unaccounted for."""

from hypothesis import given
from hypothesis import strategies as st

from agent.wire import Ranges
from collector.state.accounts import (
    LOSSES,
    Account,
    Boot,
    Totals,
    account,
    add_losses,
    fates,
    place_losses,
    whole,
)


def ranges(*numbers: int) -> Ranges:
    """Return a set of numbers."""
    found = Ranges()
    for number in numbers:
        found.add(number)
    return found


def boot(name: str = "b", sealed: int = 10, **changes) -> Boot:
    """Return a boot whose batches are all stored."""
    fields = {
        "boot": name,
        "sealed": sealed,
        "stored": ranges(*range(1, sealed + 1)),
        "pending": Ranges(),
        "losses": {},
    }
    return Boot(**{**fields, **changes})


def test_all_is_well():
    """A boot of which everything arrived owes nothing."""
    assert account(boot()) == Account(
        boot="b",
        sealed=10,
        stored=10,
        pending=0,
        dropped=0,
        set_aside=0,
        damaged=0,
        memory=0,
        unaccounted=0,
    )


def test_what_is_stored_is_stored_whatever_was_said():
    """A word that was overtaken (held, lost) gives way to what the journal has."""
    one = boot(
        stored=ranges(1, 2, 3, 7),
        pending=ranges(3, 4, 5),
        losses={"dropped": ranges(5, 6, 7), "memory": ranges(9)},
    )
    found = fates(one)
    assert list(found["stored"]) == [(1, 3), (7, 7)]
    assert list(found["pending"]) == [(4, 5)]
    assert list(found["dropped"]) == [(6, 6)]
    assert list(found["memory"]) == [(9, 9)]
    assert list(found["unaccounted"]) == [(8, 8), (10, 10)]


def test_the_agents_totals_name_the_loss():
    """So many given up, so many set aside: the oldest numbers are those of the bounds."""
    old = boot("a", 8, stored=ranges(7, 8))
    new = boot("b", 5, stored=ranges(1, 2, 4, 5), running=True)
    placed = place_losses([old, new], Totals(dropped=6, set_aside=1))
    assert [(name, word, list(numbers)) for name, word, numbers in placed] == [
        ("a", "dropped", [(1, 6)]),
        ("b", "set_aside", [(3, 3)]),
    ]


def test_losses_that_are_known_are_not_named_twice():
    """Totals go on counting from what was found before."""
    old = boot("a", 8, stored=ranges(7, 8), losses={"dropped": ranges(1, 2, 3)})
    placed = place_losses([old], Totals(dropped=6))
    assert [(name, word, list(numbers)) for name, word, numbers in placed] == [
        ("a", "dropped", [(4, 6)])
    ]


def test_what_only_memory_held_went_with_its_boot():
    """A number told before its batch was on disk is lost when the program is killed, and named."""
    old = boot("a", 9, stored=ranges(*range(1, 8)), left=ranges(7, 8, 9))
    assert [
        (name, word, list(numbers)) for name, word, numbers in place_losses([old], Totals())
    ] == [("a", "memory", [(8, 9)])]


def test_what_was_acknowledged_and_is_gone_is_never_explained_away():
    """A journal that was put back from a backup lacks what agents have deleted since."""
    old = boot("a", 9, stored=ranges(*range(1, 8)))
    assert place_losses([old], Totals()) == []
    assert account(old).unaccounted == 2


def test_a_running_boot_is_not_guessed_at():
    """What is missing of it, and counted by nobody, is unaccounted for."""
    new = boot("b", 5, stored=ranges(1, 2, 4, 5), running=True)
    assert place_losses([new], Totals()) == []
    assert account(new).unaccounted == 1


numbers = st.sets(st.integers(1, 30))


@given(
    sealed=st.integers(0, 30),
    stored=numbers,
    pending=numbers,
    lost=st.fixed_dictionaries({}, optional=dict.fromkeys(LOSSES, numbers)),
    totals=st.tuples(st.booleans(), *[st.integers(0, 9)] * 3),
)
def test_the_parts_add_up(sealed, stored, pending, lost, totals):
    """Every number stands under one word; naming losses only takes from the unaccounted."""
    running, dropped, aside, damaged = totals
    one = boot(
        sealed=sealed,
        stored=ranges(*stored),
        pending=ranges(*pending),
        losses={word: ranges(*of) for word, of in lost.items()},
        running=running,
        left=ranges(*range(1, 16)),
    )
    before = account(one)
    placed = place_losses([one], Totals(dropped=dropped, set_aside=aside, damaged=damaged))
    add_losses(one, [(word, found) for _, word, found in placed])
    after = account(one)
    for each in (before, after):
        assert each.sealed == sum(
            value for word, value in whole([each]).items() if word != "sealed"
        )
    assert (after.stored, after.pending) == (before.stored, before.pending)
    assert after.unaccounted <= before.unaccounted
    assert running or after.unaccounted == fates(one)["unaccounted"].without(one.left).total
