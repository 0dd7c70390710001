"""Certificates are read as `cryptography` reads them, and nothing else is taken for one."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import assume, example, given
from hypothesis import strategies as st

from agent.probes.certificates import Certificate, read_certificate

KEY = ec.generate_private_key(ec.SECP256R1())
# 1950 to 9999: written as UTCTime up to 2049, as GeneralizedTime from 2050 on (RFC 5280)
moments = st.integers(-631_152_000, 253_402_300_799).map(
    lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=16)


def utc(year: int, month: int, day: int) -> dt.datetime:
    """Return the midnight that begins a day."""
    return dt.datetime(year, month, day, tzinfo=dt.UTC)


def make(not_before, not_after, subject="portal.test", issuer="Test CA", extra=()) -> bytes:
    """Return a certificate's DER."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject), *extra]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer)]))
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def sequence(contents: bytes) -> bytes:
    """Return the DER of a SEQUENCE of 128 to 65535 bytes."""
    size = len(contents)
    length = bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return b"\x30" + length + contents


A_YEAR = (utc(2025, 7, 1), utc(2026, 7, 1))
DER = make(*A_YEAR)


@given(moments, moments, texts, texts)
@example(utc(1950, 1, 1), utc(1999, 12, 31), "a", "b")
@example(utc(2000, 1, 1), utc(2049, 12, 31), "a", "b")
@example(utc(2050, 1, 1), utc(9999, 12, 31), "a", "b")
def test_as_the_oracle_reads_it(not_before, not_after, subject, issuer):
    """Dates and names are those that `cryptography` finds, whichever way they are written."""
    assume(not_before <= not_after)
    der = make(not_before, not_after, subject, issuer)
    oracle = x509.load_der_x509_certificate(der)

    expected = Certificate(
        oracle.not_valid_before_utc.timestamp(),
        oracle.not_valid_after_utc.timestamp(),
        f"CN={subject}",
        f"O={issuer}",
    )
    assert read_certificate(der) == expected


def test_other_parts_of_a_name_are_passed_over():
    """Only the common name and the organisation are shown, in the order they are written."""
    extra = [
        x509.NameAttribute(NameOID.LOCALITY_NAME, "Việt Trì"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "UBND xã"),
    ]

    read = read_certificate(make(*A_YEAR, extra=extra))

    assert read.subject == "CN=portal.test, O=UBND xã"


def test_version_1():
    """A certificate without a version, which is one of version 1, is read alike."""
    version = bytes.fromhex("a003020102")
    body = x509.load_der_x509_certificate(DER).tbs_certificate_bytes
    contents = body[body.index(version) + len(version) :]
    signature = DER[DER.index(body) + len(body) :]
    der = sequence(sequence(contents) + signature)

    assert len(der) < len(DER)
    assert read_certificate(der) == read_certificate(DER)


def test_cut_off():
    """What is cut off anywhere is refused."""
    for size in range(len(DER)):
        with pytest.raises(ValueError):
            read_certificate(DER[:size])


@given(st.data())
def test_changed(data):
    """Changed bytes give another certificate or ValueError, and nothing worse."""
    changed = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(DER) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_certificate(bytes(changed))
    except ValueError:
        return

    assert isinstance(read, Certificate)


@given(st.binary(max_size=200))
def test_noise(data):
    """Any bytes give ValueError, and nothing worse."""
    with pytest.raises(ValueError):
        read_certificate(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x17\x0d260701", b"\x17\x0d261301", "month must be in 1..12"),
        (b"260701000000Z", b"260701000060Z", "second must be in 0..59"),
        (b"260701000000Z", b"2607010000-1Z", "time '2607010000-1Z' at byte"),
        (b"260701000000Z", b"2607010000000", "time '2607010000000' at byte"),
        (b"\x17\x0d260701", b"\x18\x0d260701", "time '260701000000Z' with tag 0x18 at byte"),
        (b"\x17\x0d260701", b"\x0c\x0d260701", "time '260701000000Z' with tag 0x0c at byte"),
        (b"\x17\x0d260701", b"\x1f\x0d260701", "tag of several bytes at byte"),
        (b"\x17\x0d260701", b"\x17\x80260701", "length of 0 bytes at byte"),
        (b"\x17\x0d260701", b"\x17\x81\x0d60701", "length is not the shortest at byte"),
        (b"\x17\x0d260701", b"\x17\x7f260701", "127 bytes at byte"),
    ],
)
def test_malformed(old, new, message):
    """What is not DER, or not a date as RFC 5280 wants it, is refused and named."""
    assert DER.count(old) == 1

    with pytest.raises(ValueError, match=message):
        read_certificate(DER.replace(old, new))


def test_nothing_may_follow():
    """Bytes behind a certificate are refused."""
    with pytest.raises(ValueError) as caught:
        read_certificate(DER + b"\0\0")

    assert str(caught.value) == "2 bytes follow"
