"""Answers are entered where they belong, whatever order and shape they come in."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.echo import TOKEN_BYTES, Burst, Ledger, Moment, round_trip
from agent.probes.icmp_message import Refusal, Reply
from agent.wire import Failure

NOW = Moment(1000.5, 20.5, 20.5)


def burst(address="192.0.2.1", count=3, size_bytes=56) -> Burst:
    """Return a burst as a check would ask for it."""
    return Burst(address, count, spacing_seconds=0.2, wait_seconds=1.0, size_bytes=size_bytes)


def begun(ledger: Ledger, **kwargs) -> Burst:
    """Return a burst of which every echo has left."""
    new = burst(**kwargs)
    ledger.begin(new)
    for _ in range(new.count):
        ledger.sent(new, ledger.next_sequence(), Moment(1000.0, 20.0, 20.0))
    return new


def refusal(sequence: int, payload: bytes, destination="192.0.2.1") -> Refusal:
    """Return a router's word."""
    return Refusal(sequence, payload, destination, Failure.HOST_UNREACHABLE, "gone", "192.0.2.254")


@pytest.mark.parametrize(
    ("sent", "now", "stamp", "expected"),
    [
        ((1000.0, 20.0, 20.0), (1000.06, 20.06, 20.06), 1000.01, 0.01),
        ((1000.3, 20.0, 20.3), (1001.2, 20.6, 21.3), 1000.31, 0.01),
        ((1000.0, 20.0, 20.0), (1000.06, 20.06, 20.06), None, 0.06),
        ((1000.0, 20.0, 20.0), (1010.06, 20.06, 20.06), 1010.01, 0.06),
        ((1000.0, 20.0, 20.0), (990.06, 20.06, 20.06), 990.01, 0.06),
        ((1000.0, 20.0, 20.0), (1000.055, 20.06, 20.06), 1000.005, 0.06),
        ((1000.0, 20.0, 20.0), (1000.06, 20.06, 20.06), 999.9995, 0.06),
    ],
    ids=[
        *("kernel stamp", "put off while reading", "no stamp", "set forward", "set back"),
        *("set by 5 ms", "before it left"),
    ],
)
def test_round_trip(sent, now, stamp, expected):
    """The kernel's stamp counts, unless the clocks show that the wall clock was set meanwhile."""
    assert round_trip(Moment(*sent), Moment(*now), stamp) == pytest.approx(expected, abs=1e-6)


def test_payload():
    """The data have the size asked for, and begin with what no other burst has."""
    ledger = Ledger()
    one, other = begun(ledger, size_bytes=1400), begun(ledger, size_bytes=16)

    assert (len(one.payload), len(other.payload)) == (1400, 16)
    assert one.payload[:TOKEN_BYTES] != other.payload[:TOKEN_BYTES]


def test_changed_data():
    """A reply with other data than were sent is no reply, but is not silence either."""
    ledger = Ledger()
    one = begun(ledger, count=1)
    [sequence] = one.sent

    assert ledger.match(Reply(sequence, one.payload[:-1]), NOW) is one
    assert (one.mangled, one.rtts) == (1, {})


@pytest.mark.parametrize("quoted", [0, 4, TOKEN_BYTES, 56])
def test_refusal(quoted):
    """A refusal counts however little of the request it quotes."""
    ledger = Ledger()
    one = begun(ledger, count=1)
    [sequence] = one.sent

    assert ledger.match(refusal(sequence, one.payload[:quoted]), NOW) is one
    assert one.complete
    assert [sequence] == list(one.refusals)


def test_strange_refusals():
    """A refusal of another destination or of other data is not ours."""
    ledger = Ledger()
    one = begun(ledger, count=1)
    [sequence] = one.sent

    assert ledger.match(refusal(sequence, b"", "192.0.2.2"), NOW) is None
    assert ledger.match(refusal(sequence, b"other data to fill it up"), NOW) is None
    assert ledger.match(refusal(sequence + 1, b""), NOW) is None
    assert one.refusals == {}


