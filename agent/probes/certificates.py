"""Dates and names of X.509 certificates (RFC 5280 4.1), read from their DER and nothing else.

A walk to four fields, not a parser of certificates: whether one may be trusted is OpenSSL's to
say. The `cryptography` package would read them too, for 9 MB more memory on every PC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain

INTEGER, OID, UTC_TIME, GENERALIZED_TIME = 0x02, 0x06, 0x17, 0x18
SEQUENCE, VERSION = 0x30, 0xA0
NOTHING = (0, 0, 0)
# The string types of a DirectoryString, and the one that e-mail addresses come in
CODECS = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
NAMED = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says of itself; nothing of it has been verified."""

    not_before: float
    """UTC seconds."""
    not_after: float
    """UTC seconds; the certificate is still valid in this second."""
    subject: str
    """Common name and organisation, as `CN=portal.test, O=Example`."""
    issuer: str


@lru_cache(maxsize=256)  # targets show the same certificates run after run
def read_certificate(der: bytes) -> Certificate:
    """Read a DER certificate. ValueError, and nothing else, when it is not one."""
    start, end = _next(_walk(der, 0, len(der)), SEQUENCE)
    if end != len(der):
        raise ValueError(f"{len(der) - end} bytes follow")
    body = _walk(der, *_next(_walk(der, start, end), SEQUENCE))
    first = next(body, NOTHING)
    if first[0] != VERSION:
        body = chain([first], body)
    _next(body, INTEGER)  # the serial number
    _next(body, SEQUENCE)  # the signature's algorithm
    issuer = _name(der, *_next(body, SEQUENCE))
    dates = _walk(der, *_next(body, SEQUENCE))
    not_before, not_after = _time(der, *next(dates, NOTHING)), _time(der, *next(dates, NOTHING))
    subject = _name(der, *_next(body, SEQUENCE))
    return Certificate(not_before, not_after, subject, issuer)


def _element(der: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return tag, start and end of the contents of the element at a position (X.690 8.1, 10.1)."""
    if at + 2 > end:
        raise ValueError(f"ends at byte {end}, inside an element")
    tag, length, start = der[at], der[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise ValueError(f"tag of several bytes at byte {at}")
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or start + size > end:
            raise ValueError(f"length of {size} bytes at byte {at + 1}")
        length = int.from_bytes(der[start : start + size], "big")
        if length < 0x80 or length >> (8 * (size - 1)) == 0:
            raise ValueError(f"length is not the shortest at byte {at + 1}")
        start += size
    if start + length > end:
        raise ValueError(f"{length} bytes at byte {at}, only {end - start} are there")
    return tag, start, start + length


def _walk(der: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    while start < end:
        element = _element(der, start, end)
        yield element
        start = element[2]


def _next(elements: Iterator[tuple[int, int, int]], tag: int) -> tuple[int, int]:
    found, start, end = next(elements, NOTHING)
    if found != tag:
        raise ValueError(f"expected tag 0x{tag:02x}, found 0x{found:02x} at byte {start}")
    return start, end


def _time(der: bytes, tag: int, start: int, end: int) -> float:
    """Return UTC seconds of a Time: to the second, and in UTC (RFC 5280 4.1.2.5)."""
    text = der[start:end].decode("latin-1")
    digits = text[:-1]
    if not (digits.isascii() and digits.isdigit() and text.endswith("Z")):
        raise ValueError(f"time {text!r} at byte {start}")
    if tag == UTC_TIME and len(digits) == 12:
        digits = ("19" if digits >= "50" else "20") + digits
    elif tag != GENERALIZED_TIME or len(digits) != 14:
        raise ValueError(f"time {text!r} with tag 0x{tag:02x} at byte {start}")
    return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}Z").timestamp()


def _name(der: bytes, start: int, end: int) -> str:
    """Return the common names and organisations of a Name, in the order they are written."""
    found = []
    for _, set_start, set_end in _walk(der, start, end):
        for _, pair_start, pair_end in _walk(der, set_start, set_end):
            pair = _walk(der, pair_start, pair_end)
            oid_start, oid_end = _next(pair, OID)
            tag, value_start, value_end = next(pair, NOTHING)
            label = NAMED.get(der[oid_start:oid_end])
            if label and tag in CODECS:
                text = der[value_start:value_end].decode(CODECS[tag], "replace")
                found.append(f"{label}={text}")
    return ", ".join(found)
