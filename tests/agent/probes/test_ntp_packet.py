"""Time stamps and their differences are right in every era, and packets are read as RFC 5905 draws them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.ntp_packet import (
    Clocks,
    Packet,
    compare_clocks,
    name_reference,
    read_packet,
    refuse_packet,
    stamp,
    write_request,
)
from agent.wire import Failure

NOON = 1_751_328_000.0
ERA_1 = 2_085_978_496.0  # 2036-02-07T06:28:16Z


def packet(received: float, transmitted: float, **other) -> Packet:
    """Return an answer of a server with these times."""
    fields = {
        "leap": 0,
        "mode": 4,
        "stratum": 2,
        "root_delay_seconds": 0.0,
        "root_dispersion_seconds": 0.0,
        "reference": bytes([192, 0, 2, 7]),
        "origin": bytes(8),
        "received": stamp(received),
        "transmitted": stamp(transmitted),
    }
    return Packet(**(fields | other))


@pytest.mark.parametrize(
    ("wall", "later_ns", "expected"),
    [
        (0.0, 0, 0x83AA7E80_00000000),
        (0.0, 500_000_000, 0x83AA7E80_80000000),
        (1_767_225_600.0, 123_456_789, 0xED003780_1F9ADD37),
        (2_085_978_495.0, 999_999_999, 0xFFFFFFFF_FFFFFFFB),
        (2_085_978_496.0, 0, 0),
        (4_294_967_295.0, 1, 0x83AA7E7F_00000004),
    ],
)
def test_stamps(wall, later_ns, expected):
    """Unix time becomes the 64 bits that others write, in either era (data/vectors.json)."""
    assert stamp(wall, later_ns) == expected


def test_the_four_stamps():
    """Offset and round trip are those of RFC 5905's formulas (data/vectors.json, STAMP)."""
    t1, t2, t3, t4 = (
        stamp(1_767_225_600.0, ns) for ns in (123_456_789, 373_456_789, 373_506_789, 173_556_789)
    )
    clocks = compare_clocks(t1, packet(0, 0)._replace(received=t2, transmitted=t3), t4)

    assert clocks == Clocks(pytest.approx(0.224975, abs=1e-9), pytest.approx(0.05005, abs=1e-9))


@given(
    wall=st.sampled_from([0.0, NOON, ERA_1 - 0.05, ERA_1, ERA_1 + 1e9]),
    ahead=st.floats(-2e9, 2e9),
    there=st.floats(0, 2),
    held=st.floats(0, 2),
    back=st.floats(0, 2),
)
def test_offset_is_as_right_as_the_way_is_even(wall, ahead, there, held, back):
    """Wherever both clocks stand, the offset is off by half of what the two ways differ."""
    answer = packet(wall + there + ahead, wall + there + held + ahead)
    clocks = compare_clocks(stamp(wall), answer, stamp(wall + there + held + back))

    assert clocks.offset_seconds == pytest.approx(ahead + (there - back) / 2, abs=1e-5)
    assert clocks.rtt_seconds == pytest.approx(there + back, abs=1e-5)


def test_across_the_eras():
    """A PC in 2036's first era and a server in its second are 20 ms apart, not 136 years."""
    answer = packet(ERA_1 + 0.01, ERA_1 + 0.01)
    clocks = compare_clocks(stamp(ERA_1 - 0.015), answer, stamp(ERA_1 - 0.005))

    assert clocks.offset_seconds == pytest.approx(0.02, abs=1e-6)


@pytest.mark.parametrize(
    ("received", "transmitted", "believed"),
    [
        (0.0, 0.1, True),
        (0.0, 0.115, True),  # ours and a clock of 1/64 s
        (0.0, 0.15, False),
        (0.1, 0.09, True),
        (0.1, 0.0, False),
    ],
)
def test_untrue_stamps(received, transmitted, believed):
    """A server that held a request for longer than we waited, or sent before it heard, is not believed."""
    answer = packet(NOON + received, NOON + transmitted)
    clocks = compare_clocks(stamp(NOON), answer, stamp(NOON + 0.1))

    assert (clocks is not None) is believed
    assert clocks is None or clocks.rtt_seconds > 0


def test_reads_what_a_server_wrote():
    """Every field stands where RFC 5905 puts it; what follows the header is passed over."""
    wire = bytes.fromhex(
        "640106ec00018000000040004750530065ad19cf000000000102030405060708"
        "ed0037801f9add37ed0037805f9e2413ffff"
    )
    read = read_packet(wire)

    assert read == Packet(
        leap=1,
        mode=4,
        stratum=1,
        root_delay_seconds=1.5,
        root_dispersion_seconds=0.25,
        reference=b"GPS\0",
        origin=bytes(range(1, 9)),
        received=0xED0037801F9ADD37,
        transmitted=0xED0037805F9E2413,
    )
    assert refuse_packet(read) is None
    assert name_reference(read) == "GPS"
    assert read_packet(wire[:47]) is None


def test_request():
    """A client's request of version 4: 48 bytes, all nought but the first and the nonce."""
    assert write_request(b"12345678") == b"\x23" + bytes(39) + b"12345678"


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"stratum": 15}, None),
        ({"stratum": 0, "reference": b"X\0\0\0"}, (Failure.STATUS, "kiss code X")),
        (
            {"stratum": 0, "reference": bytes([127, 127, 1, 1])},
            (Failure.UNSYNCHRONISED, "leap 0, stratum 0"),
        ),
        (
            {"stratum": 0, "reference": b"STEP"},
            (Failure.UNSYNCHRONISED, "leap 0, stratum 0"),
        ),
        ({"stratum": 255}, (Failure.UNSYNCHRONISED, "leap 0, stratum 255")),
        ({"mode": 3, "leap": 3}, (Failure.MALFORMED, "found mode 3, expected 4")),
    ],
)
def test_refused(said, refused):
    """Kiss codes, alarms and strata are told apart."""
    assert refuse_packet(packet(NOON, NOON, **said)) == refused


@given(st.binary(max_size=80))
def test_any_bytes_can_be_read(data):
    """No datagram breaks the reader."""
    read = read_packet(data)

    assert (read is None) is (len(data) < 48)
    if read is not None:
        refuse_packet(read)
        name_reference(read)
        compare_clocks(0, read, 1)
