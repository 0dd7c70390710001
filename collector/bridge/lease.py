"""Leases: what the centre allows one media session, readable by the reflector without asking.

The centre and the reflector share a secret file. A lease is proven by an HMAC of the secret; the
session's key comes of lease and secret, so that who only saw the lease pass cannot use it.
"""

import hmac
import os
from hashlib import sha256
from struct import Struct as Layout

from msgspec import Struct

_VERSION = 1
_FIELDS = Layout("!BHIIHdd8s")
_PROOF_BYTES = 16
KEY_BYTES = 16
LEASE_BYTES = _FIELDS.size + _PROOF_BYTES
MIN_SECRET_BYTES = 16


class Lease(Struct, frozen=True, kw_only=True):
    """One media session's bounds."""

    session: int
    """STAMP's session identifier, 1 to 65535."""
    max_packets: int
    max_packets_per_second: int
    max_packet_bytes: int
    """UDP payload."""
    not_before: float
    not_after: float
    """UTC seconds."""
    nonce: bytes
    """Tells leases apart: each opens one session."""


def grant(
    secret: bytes,
    *,
    session: int,
    max_packets: int,
    max_packets_per_second: int,
    max_packet_bytes: int,
    not_before: float,
    not_after: float,
) -> tuple[bytes, bytes]:
    """Return a new lease and its session's key."""
    nonce = os.urandom(8)
    fields = _FIELDS.pack(
        _VERSION,
        session,
        max_packets,
        max_packets_per_second,
        max_packet_bytes,
        not_before,
        not_after,
        nonce,
    )
    lease = fields + _digest(secret, b"lease", fields)[:_PROOF_BYTES]
    return lease, key_of(lease, secret)


def read_lease(data: bytes, secret: bytes) -> Lease | None:
    """Return what a lease allows; None where it is not one of the secret's."""
    if len(data) != LEASE_BYTES:
        return None
    fields, proof = data[: _FIELDS.size], data[_FIELDS.size :]
    if not hmac.compare_digest(proof, _digest(secret, b"lease", fields)[:_PROOF_BYTES]):
        return None
    version, session, packets, rate, size, begins, ends, nonce = _FIELDS.unpack(fields)
    if version != _VERSION:
        return None
    return Lease(
        session=session,
        max_packets=packets,
        max_packets_per_second=rate,
        max_packet_bytes=size,
        not_before=begins,
        not_after=ends,
        nonce=nonce,
    )


def key_of(lease: bytes, secret: bytes) -> bytes:
    """Return the key of the session that a lease opens."""
    return _digest(secret, b"key", lease)[:KEY_BYTES]


def _digest(secret: bytes, purpose: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, purpose + b"\0" + data, sha256)
