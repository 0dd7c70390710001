"""STUN messages (RFC 8489), as STUN and TURN servers speak them: bytes in, values out."""

import hashlib
import hmac
import ipaddress
import struct
import unicodedata
import zlib
from dataclasses import dataclass
from enum import IntEnum
from stringprep import in_table_b1, in_table_c12
from typing import NamedTuple

from agent.probes.base import TargetError
from agent.wire import Failure

COOKIE = bytes.fromhex("2112a442")
HEADER_BYTES = 20
TRANSACTION_BYTES = 12
SIGNATURE_BYTES = 20
FINGERPRINT_MASK = 0x5354554E
MOST_REASON = 100  # characters; the RFC allows 127


class MalformedError(TargetError):
    """What claims to be an answer does not follow the protocol."""

    def __init__(self, detail: str) -> None:
        super().__init__(Failure.MALFORMED, detail)


class Method(IntEnum):
    """What is asked for: RFC 8489 and, from 3 on, RFC 8656."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4


class Kind(IntEnum):
    """The two class bits of a message's type."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(IntEnum):
    """Types of attributes that are used here."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    LIFETIME = 0x000D
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_TRANSPORT = 0x0019
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    FINGERPRINT = 0x8028


# Attributes of a type below 0x8000 must be understood, or the answer counts for nothing. These are
# of no use to us but known: of RFC 3489 what old servers still add, of RFC 8489, 8656 and 5780
# what an answer may hold.
KNOWN = {*Attribute, *range(1, 0x0C), 0x0012, 0x001D, 0x001E, 0x0022}


class Request(NamedTuple):
    """One question, and what its answer is known by."""

    method: Method
    transaction: bytes
    """96 random bits."""
    wire: bytes


class Credentials(NamedTuple):
    """Who asks, as the server's own words (realm, nonce) want it said."""

    user: str
    realm: bytes
    nonce: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A message that could be read; what its attributes hold has not been looked at."""

    method: int
    kind: Kind
    transaction: bytes
    attributes: dict[int, bytes]
    """The first of each type; without what follows MESSAGE-INTEGRITY, which nobody vouches for."""
    covered: bytes
    """What MESSAGE-INTEGRITY signs; b"" without it."""

    def signed_with(self, key: bytes) -> bool:
        """Whether it is signed by somebody who knows the key."""
        shown = self.attributes.get(Attribute.MESSAGE_INTEGRITY, b"")
        return bool(self.covered) and hmac.compare_digest(shown, _signature(self.covered, key))

    def mapped(self) -> str:
        """Return from which address and port the server saw us come, as `host:port`.

        Servers of RFC 3489 say it plainly; what may be mangled by a NAT on the way is second choice.
        """
        if Attribute.XOR_MAPPED_ADDRESS in self.attributes:
            return self.address(Attribute.XOR_MAPPED_ADDRESS)
        return self.address(Attribute.MAPPED_ADDRESS)

    def address(self, attribute: Attribute) -> str:
        """Return an attribute's address and port, as `host:port` or `[host]:port`."""
        value = self.attributes.get(attribute)
        if value is None:
            name = attribute.name.replace("_", "-")
            raise MalformedError(f"the answer has no {name}")
        sizes = {b"\x01": 4, b"\x02": 16}
        if len(value) < 4 or len(value) - 4 != sizes.get(value[1:2]):
            raise MalformedError(f"attribute {attribute:#06x} holds no address")
        packed = value[2:]
        if attribute is not Attribute.MAPPED_ADDRESS:
            port_mask, address_mask = COOKIE[:2], COOKIE + self.transaction
            packed = _xor(packed, port_mask + address_mask)
        port = int.from_bytes(packed[:2], "big")
        address = ipaddress.ip_address(packed[2:])
        return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"

    def error(self) -> tuple[int, str]:
        """Return the error's code and the server's words for it."""
        value = self.attributes.get(Attribute.ERROR_CODE, b"")
        if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
            raise MalformedError("the answer is an error without a code")
        words = "".join(
            char if char.isprintable() else " " for char in value[4:].decode("utf-8", "replace")
        )
        return (value[2] & 7) * 100 + value[3], " ".join(words.split())[:MOST_REASON]


def make_request(
    method: Method,
    transaction: bytes,
    attributes: tuple[tuple[Attribute, bytes], ...] = (),
    credentials: Credentials | None = None,
) -> Request:
    """Return a request, signed if there are credentials."""
    key = b""
    if credentials is not None:
        user, realm, nonce, key = credentials
        attributes += (
            (Attribute.USERNAME, saslprep(user).encode()),
            (Attribute.REALM, realm),
            (Attribute.NONCE, nonce),
        )
    return Request(method, transaction, encode(method, Kind.REQUEST, transaction, attributes, key))


