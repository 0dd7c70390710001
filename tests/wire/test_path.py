"""Paths as text: what is written is read again, and what a later agent writes harms nobody."""

from hypothesis import given
from hypothesis import strategies as st

from agent.wire import Hop, Path, read_path, write_path

TEXT = """\
tcp 203.0.113.9 443
1 192.168.1.1 0.4 0.5
2 10.20.0.1 3.1 *
2 10.20.0.9 3.3
3-5 *
6 10.30.0.1 9.0 9.1 host_unreachable"""
ADDRESSES = st.sampled_from(["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "198.51.100.254"])
HOPS = st.builds(
    Hop,
    ttl=st.integers(1, 20),
    router=ADDRESSES,
    ms=st.lists(st.integers(0, 99_999).map(lambda tenths: tenths / 10), max_size=2).map(tuple),
    lost=st.integers(0, 2),
    word=st.sampled_from(["", "answered", "refused", "ttl_exceeded"]),
)


def test_a_path_reads_as_it_was_written():
    """Routers of one distance, lost probes, silent rows and the end of the way all have their place."""
    path = Path(
        protocol="tcp",
        address="203.0.113.9",
        port=443,
        hops=(
            Hop(1, "192.168.1.1", (0.4, 0.5)),
            Hop(2, "10.20.0.1", (3.1,), 1),
            Hop(2, "10.20.0.9", (3.3,)),
            *(Hop(ttl, lost=2) for ttl in (3, 4, 5)),
            Hop(6, "10.30.0.1", (9.0, 9.1), word="host_unreachable"),
        ),
    )

    assert write_path(path) == TEXT
    read = read_path(TEXT)
    assert read is not None
    assert read.hops[3] == Hop(3, lost=1, last_ttl=5)
    assert [*read.hops[:3], *read.hops[4:]] == [*path.hops[:3], path.hops[6]]
    assert (read.protocol, read.address, read.port) == ("tcp", "203.0.113.9", 443)
    assert read.last == path.hops[6]
    assert not read.reached


@given(st.lists(HOPS, max_size=20), ADDRESSES, st.integers(0, 65535))
def test_what_is_written_is_read(hops, address, port):
    """Any path comes back whole."""
    path = Path(protocol="udp", address=address, port=port, hops=tuple(hops))

    assert read_path(write_path(path)) == path


@given(st.text())
def test_no_text_breaks_the_reader(text):
    """What is no path is None; what is none of a path's lines is left out."""
    assert read_path(text) is None
    assert read_path(f"icmp 192.0.2.1\n{text}\n1 192.0.2.9 0.1") is not None


def test_what_a_later_agent_adds_is_left_out():
    """An unknown line costs that line, not the path."""
    assert read_path("icmp 192.0.2.1\n1 192.0.2.9 0.1\nas64500 via exchange") == Path(
        protocol="icmp", address="192.0.2.1", hops=(Hop(1, "192.0.2.9", (0.1,)),)
    )


def test_where_the_target_answers_it_was_reached():
    """A refusal of the target itself is an answer; one of a router before it is not."""
    reached = "tcp 192.0.2.1 80\n1 192.0.2.1 0.1 0.1 refused"
    stopped = "tcp 192.0.2.1 80\n1 192.0.2.9 0.1 0.1 prohibited"

    assert [read_path(text).reached for text in (reached, stopped)] == [True, False]
