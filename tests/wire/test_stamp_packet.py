"""Test packets are laid out as RFC 8762 and RFC 8972 say, and only proven ones open and close."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import STREAMS
from agent.wire.stamp_packet import (
    BASE_BYTES,
    HMAC_BYTES,
    LEASE,
    REQUEST,
    TLV,
    TOTALS,
    Totals,
    asked_dscp,
    closing,
    is_proven,
    media_tlvs,
    ntp,
    ntp_difference_ns,
    opening,
    pack_totals,
    padding,
    read_reply,
    read_totals,
    reflect,
    request,
    tlvs,
    value_of,
)
from agent.wire.stamp_packet import (
    Path as Seen,
)

VECTORS = json.loads((Path(__file__).parent / "stamp_vectors.json").read_text("utf-8"))
PACKETS = {name: bytes.fromhex(text) for name, text in VECTORS["packets"].items()}
T1, T2, T3, T4 = (
    seconds * 1_000_000_000 + nanoseconds
    for seconds, nanoseconds in (VECTORS["timestamps"][name] for name in ("T1", "T2", "T3", "T4"))
)
SEQ = 7
SSID = 0x1234
KEY = b"k" * 16
NOWHERE = Seen(0, 0, 0, 0)
NANOSECONDS = st.integers(0, 4_294_967_296_000_000_000 - 1)


@pytest.mark.parametrize("case", VECTORS["ntp_timestamps"], ids=lambda case: case["ntp_hex"])
def test_stamps_are_ntps(case):
    """Seconds since 1900 and a binary fraction; they begin anew in 2036."""
    stamp = ntp(case["unix"] * 1_000_000_000 + case["nsec"])

    assert abs(stamp - int(case["ntp_hex"], 16)) <= 1


@given(NANOSECONDS, st.integers(-(10**18), 10**18))
def test_differences_survive_the_era(moment, difference):
    """Two stamps on both sides of 2036 differ by what lies between them."""
    later = max(0, moment + difference)

    assert abs(ntp_difference_ns(ntp(later), ntp(moment)) - (later - moment)) <= 1


def test_request_is_laid_out_as_published():
    """Sequence number, T1, error estimate, session identifier, and what is zero."""
    expected = PACKETS["sender_cos_tlv_EF"]
    cos = bytes.fromhex("80040004b8000000")
    made = request(SEQ, ntp(T1), SSID, cos)

    assert made[:12] == expected[:12]
    assert made[14:] == expected[14:]  # between them stands our own error estimate


def test_reply_is_laid_out_as_published():
    """The class of service that arrived stands beside the one asked for; what is ours is cleared."""
    expected = PACKETS["reflector_cos_tlv_kept_EF"]
    reply = reflect(PACKETS["sender_cos_tlv_EF"], 6, Seen(ntp(T2), ntp(T3), 0xB8, 0x39))

    assert reply[:12] == expected[:12]
    assert reply[14:] == expected[14:]
    assert asked_dscp(reply) == 46


def test_reply_is_read():
    """Stamps, both sequence numbers, the TTL and the class of service as it arrived."""
    reply = read_reply(PACKETS["reflector_cos_tlv_kept_EF"])
    rtt = ntp_difference_ns(ntp(T4), reply.t1) - ntp_difference_ns(reply.t3, reply.t2)

    assert (reply.seq, reply.reflector_seq, reply.ssid) == (7, 6, SSID)
    assert (reply.ttl, reply.dscp) == (0x39, 46)
    assert rtt / 1e9 == pytest.approx(VECTORS["expected_from_T1_T2_T3_T4"]["rtt_seconds"], abs=2e-9)


def test_reflector_that_does_not_understand_says_nothing_of_service():
    """A TLV that came back unrecognised is not a measurement."""
    assert read_reply(PACKETS["reflector_cos_tlv_not_understood_U1"]).dscp is None
    assert read_reply(PACKETS["reflector_stateless_seq_copied"]).dscp is None


def test_short_packets_are_no_replies():
    """Less than the base is not read."""
    with pytest.raises(ValueError, match=r"^43 bytes, expected 44 or more$"):
        read_reply(bytes.fromhex(VECTORS["reject"]["short_43"]))
    with pytest.raises(ValueError, match=r"^14 bytes, expected 44 or more$"):
        reflect(PACKETS["sender_twamp_light_14_byte_minimum"], 0, NOWHERE)


def test_overrun_is_no_request():
    """A TLV that claims more than there is makes the whole packet worthless."""
    with pytest.raises(ValueError, match=r"^a TLV of 400 bytes, 4 are left$"):
        reflect(bytes.fromhex(VECTORS["reject"]["tlv_overrun"]), 0, NOWHERE)
    with pytest.raises(ValueError, match=r"^3 bytes behind the last TLV$"):
        list(tlvs(bytes(BASE_BYTES + 3)))


@pytest.mark.parametrize("profile", VECTORS["media_profiles"], ids=lambda one: one["name"])
def test_streams_have_the_size_and_pace_of_real_media(profile):
    """A packet is as long as RTP's, and the load is what a slot is reckoned by."""
    stream = next(
        (
            stream
            for stream in STREAMS.values()
            if (stream.udp_bytes, round(stream.packets_per_second, 3))
            == (profile["udp_payload_bytes"], round(profile["packets_per_second"], 3))
        ),
        None,
    )
    if profile["name"] == "video_720p30_2M":
        assert stream is None
        return
    assert stream is not None
    packet = request(0, 0, 1, media_tlvs(stream.dscp, stream.udp_bytes))

    assert len(packet) == profile["udp_payload_bytes"]
    assert TLV.unpack_from(packet, 52)[2] == profile["extra_padding_tlv_value_bytes"]
    assert stream.dscp == profile["dscp"]
    assert stream.bits_per_second == pytest.approx(
        profile["ethernet_bits_per_second_each_way"], abs=1
    )


