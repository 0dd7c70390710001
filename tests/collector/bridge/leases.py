"""Leases as the centre would give them, and datagrams as agents would send them."""

import time

from agent.wire.stamp_packet import media_tlvs, ntp, opening, request
from collector.bridge.lease import grant
from collector.bridge.sessions import Datagram

SECRET = b"a secret of the province"
NOW = 1_751_328_000.0
NS = 1_000_000_000
SITE = ("192.0.2.7", 40_000)
SESSION = 17


def a_lease(now: float = NOW, **changes):
    """Return lease and key of ten seconds of sound that may begin now."""
    bounds = {
        "session": SESSION,
        "max_packets": 500,
        "max_packets_per_second": 50,
        "max_packet_bytes": 172,
        "not_before": now,
        "not_after": now + 20,
    }
    return grant(SECRET, **{**bounds, **changes})


def a_lease_now(**changes):
    """Return lease and key by this machine's clock."""
    return a_lease(time.time(), **changes)


def open_with(lease, key, session=SESSION):
    """Return the packet that opens a session."""
    return opening(ntp(int(NOW * NS)), session, lease, key)


def sound(seq, session=SESSION, size=172):
    """Return one packet of sound."""
    return request(seq, ntp(int(NOW * NS) + seq), session, media_tlvs(46, size))


def came(data, at=NOW, *, address=SITE, tos=0xB8, ttl=61, drops=0):
    """Return a datagram as it arrived at a moment and is answered 50 µs later."""
    arrived = int(at * NS)
    return Datagram(data, address, arrived, arrived + 50_000, tos, ttl, drops)