def encode(
    method: int,
    kind: Kind,
    transaction: bytes,
    attributes: tuple[tuple[int, bytes], ...] = (),
    key: bytes = b"",
) -> bytes:
    """Return a message's bytes; with a key, MESSAGE-INTEGRITY is its last attribute."""
    body = b"".join(map(_attribute, attributes))
    bits = (method & 0xF80) << 2 | (method & 0x70) << 1 | method & 0xF
    bits |= (kind & 2) << 7 | (kind & 1) << 4
    signed_bytes = len(body) + (4 + SIGNATURE_BYTES if key else 0)
    message = struct.pack("!HH", bits, signed_bytes) + COOKIE + transaction + body
    if key:
        message += _attribute((Attribute.MESSAGE_INTEGRITY, _signature(message, key)))
    return message


def read_answer(data: bytes, request: Request) -> Message | None:
    """Read the answer to a request; None if it is none to this one.

    MalformedError: it claims to be one, and does not follow the RFC. The transaction's id is looked
    at before anything else is: nobody who has not seen the request knows it.
    """
    if len(data) < HEADER_BYTES or data[4:HEADER_BYTES] != COOKIE + request.transaction:
        return None
    message = read_message(data)
    if message.method != request.method or message.kind not in {Kind.SUCCESS, Kind.ERROR}:
        raise MalformedError(f"found a message of type 0x{data[:2].hex()}, expected an answer")
    strange = [kind for kind in message.attributes if kind < 0x8000 and kind not in KNOWN]
    if strange:
        raise MalformedError(f"attribute {strange[0]:#06x} must be understood, and is not known")
    return message


def read_message(data: bytes) -> Message:
    """Read a whole message. MalformedError says what is wrong with it."""
    if len(data) < HEADER_BYTES or data[0] & 0xC0 or data[4:8] != COOKIE:
        raise MalformedError("not a STUN message")
    bits, length = struct.unpack_from("!HH", data)
    if length % 4:
        raise MalformedError(f"found a length of {length}, expected a multiple of 4")
    if length != len(data) - HEADER_BYTES:
        rest = len(data) - HEADER_BYTES
        raise MalformedError(f"found {rest} bytes after the header, expected {length}")
    attributes, covered = _read_attributes(data)
    return Message(
        method=(bits >> 2) & 0xF80 | (bits >> 1) & 0x70 | bits & 0xF,
        kind=Kind((bits >> 7) & 2 | (bits >> 4) & 1),
        transaction=data[8:HEADER_BYTES],
        attributes=attributes,
        covered=covered,
    )


def body_bytes(header: bytes) -> int:
    """Return how much follows a header on a stream (RFC 8489 6.2.2).

    MalformedError where it is none: what comes after could not be told apart.
    """
    length = int.from_bytes(header[2:4], "big")
    if header[0] & 0xC0 or header[4:8] != COOKIE or length % 4:
        raise MalformedError("not a STUN message")
    return length


def long_term_key(user: str, realm: bytes, password: str) -> bytes:
    """Return the key that signs for a user of a realm (RFC 8489 9.2.2)."""
    text = saslprep(user).encode() + b":" + realm + b":" + saslprep(password).encode()
    return hashlib.md5(text).digest()  # noqa: S324  the RFC's choice; what is sent is an HMAC


def saslprep(text: str) -> str:
    """Return a user's name or password as both sides compare it (RFC 4013, its mapping)."""
    kept = (" " if in_table_c12(char) else char for char in text if not in_table_b1(char))
    return unicodedata.normalize("NFKC", "".join(kept))


def _read_attributes(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """Return the attributes, and what MESSAGE-INTEGRITY covers of the message."""
    attributes: dict[int, bytes] = {}
    covered = b""
    at = HEADER_BYTES
    while at < len(data):
        kind, size = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        end = at + 4 + size + -size % 4
        if end > len(data):
            raise MalformedError(f"attribute {kind:#06x} is cut short")
        if kind == Attribute.FINGERPRINT:
            _check_fingerprint(data[:at], value, after=len(data) - end)
        if not covered or kind in {Attribute.FINGERPRINT, Attribute.MESSAGE_INTEGRITY_SHA256}:
            attributes.setdefault(kind, value)
        if kind == Attribute.MESSAGE_INTEGRITY and not covered:
            if size != SIGNATURE_BYTES:
                raise MalformedError(f"found a signature of {size} bytes, expected 20")
            covered = _with_length(data[:at], end)
        at = end
    return attributes, covered


def _check_fingerprint(before: bytes, value: bytes, *, after: int) -> None:
    expected = zlib.crc32(before) ^ FINGERPRINT_MASK
    if after or value != expected.to_bytes(4, "big"):
        raise MalformedError("the FINGERPRINT does not fit the message")


def _with_length(before: bytes, end: int) -> bytes:
    """Return a message up to an attribute, as if it ended after that (RFC 8489 14.5)."""
    return before[:2] + (end - HEADER_BYTES).to_bytes(2, "big") + before[4:]


def _signature(covered: bytes, key: bytes) -> bytes:
    return hmac.digest(key, covered, "sha1")


def _attribute(attribute: tuple[int, bytes]) -> bytes:
    kind, value = attribute
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _xor(data: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(data, mask, strict=False))
