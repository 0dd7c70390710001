"""STUN messages are read as the RFCs' own samples are, and nothing else is taken for an answer."""

import json
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.stun_message import (
    Attribute,
    Credentials,
    Kind,
    MalformedError,
    Method,
    Request,
    body_bytes,
    encode,
    long_term_key,
    make_request,
    read_answer,
    read_message,
    saslprep,
)

VECTORS = json.loads((Path(__file__).parent / "stun_vectors.json").read_text("utf-8"))
SAMPLES = VECTORS["rfc5769"]
OWN = {name: bytes.fromhex(vector["hex"]) for name, vector in VECTORS["own"].items()}
BAD = {
    name: bytes.fromhex(text)
    for name, text in VECTORS["must_be_ignored_or_rejected_for_that_transaction"].items()
}
ID = bytes.fromhex(VECTORS["own_transaction_id_hex"])
BINDING = make_request(Method.BINDING, ID)
ALLOCATE = make_request(Method.ALLOCATE, ID, ((Attribute.REQUESTED_TRANSPORT, b"\x11\0\0\0"),))
NO_KEY = b""


def answer(*attributes: tuple[int, bytes], kind: Kind = Kind.SUCCESS) -> bytes:
    """Return an answer to BINDING."""
    return encode(Method.BINDING, kind, ID, attributes)


def test_requests():
    """Ours are, to the byte, the vectors' requests."""
    assert BINDING.wire == OWN["binding_request_minimal"]
    assert ALLOCATE.wire == OWN["turn_allocate_1_no_auth"]


@pytest.mark.parametrize(
    "name", ["2.1_request_short_term", "2.2_response_ipv4", "2.3_response_ipv6"]
)
def test_samples_of_rfc_5769(name):
    """The RFC's samples: type, id, signature of their password and of no other, address."""
    sample = SAMPLES[name]
    data = bytes.fromhex(sample["hex"])
    message = read_message(data)

    assert (message.method, message.transaction) == (Method.BINDING, data[8:20])
    assert message.kind is (Kind.REQUEST if "request" in name else Kind.SUCCESS)
    assert message.signed_with(sample["password"].encode())
    assert not message.signed_with(b"another")
    if "mapped" in sample:
        assert message.mapped() == sample["mapped"]
        assert read_answer(data, Request(Method.BINDING, data[8:20], b"")) == message
    else:
        assert message.attributes[Attribute.USERNAME].decode() == sample["username"]


def test_sample_of_long_term_credentials():
    """RFC 5769 2.4: the key of a name and password that must be prepared first; to the byte."""
    sample = SAMPLES["2.4_request_long_term"]
    data = bytes.fromhex(sample["hex"])
    realm, nonce = sample["realm"].encode(), sample["nonce"].encode()
    key = long_term_key(sample["username_utf8"], realm, "The\u00adM\u00aatr\u2168")

    assert key.hex() == sample["key_md5_hex"]
    assert read_message(data).signed_with(key)
    credentials = Credentials(sample["username_utf8"], realm, nonce, key)
    made = make_request(Method.BINDING, data[8:20], (), credentials)
    attributes = read_message(made.wire).attributes
    assert attributes[Attribute.USERNAME].decode() == sample["username_utf8"]
    in_order = [Attribute.USERNAME, Attribute.NONCE, Attribute.REALM]  # as the sample has them
    again = tuple((kind, attributes[kind]) for kind in in_order)
    assert encode(Method.BINDING, Kind.REQUEST, data[8:20], again, key) == data


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("The\u00adM\u00aatr\u2168", "TheMatrIX"),
        ("mật khẩu\u00a0mới", "mật khẩu mới"),
        ("ma\u0323\u0302t", "mật"),
        ("1767225600:04792", "1767225600:04792"),
    ],
)
def test_saslprep(given, expected):
    """Two ways to write one text are one text."""
    assert saslprep(given) == expected


def test_own_answers():
    """A mapped address, the old way to tell it, and an error with its words."""
    plain = read_answer(OWN["binding_response"], BINDING)
    old = read_answer(OWN["binding_response_rfc3489_only"], BINDING)
    error = read_answer(OWN["error_420"], BINDING)
    refused = read_answer(OWN["turn_allocate_2_401"], ALLOCATE)

    assert plain.mapped() == old.mapped() == "203.0.113.7:40000"
    assert (error.kind, error.error()) == (Kind.ERROR, (420, "Unknown Attribute"))
    assert (refused.kind, refused.error()) == (Kind.ERROR, (401, "Unauthorized"))
    assert refused.attributes[Attribute.REALM] == b"example.org"
    assert refused.attributes[Attribute.NONCE] == b"nonce0123456789"
    assert not any(one.signed_with(NO_KEY) for one in (plain, old, error, refused))


@pytest.mark.parametrize(
    "data",
    [
        BAD["bad_cookie"],
        BAD["wrong_transaction_id"],
        b"",
        OWN["binding_response"][:19],
        b"\xff" * 64,
        encode(Method.BINDING, Kind.SUCCESS, ID[:-1] + b"\0"),
    ],
)
def test_strange(data):
    """What does not bear our transaction's id is no answer to us, however broken it is."""
    assert read_answer(data, BINDING) is None