def test_opening_and_closing_are_proven_by_the_key():
    """The proof covers the sequence number and every TLV before it."""
    for packet, kind in (
        (opening(ntp(T1), SSID, b"lease" * 8, KEY), LEASE),
        (closing(3001, ntp(T1), SSID, KEY), TOTALS),
    ):
        assert is_proven(packet, KEY)
        assert value_of(packet, kind)
        assert not is_proven(packet, b"x" * 16)
        for at in (0, BASE_BYTES + 5, len(packet) - 1):
            spoilt = bytearray(packet)
            spoilt[at] ^= 1
            assert not is_proven(spoilt, KEY)


def test_nothing_short_is_proven():
    """Packets without room for a proof have none."""
    assert not is_proven(bytes(BASE_BYTES + 4 + HMAC_BYTES - 1), KEY)
    assert not is_proven(b"", KEY)


@given(st.builds(Totals, *[st.integers(0, 2**32 - 1)] * 4))
def test_totals_come_back(totals):
    """What the reflector packs, the agent reads."""
    assert read_totals(pack_totals(totals)) == totals


def test_totals_of_another_length_are_none():
    """A lying reflector gets no number in."""
    with pytest.raises(ValueError, match=r"^totals of 3 bytes, expected 16$"):
        read_totals(b"abc")


@given(st.binary(max_size=200))
def test_reading_anything_is_safe(data):
    """Only ValueError leaves, whatever came."""
    for read in (
        read_reply,
        lambda data: reflect(data, 0, NOWHERE),
        lambda data: value_of(data, LEASE),
    ):
        with contextlib.suppress(ValueError):
            read(data)


@given(st.binary(min_size=BASE_BYTES, max_size=300), st.integers(0, 255))
def test_a_reply_is_as_long_as_its_request(data, tos):
    """No amplification: never a byte more than what came."""
    try:
        reply = reflect(data, 1, Seen(2, 3, tos, 64))
    except ValueError:
        return
    assert len(reply) == len(data)
    assert read_reply(bytes(reply)).seq == REQUEST.unpack_from(data)[0]


def test_padding_has_the_length_asked_for():
    """Its own head counts."""
    assert len(padding(4)) == 4
    assert len(padding(120)) == 120
    assert padding(8, b"abcdefg") == b"\x80\x01\x00\x04abcd"
    assert padding(8, b"a") == b"\x80\x01\x00\x04a\0\0\0"