def test_reply_after_refusal():
    """What the target itself says stands above what a router said of it."""
    ledger = Ledger()
    one = begun(ledger, count=2)
    first, second = one.sent
    ledger.match(refusal(first, b""), NOW)
    ledger.match(Reply(first, one.payload, 63), NOW)
    ledger.match(refusal(first, b""), NOW)

    assert ({}, [first], 63) == (one.refusals, list(one.rtts), one.hop_limit)
    assert not one.complete
    ledger.match(refusal(second, b""), NOW)
    assert one.complete


def test_late_answers_are_told_to_the_next():
    """An answer after the end is told to the next burst to the address, once, as late."""
    ledger = Ledger()
    one = begun(ledger, count=2)
    slow, twice = one.sent
    ledger.match(Reply(twice, one.payload), NOW)
    ledger.end(one)
    for sequence in (slow, twice):
        assert ledger.match(Reply(sequence, one.payload), NOW) is None

    elsewhere, following, third = (
        begun(ledger, address=address) for address in ("192.0.2.2", "192.0.2.1", "192.0.2.1")
    )
    assert (elsewhere.late, elsewhere.duplicates) == (0, 0)
    assert (following.late, following.duplicates) == (1, 1)
    assert (third.late, third.duplicates) == (0, 0)


def test_sequence_numbers_under_way_are_not_given_again():
    """After 65,536 echoes the numbers begin anew, passing over those still waited for."""
    ledger = Ledger()
    waiting = begun(ledger, count=1)
    [taken] = waiting.sent
    given = {ledger.next_sequence() for _ in range((1 << 16) - 1)}

    assert taken not in given
    assert len(given) == (1 << 16) - 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "answer", "answer", "answer", "mangle", "stray", "end", "reuse"]),
        st.integers(0, 1 << 16),
    ),
    max_size=120,
)


@given(STEPS)
def test_each_answer_counts_once_and_where_it_belongs(steps):
    """Loss, reordering, doubles, strays, late answers and reused numbers: nothing is confused."""
    ledger = Ledger()
    bursts: list[Burst] = []
    packets: list[tuple[int, int]] = []  # whose, sequence
    ended: set[int] = set()
    answered: dict[int, set[int]] = {}
    changed: Counter[int] = Counter()
    doubles: Counter[int | str] = Counter()  # by burst; by address once that has ended
    late: Counter[str] = Counter()
    told: dict[int, int] = {}
    for action, number in steps:
        if action == "send" or not packets:
            owner, address = len(bursts), f"192.0.2.{number % 3}"
            bursts.append(begun(ledger, address=address, count=1 + number % 4))
            packets += [(owner, sequence) for sequence in bursts[-1].sent]
            answered[owner] = set()
            told[owner], doubles[owner] = late.pop(address, 0), doubles.pop(address, 0)
            continue
        owner, sequence = packets[number % len(packets)]
        whose = bursts[owner]
        if action == "end" and owner not in ended:
            ledger.end(whose)
            ended.add(owner)
        elif action == "reuse":
            ledger._sequence = sequence - 1
        elif action == "stray":
            assert ledger.match(Reply(sequence, bytes(56)), NOW) is None
        elif action == "mangle":
            ledger.match(Reply(sequence, whose.payload[:-1] + b"!"), NOW)
            changed[owner] += owner not in ended
        elif action == "answer":
            found = ledger.match(Reply(sequence, whose.payload), NOW)
            assert found is (None if owner in ended else whose)
            if sequence in answered[owner]:
                doubles[whose.address if owner in ended else owner] += 1
            elif owner in ended:
                late[whose.address] += 1
            answered[owner].add(sequence)

    for n, each in enumerate(bursts):
        assert answered[n] == each.rtts.keys()
        assert (changed[n], doubles.pop(n), told[n]) == (each.mangled, each.duplicates, each.late)
    assert (late, doubles) == (ledger._late, ledger._duplicates)
    assert sum(len(bursts[n].sent) for n in answered if n not in ended) == len(ledger)
