from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.export import parts
from collector.export.parts import (
    FIRST_RETRY_SECONDS,
    STICKS_SECONDS,
    Answer,
    Health,
    Load,
    Part,
)
from collector.export.write_request import Points, write_labels

TAKEN, BAD, SICK = Answer(204), Answer(400, "out of bounds"), Answer(500, "too old sample")
SLOWEST = 30.0
Point = tuple[bytes, int]
"""A series and a time."""


def series_of(shape: list[int]) -> dict[bytes, Points]:
    """Return series with so many points each."""
    return {
        write_labels({"__name__": f"s{number}"}): [(at, 1.0) for at in range(points)]
        for number, points in enumerate(shape)
    }


def points_of(part: Part) -> set[Point]:
    """Return what is in a part."""
    return {(series, at) for series, points in part.series.items() for at, _ in points}


def load_of(shape: list[int], *, patience: float = STICKS_SECONDS) -> Load:
    """Return a load of series with so many points each."""
    return Load(series_of(shape), patience=patience, slowest=SLOWEST)


class Run:
    """Sends a load to a receiver that answers by what is in a request, on a clock of its own."""

    def __init__(self, load: Load, answer: Callable[[set[Point]], Answer]) -> None:
        self.load = load
        self.answer = answer
        self.now = 1_000.0
        self.health = Health()
        self.taken: list[Point] = []
        self.dead: list[Point] = []
        self.waits: list[float] = []
        self.bodies: list[bytes] = []

    def step(self) -> bool:
        """Post once; False when nothing is left."""
        part = self.load.next()
        if part is None:
            return False
        self.bodies.append(part.body)
        answer = self.answer(points_of(part))
        wait, dead = self.load.answered(answer, self.health, self.now)
        if answer.verdict == "taken":
            self.taken += points_of(part)
        if dead is not None:
            self.dead += points_of(dead)
        self.waits.append(wait)
        self.now += wait + 0.01
        return True

    def steps(self, most: int) -> int:
        """Post until nothing is left, so many times at most; return how often it was."""
        return next((count for count in range(most) if not self.step()), most)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(200), "taken"),
        (Answer(204), "taken"),
        (Answer(302), "trouble"),
        (Answer(400), "refused"),
        (Answer(401), "trouble"),
        (Answer(403), "trouble"),
        (Answer(404), "trouble"),
        (Answer(409), "refused"),
        (Answer(413), "refused"),
        (Answer(422), "refused"),
        (Answer(429), "wait"),
        (Answer(500), "trouble"),
        (Answer(503), "trouble"),
        (Answer(503, retry_after=3.0), "wait"),
        (Answer(0), "trouble"),
    ],
)
def test_each_code_means_one_thing(answer, verdict):
    """The table in the module's docstring."""
    assert answer.verdict == verdict


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=40),
    st.sets(st.integers(0, 10**6), max_size=8),
    st.sampled_from([BAD, Answer(413), SICK]),
)
def test_exactly_the_bad_samples_are_given_up(shape, bad, answer):
    """Whatever is refused among good ones: all good ones arrive once, the bad ones are dead letters."""
    whole = sorted(points_of(Part(series_of(shape))))
    poison = {whole[one % len(whole)] for one in bad}
    run = Run(load_of(shape), lambda sent: answer if sent & poison else TAKEN)
    for _ in range(3_000):
        if not run.step():
            break
        run.health.taken(run.now)  # the other lane's

    assert sorted(run.dead) == sorted(poison)
    assert sorted(run.taken) == sorted(set(whole) - poison)


@pytest.mark.parametrize("answer", [BAD, SICK, Answer(0), Answer(404), Answer(401), Answer(302)])
def test_nothing_is_given_up_where_nothing_is_taken(answer):
    """A receiver, a proxy or an address that is wrong refuses everything: the data waits."""
    run = Run(load_of([3] * 50), lambda _: answer)
    posts = run.steps(300)

    assert (run.dead, run.taken, run.load.points) == ([], [], 150)
    assert posts == 300
    assert run.now - 1_000.0 > 1_000
    assert max(run.waits) <= SLOWEST

    run.answer = lambda _: TAKEN
    run.steps(300)
    assert (len(run.taken), run.dead) == (150, [])


