"""ICMP messages are read as their RFCs lay them out, and rubbish is read as nothing."""

import json
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.icmp_message import (
    EXTENDED_ERR,
    SO_TIMESTAMPNS,
    V4,
    V6,
    Message,
    Refusal,
    Reply,
    TooBig,
    read_message,
    read_queued_error,
)
from agent.wire import Failure

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))["icmp"]
REQUEST = {
    4: bytes.fromhex(VECTORS["echo_request_v4"]),
    6: bytes.fromhex(VECTORS["echo_request_v6"]),
}
HEADER = {  # of the request that an error quotes, from .1 to .9
    4: bytes.fromhex("450000240000000040010000") + bytes([192, 0, 2, 1, 192, 0, 2, 9]),
    6: bytes.fromhex("6000000000103a40")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::9"),
}
DESTINATION = {4: "192.0.2.9", 6: "2001:db8::9"}
ROUTER = {4: "192.0.2.254", 6: "2001:db8::fe"}


def error(version, icmp_type: int, code: int, quoted: bytes) -> Message | None:
    """Read an error about an echo request."""
    data = bytes([icmp_type, code]) + bytes(6) + HEADER[version.number] + quoted
    return read_message(version, data, [], ROUTER[version.number])


@pytest.mark.parametrize("version", [V4, V6], ids=["v4", "v6"])
def test_reply(version):
    """A reply tells its sequence number, data, hop limit and the kernel's stamp."""
    request = REQUEST[version.number]
    extras = [
        (socket.SOL_SOCKET, SO_TIMESTAMPNS, struct.pack("=qq", 1700000000, 250_000_000)),
        (version.level, version.hops, struct.pack("=i", 57)),
    ]
    data = bytes([version.reply]) + request[1:]

    expected = Reply(1, bytes(range(16)), 57, 1700000000.25)
    assert expected == read_message(version, data, extras, "192.0.2.9")
    assert Reply(1, bytes(range(16))) == read_message(version, data, [], "192.0.2.9")


@pytest.mark.parametrize(
    ("version", "icmp_type", "code", "failure", "words"),
    [
        (V4, 3, 0, Failure.NETWORK_UNREACHABLE, "Destination network unreachable"),
        (V4, 3, 1, Failure.HOST_UNREACHABLE, "Destination host unreachable"),
        (V4, 3, 3, Failure.REFUSED, "Destination port unreachable"),
        (V4, 3, 13, Failure.PROHIBITED, "Packet filtered"),
        (V4, 11, 0, Failure.TTL_EXCEEDED, "Time to live exceeded"),
        (V6, 1, 0, Failure.NETWORK_UNREACHABLE, "No route to destination"),
        (
            *(V6, 1, 1, Failure.PROHIBITED),
            "Communication with destination administratively prohibited",
        ),
        (V6, 1, 3, Failure.HOST_UNREACHABLE, "Address unreachable"),
        (V6, 1, 4, Failure.REFUSED, "Port unreachable"),
        (V6, 3, 0, Failure.TTL_EXCEEDED, "Hop limit exceeded"),
    ],
)
def test_refusal(version, icmp_type, code, failure, words):
    """An error becomes a failure and words, from a raw socket and from an error queue alike."""
    request, number = REQUEST[version.number], version.number
    router, destination = ROUTER[number], DESTINATION[number]
    expected = Refusal(1, bytes(range(16)), destination, failure, f"{router}: {words}", router)

    assert expected == error(version, icmp_type, code, request)
    assert expected._replace(payload=b"") == error(version, icmp_type, code, request[:8])

    offender = socket.inet_pton(version.family, router)
    value = EXTENDED_ERR.pack(113, 3, icmp_type, code, 0, 0, 0)
    value = value.ljust(version.offender_at, b"\0") + offender
    extras = [(version.level, version.receive_errors, value)]
    assert expected == read_queued_error(version, request, extras, destination)


@pytest.mark.parametrize("version", [V4, V6], ids=["v4", "v6"])
@pytest.mark.parametrize("mtu_bytes", [0, 1280, 1400])
def test_too_big(version, mtu_bytes):
    """That a packet does not fit comes with what does, from a raw socket and an error queue."""
    request, number = REQUEST[version.number], version.number
    router, destination = ROUTER[number], DESTINATION[number]
    expected = TooBig(1, bytes(range(16)), destination, router, mtu_bytes)

    head = bytes(version.too_big) + bytes(2) + mtu_bytes.to_bytes(4, "big")
    assert expected == read_message(version, head + HEADER[number] + request, [], router)

    offender = socket.inet_pton(version.family, router)
    value = EXTENDED_ERR.pack(90, 3, *version.too_big, 0, mtu_bytes, 0)
    value = value.ljust(version.offender_at, b"\0") + offender
    extras = [(version.level, version.receive_errors, value)]
    assert expected == read_queued_error(version, request, extras, destination)


def test_says_nothing_of_the_target():
    """Errors of our own machine and of others' packets are nobody's word about the target."""
    assert read_message(V4, bytes.fromhex(VECTORS["frag_needed_v4_mtu1400"]), [], "") is None
    assert error(V4, 3, 1, REQUEST[4][:7]) is None
    assert error(V4, 3, 1, b"\0" + REQUEST[4][1:]) is None
    assert error(V4, 3, 4, REQUEST[4][:7]) is None
    assert error(V4, 3, 4, b"\0" + REQUEST[4][1:]) is None
    assert error(V6, 2, 0, REQUEST[6][:7]) is None
    of_udp = bytes([3, 3]) + bytes(6) + HEADER[4][:9] + b"\x11" + HEADER[4][10:] + REQUEST[4]
    assert read_message(V4, of_udp, [], ROUTER[4]) is None
    local = EXTENDED_ERR.pack(90, 1, 3, 1, 0, 0, 0) + bytes(16)
    extras = [(V4.level, V4.receive_errors, local)]
    assert read_queued_error(V4, REQUEST[4], extras, "192.0.2.9") is None
    assert read_queued_error(V4, REQUEST[4], [], "192.0.2.9") is None


@given(st.sampled_from([V4, V6]), st.binary(max_size=120))
def test_rubbish(version, data):
    """Whatever comes in, reading it raises nothing."""
    read_message(version, data, [], "192.0.2.9")
    read_message(version, bytes([version.unreachable, 1]) + bytes(6) + data, [], "192.0.2.9")
    read_message(version, bytes(version.too_big) + bytes(6) + data, [], "192.0.2.9")
