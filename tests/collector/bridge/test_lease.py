"""A lease is read by who has the secret, and is worth nothing once a bit of it is changed."""

from hypothesis import given
from hypothesis import strategies as st

from collector.bridge.lease import KEY_BYTES, LEASE_BYTES, grant, key_of, read_lease

SECRET = b"a secret of the province"


def a_grant(**changes):
    """Return lease and key of a minute of sound."""
    bounds = {
        "session": 17,
        "max_packets": 3000,
        "max_packets_per_second": 50,
        "max_packet_bytes": 172,
        "not_before": 1_751_328_000.25,
        "not_after": 1_751_328_070.5,
    }
    return grant(SECRET, **{**bounds, **changes})


def test_bounds_come_back():
    """What was allowed is what is read."""
    data, key = a_grant()
    lease = read_lease(data, SECRET)

    assert (len(data), len(key)) == (LEASE_BYTES, KEY_BYTES)
    assert lease is not None
    assert (lease.session, lease.max_packets, lease.max_packets_per_second) == (17, 3000, 50)
    assert (lease.max_packet_bytes, lease.not_before, lease.not_after) == (
        172,
        1_751_328_000.25,
        1_751_328_070.5,
    )
    assert key == key_of(data, SECRET)


def test_each_lease_is_its_own():
    """The same bounds twice are two leases with two keys."""
    (one, key), (other, other_key) = a_grant(), a_grant()

    assert one != other
    assert key != other_key


@given(st.integers(0, LEASE_BYTES * 8 - 1))
def test_a_changed_bit_spoils_it(bit):
    """Nobody gives himself more than the centre did."""
    data, _ = a_grant()
    spoilt = bytearray(data)
    spoilt[bit // 8] ^= 1 << bit % 8

    assert read_lease(bytes(spoilt), SECRET) is None


@given(st.binary(max_size=100))
def test_anything_else_is_none(data):
    """Whatever was sent as a lease is read without harm."""
    assert read_lease(data, SECRET) is None


def test_another_secret_reads_nothing():
    """A lease of one province opens nothing in another."""
    data, key = a_grant()

    assert read_lease(data, b"a secret of another one") is None
    assert key_of(data, b"a secret of another one") != key