@pytest.mark.parametrize("answer", [Answer(0), Answer(404), Answer(401), Answer(302)])
def test_what_is_not_the_datas_fault_never_parts_a_request(answer):
    """However long it lasts, and whatever the other lane gets through: the same bytes again."""
    run = Run(load_of([3] * 50), lambda _: answer)
    for _ in range(100):
        run.step()
        run.health.taken(run.now)

    assert len(set(run.bodies)) == 1


def test_a_retry_is_the_same_bytes_ever_later():
    """Trouble is waited out: half a second, then twice as long each time, half a minute at most."""
    run = Run(load_of([2, 2]), lambda _: Answer(503))
    for _ in range(7):
        run.step()

    assert len(set(run.bodies)) == 1
    for number, wait in enumerate(run.waits):
        longest = min(FIRST_RETRY_SECONDS * 2**number, SLOWEST)
        assert longest / 2 <= wait <= longest


def test_a_receiver_says_when_to_come_back():
    """Retry-After is honoured, up to five minutes, and blames nobody."""
    run = Run(load_of([2]), lambda _: Answer(429, retry_after=7.0))
    run.step()
    run.answer = lambda _: Answer(503, retry_after=86_400.0)
    run.step()

    assert run.waits == [7.0, 300.0]
    assert len(set(run.bodies)) == 1


def test_a_500_that_sticks_is_looked_into_after_a_minute_only():
    """Before, it may be the receiver that is restarting; after, one sample is to blame."""
    poison = (write_labels({"__name__": "s1"}), 0)
    run = Run(load_of([3, 3, 3]), lambda sent: SICK if poison in sent else TAKEN)
    while run.now < 1_000.0 + STICKS_SECONDS:
        assert run.step()
        assert run.load.points == 9
        run.health.taken(run.now)
    run.steps(50)

    assert run.dead == [poison]
    assert len(run.taken) == 8


def test_a_receiver_that_was_down_does_not_blame_what_failed_meanwhile():
    """Ten minutes of 500 to everything, then it takes the others: once more 500 proves nothing."""
    run = Run(load_of([1]), lambda _: SICK)
    while run.now < 1_600.0:
        run.step()
    run.health.taken(run.now)
    for _ in range(3):
        run.step()
    assert (run.dead, run.load.points) == ([], 1)

    while run.step():
        run.health.taken(run.now)
    assert len(run.dead) == 1
    assert run.now > 1_600.0 + STICKS_SECONDS


def test_what_stands_alone_and_waits_is_told():
    """The live lane leaves such a rest to the backlog lane."""
    poison = (write_labels({"__name__": "s1"}), 1)
    run = Run(load_of([3, 3, 3], patience=10.0), lambda sent: SICK if poison in sent else TAKEN)
    assert run.load.stuck_since is None
    for _ in range(30):
        run.step()

    assert run.load.points == 1
    assert run.load.stuck_since == 1_000.0
    assert len(run.taken) == 8


def test_many_refused_among_many_are_found_while_nothing_else_passes():
    """No other lane is needed: the good ones of the load itself prove that the receiver is well."""
    poison = {(write_labels({"__name__": f"s{number}"}), 0) for number in range(0, 500, 7)}
    run = Run(load_of([1] * 500), lambda sent: BAD if sent & poison else TAKEN)
    run.steps(5_000)

    assert sorted(run.dead) == sorted(poison)
    assert len(run.taken) == 500 - len(poison)
    assert run.now - 1_000.0 < 60


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_no_request_is_larger_than_a_receiver_likes(shape):
    """Series stay whole where they fit; nothing is left out or doubled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "MAX_POINTS", 50)
        load = load_of(shape)
        sent = []
        while (part := load.next()) is not None:
            assert part.points <= 50
            sent += points_of(part)
            load.answered(TAKEN, Health(), 0.0)

    assert sorted(sent) == sorted(points_of(Part(series_of(shape))))