FINGERPRINT_FIRST = answer(
    (
        Attribute.FINGERPRINT,
        (zlib.crc32(answer((0, bytes(12)))[:20]) ^ 0x5354554E).to_bytes(4, "big"),
    ),
    (0x8022, b"more"),
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (BAD["length_longer_than_datagram"], "found 0 bytes after the header, expected 12"),
        (BAD["fingerprint_corrupted"], "the FINGERPRINT does not fit the message"),
        (OWN["binding_response"] + b"\0\0\0\0", "found 24 bytes after the header, expected 20"),
        (
            answer()[:2] + b"\0\x03" + answer()[4:] + b"abc",
            "found a length of 3, expected a multiple of 4",
        ),
        (b"\xc1\x01" + answer()[2:], "not a STUN message"),
        (answer()[:2] + b"\0\4" + answer()[4:] + b"\0\x20\0\4", "attribute 0x0020 is cut short"),
        (answer((0x0024, b"1234")), "attribute 0x0024 must be understood, and is not known"),
        (BINDING.wire, "found a message of type 0x0001, expected an answer"),
        (answer(kind=Kind.INDICATION), "found a message of type 0x0011, expected an answer"),
        (
            encode(Method.ALLOCATE, Kind.SUCCESS, ID),
            "found a message of type 0x0103, expected an answer",
        ),
        (
            answer((Attribute.MESSAGE_INTEGRITY, b"short")),
            "found a signature of 5 bytes, expected 20",
        ),
        (FINGERPRINT_FIRST, "the FINGERPRINT does not fit the message"),
    ],
)
def test_broken(data, expected):
    """What claims to be our answer and breaks the RFC is named."""
    with pytest.raises(MalformedError) as caught:
        read_answer(data, BINDING)

    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "the answer has no MAPPED-ADDRESS"),
        (b"", "attribute 0x0020 holds no address"),
        (b"\0\1\0\1abc", "attribute 0x0020 holds no address"),
        (b"\0\2\0\1abcd", "attribute 0x0020 holds no address"),
        (b"\0\3\0\1abcd", "attribute 0x0020 holds no address"),
        (b"\0\1\0\1abcde", "attribute 0x0020 holds no address"),
    ],
)
def test_no_address(value, expected):
    """An address of a family that there is, with as many bytes as it has; else none is made up."""
    given = () if value is None else ((Attribute.XOR_MAPPED_ADDRESS, value),)
    message = read_answer(answer(*given), BINDING)

    with pytest.raises(MalformedError) as caught:
        message.mapped()

    assert str(caught.value) == expected


@pytest.mark.parametrize("value", [b"", b"\0\0\4", b"\0\0\2\0OK", b"\0\0\7\0No", b"\0\0\4\x64No"])
def test_error_without_code(value):
    """An error's code is 300 to 699, or it has none."""
    message = read_answer(answer((Attribute.ERROR_CODE, value), kind=Kind.ERROR), BINDING)

    with pytest.raises(MalformedError) as caught:
        message.error()

    assert str(caught.value) == "the answer is an error without a code"


def test_words_of_an_error_are_for_people():
    """What a server says is cut to a readable length, without control characters."""
    value = b"\0\0\4\3" + b"Kh\xc3\xb4ng\r\n\x1b[31m\xff" + b"x" * 500
    message = read_answer(answer((Attribute.ERROR_CODE, value), kind=Kind.ERROR), BINDING)
    code, words = message.error()

    assert (code, len(words)) == (403, 100)
    assert words.startswith("Không [31m\ufffdxxx")


def test_what_follows_the_signature_counts_for_nothing():
    """Attributes after MESSAGE-INTEGRITY are not looked at; the first of a type is the one."""
    signed = encode(
        Method.BINDING, Kind.SUCCESS, ID, ((Attribute.REALM, b"a"), (Attribute.REALM, b"b")), b"key"
    )
    more = b"\0\x15\0\1n\0\0\0"
    data = signed[:2] + (len(signed) - 20 + len(more)).to_bytes(2, "big") + signed[4:] + more
    message = read_answer(data, BINDING)

    assert message.attributes.keys() == {Attribute.REALM, Attribute.MESSAGE_INTEGRITY}
    assert message.attributes[Attribute.REALM] == b"a"
    assert message.signed_with(b"key")


def test_changed_after_signing():
    """Whatever is changed before the signature, the signature no longer fits."""
    signed = encode(Method.BINDING, Kind.SUCCESS, ID, ((Attribute.REALM, b"abcd"),), b"key")
    for at in range(24, 28):
        changed = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
        assert not read_message(changed).signed_with(b"key")


@pytest.mark.parametrize(
    "header",
    [
        bytes(20),
        b"\x40\0\0\4" + BINDING.wire[4:],
        BAD["bad_cookie"],
        b"\1\1\0\3" + BINDING.wire[4:],
    ],
)
def test_stream_out_of_step(header):
    """On a stream nothing can be told apart after a header that is none."""
    with pytest.raises(MalformedError) as caught:
        body_bytes(header)

    assert str(caught.value) == "not a STUN message"


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes(data, whole):
    """Whatever comes is read, passed over or refused with words: nothing else flies."""
    head = b"\1\1" + len(data).to_bytes(2, "big") + BINDING.wire[4:] if whole else b""
    with suppress(MalformedError):
        message = read_answer(head + data, BINDING)
        if message is not None:
            message.signed_with(b"key")
            with suppress(MalformedError):
                message.error()
            message.mapped()


@given(
    st.integers(0, 0xFFF),
    st.sampled_from(Kind),
    st.binary(min_size=12, max_size=12),
    st.dictionaries(st.integers(0x8000, 0x8027), st.binary(max_size=30)),
    st.binary(max_size=8),
)
def test_round_trip(method, kind, transaction, attributes, key):
    """What is written is read again, and signed where there is a key."""
    message = read_message(encode(method, kind, transaction, tuple(attributes.items()), key))

    assert (message.method, message.kind, message.transaction) == (method, kind, transaction)
    assert {type_: value for type_, value in message.attributes.items() if type_ != 8} == attributes
    assert message.signed_with(key) is bool(key)
