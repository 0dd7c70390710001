"""The reflector answers what the centre has leased out, counts it, and is silent to all else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.stamp_packet import (
    TOTALS,
    Totals,
    closing,
    is_proven,
    read_reply,
    read_totals,
    value_of,
)
from collector.bridge import sessions as module
from collector.bridge.sessions import Sessions
from tests.collector.bridge.leases import NOW, SECRET, SESSION, a_lease, came, open_with, sound

OWN_PORT = 20_000


@pytest.fixture
def sessions():
    """Return a reflector's sessions, none open."""
    return Sessions(SECRET, OWN_PORT)


@pytest.fixture
def key(sessions):
    """Open a session and return its key."""
    lease, key = a_lease()
    assert sessions.answer(came(open_with(lease, key)))
    return key


def totals_of(sessions, key, at=NOW, drops=0):
    """Ask for the totals as an agent does."""
    reply = sessions.answer(came(closing(501, 0, SESSION, key), at, drops=drops))
    assert is_proven(reply, key)
    return read_totals(value_of(reply, TOTALS))


def test_opening_is_answered_with_proof(sessions):
    """The agent knows that it was the reflector who answered; asked again, it answers again."""
    lease, key = a_lease()
    packet = open_with(lease, key)

    for _ in range(2):
        reply = sessions.answer(came(packet))
        assert is_proven(reply, key)
        assert len(reply) == len(packet)
    assert len(sessions) == 1


def test_media_is_numbered_and_counted(sessions, key):
    """Replies bear the reflector's own numbers; the totals tell loss, doubles and answers apart."""
    replies = [read_reply(bytes(sessions.answer(came(sound(seq))))) for seq in (0, 1, 3, 3)]

    assert [(one.seq, one.reflector_seq) for one in replies] == [(0, 0), (1, 1), (3, 2), (3, 3)]
    assert {(one.ttl, one.dscp, one.ssid) for one in replies} == {(61, 46, SESSION)}
    assert totals_of(sessions, key, drops=0) == Totals(3, 1, 4, 0)


def test_drops_of_the_socket_are_told(sessions):
    """What was lost at the reflector itself since the session began is not the network's."""
    lease, key = a_lease()
    sessions.answer(came(open_with(lease, key), drops=5))

    assert totals_of(sessions, key, drops=7).drops == 2


def test_remarked_packets_are_told_from_marked_ones(sessions, key):
    """The class of service in the reply is the one that arrived, not the one that was sent."""
    assert read_reply(bytes(sessions.answer(came(sound(0), tos=0)))).dscp == 0
    assert read_reply(bytes(sessions.answer(came(sound(1), tos=0x88)))).dscp == 34


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("unknown_session", lambda lease, key: came(sound(0))),
        ("unknown_session", lambda lease, key: came(closing(1, 0, SESSION, key))),
        ("lease", lambda lease, key: came(open_with(bytes(53), key))),
        ("lease", lambda lease, key: came(open_with(lease, key, session=18))),
        ("proof", lambda lease, key: came(open_with(lease, b"another key here"))),
        ("time", lambda lease, key: came(open_with(lease, key), NOW - 11)),
        ("time", lambda lease, key: came(open_with(lease, key), NOW + 31)),
        *(
            (
                "source_port",
                lambda lease, key, port=port: came(
                    open_with(lease, key), address=("192.0.2.7", port)
                ),
            )
            for port in (0, 53, 123, 862, OWN_PORT)
        ),
        ("malformed", lambda lease, key: came(b"")),
        ("malformed", lambda lease, key: came(b"\0" * 43)),
        ("malformed", lambda lease, key: came(open_with(lease, key)[:60])),
    ],
)
def test_strangers_get_no_answer(sessions, reason, datagram):
    """Whoever has no lease of this centre, for this moment, hears nothing, and is counted."""
    assert sessions.answer(datagram(*a_lease())) is None
    assert sessions.refused == {reason: 1}
    assert len(sessions) == 0


def test_a_lease_opens_one_session(sessions, key):
    """Who copied a lease off the wire cannot open a second session with it."""
    lease, key = a_lease(session=18)
    packet = open_with(lease, key, session=18)
    assert sessions.answer(came(packet))

    assert sessions.answer(came(packet, address=("198.51.100.9", 40_000))) is None
    assert sessions.refused == {"used": 1}


def test_a_session_belongs_to_its_address(sessions, key):
    """Media from elsewhere under the same identifier is not of the session."""
    assert sessions.answer(came(sound(0), address=("198.51.100.9", 40_000))) is None
    assert sessions.refused == {"unknown_session": 1}


def test_rate_is_capped(sessions, key):
    """A second's worth at once is a key frame; more than the lease's rate is not answered."""
    for seq in range(50):
        assert sessions.answer(came(sound(seq)))
    assert sessions.answer(came(sound(50))) is None
    assert sessions.refused == {"rate": 1}
    assert sessions.answer(came(sound(51), NOW + 0.03))

    assert totals_of(sessions, key) == Totals(52, 0, 51, 0)


@pytest.mark.parametrize(
    "packet", [sound(0, size=173), sound(500)], ids=["too large", "one too many"]
)
def test_size_and_number_are_capped(sessions, key, packet):
    """Nothing beyond what the lease says is answered."""
    assert sessions.answer(came(packet)) is None
    assert sessions.refused == {"size": 1}


def test_endless_doubles_are_capped(sessions):
    """A packet sent again and again ends at twice the lease's number."""
    lease, key = a_lease(max_packets=2, max_packets_per_second=1_000)
    sessions.answer(came(open_with(lease, key)))

    answers = [sessions.answer(came(sound(0))) for _ in range(6)]
    assert [answer is not None for answer in answers] == [True] * 4 + [False] * 2
    assert sessions.refused == {"time": 2}


def test_sessions_end(sessions, key):
    """After the lease's last moment there is no session, and later its traces are gone."""
    assert sessions.answer(came(sound(0), NOW + 31)) is None
    assert sessions.refused == {"time": 1}

    sessions.expire(NOW + 31)
    assert len(sessions) == 0
    assert sessions.answer(came(sound(1), NOW + 31)) is None
    assert sessions.refused == {"time": 1, "unknown_session": 1}
    assert sessions._used == {}


def test_there_are_not_more_than_so_many(sessions, key, monkeypatch):
    """A centre gone mad cannot fill the reflector's memory."""
    monkeypatch.setattr(module, "MAX_SESSIONS", 1)
    lease, key = a_lease(session=18)

    assert sessions.answer(came(open_with(lease, key, session=18))) is None
    assert sessions.refused == {"too_many": 1}


def test_totals_need_the_key(sessions, key):
    """What a session saw is told to its agent only."""
    assert sessions.answer(came(closing(501, 0, SESSION, b"another key here"))) is None
    assert sessions.refused == {"proof": 1}


@given(st.binary(max_size=300), st.booleans())
def test_anything_may_come(data, within):
    """Whatever arrives, nothing flies out, and an answer is never longer than what came."""
    sessions = Sessions(SECRET, OWN_PORT)
    lease, key = a_lease(max_packet_bytes=300)
    sessions.answer(came(open_with(lease, key)))
    if within:
        data = sound(0)[:16] + data

    reply = sessions.answer(came(data))

    assert reply is None or len(reply) == len(data)
