"""Ranges against a plain set of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import Ranges

numbers = st.integers(1, 60)
spans = st.tuples(numbers, st.integers(0, 12)).map(lambda span: (span[0], span[0] + span[1]))


def runs(numbers: set[int]) -> list[tuple[int, int]]:
    """Return a set as inclusive ranges, in the plainest way there is."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


@given(st.lists(spans, max_size=30))
def test_is_a_set_of_numbers(added):
    """Whatever is added in whatever order, the ranges are those of the set, as few as can be."""
    ranges = Ranges()
    model: set[int] = set()
    for first, last in added:
        ranges.add(first, last)
        model |= set(range(first, last + 1))

        assert runs(model) == list(ranges)
        assert len(runs(model)) == len(ranges)
    for number in range(80):
        assert (number in model) == (number in ranges)


@given(st.lists(spans, max_size=30))
def test_is_made_of_ranges_in_any_order(added):
    """Making it of ranges is adding them one by one, and its own ranges make it again."""
    ranges = Ranges(added)

    assert runs({n for first, last in added for n in range(first, last + 1)}) == list(ranges)
    assert list(ranges) == list(Ranges(reversed(list(ranges))))


@given(st.permutations(range(1, 30)))
def test_grows_into_one_range(order):
    """Single numbers that follow each other end as one range, whatever came first."""
    ranges = Ranges()
    for number in order:
        ranges.add(number)

    assert list(ranges) == [(1, 29)]


def test_refuses_a_range_that_ends_before_it_begins():
    """Such a range is a mistake of the caller, not an empty set."""
    with pytest.raises(ValueError) as caught:
        Ranges().add(5, 4)

    assert str(caught.value) == "range 5-4 ends before it begins"


def test_shows_itself():
    """Its repr is its ranges, and adding by a single number touches what lies beside it."""
    ranges = Ranges([(1, 3), (7, 7)])
    ranges.add(4)

    assert repr(ranges) == "Ranges([(1, 4), (7, 7)])"


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_without_leaves_what_is_not_there(ours, theirs):
    """The difference is that of sets, and is counted as such."""
    left = ranges_of(ours).without(ranges_of(theirs))
    assert {n for first, last in left for n in range(first, last + 1)} == ours - theirs
    assert left.total == len(ours - theirs)
    assert list(left) == list(ranges_of(ours - theirs))


def ranges_of(numbers):
    """Return a set of numbers as ranges."""
    found = Ranges()
    for number in numbers:
        found.add(number)
    return found
