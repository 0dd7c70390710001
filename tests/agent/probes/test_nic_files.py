"""Linux's own files are read as it writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.nic_files import (
    Lease,
    Route,
    read_ipv6_addresses,
    read_lease,
    read_nameservers,
    read_neighbour,
    read_routes,
)

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
NOUGHT = "0" * 32


def v4(interface: str, gateway: str, flags: str, metric: int, mask: str = "00000000") -> str:
    """Return a line of /proc/net/route."""
    return f"{interface}\t00000000\t{gateway}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


def v6(interface: str, gateway: str, flags: str, metric: str, length: str = "00") -> str:
    """Return a line of /proc/net/ipv6_route."""
    return (
        f"{NOUGHT} {length} {NOUGHT} 00 {gateway} {metric} 00000001 00000000 {flags} {interface}\n"
    )


def test_routes():
    """The cheapest IPv4 route is first, IPv6 behind; what is rejected or no default is left out."""
    ipv4 = (
        HEAD
        + v4("wlan0", "0102A8C0", "0003", 600)
        + v4("eth0", "010200C0", "0003", 100)
        + v4("ppp0", "00000000", "0001", 700)
        + v4("eth1", "010200C0", "0002", 0)
        + v4("tun0", "00000000", "0001", 0, mask="00000080")
        + v4("void", "00000000", "0201", 0)
    )
    ipv6 = (
        v6("lo", NOUGHT, "00200200", "ffffffff")
        + v6("eth0", "fe800000000000000000000000000001", "00450003", "00000064")
        + v6("eth0", NOUGHT, "00000001", "00000100", length="40").replace(
            NOUGHT, "fd" + "0" * 30, 1
        )
    )

    assert read_routes(ipv4, ipv6) == [
        Route(100, "eth0", "192.0.2.1"),
        Route(600, "wlan0", "192.168.2.1"),
        Route(700, "ppp0", ""),
        Route(100, "eth0", "fe80::1"),
    ]
    assert read_routes("", "") == read_routes(HEAD, "\n") == []


@pytest.mark.parametrize(
    ("address", "interface", "found"),
    [
        ("192.0.2.1", "eth0", "02:00:5e:00:53:01"),
        ("192.0.2.1", "eth1", ""),
        ("192.0.2.9", "eth0", ""),
        ("192.0.2.2", "eth0", ""),
    ],
)
def test_neighbours(address, interface, found):
    """A gateway's hardware address is that of its interface, once it is known."""
    arp = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "192.0.2.1        0x1         0x2         02:00:5e:00:53:01     *        eth0\n"
        "192.0.2.2        0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    )

    assert read_neighbour(arp, address, interface) == found


def test_ipv6_addresses():
    """An interface's own addresses with their prefixes, without the link-local one."""
    text = (
        "20010db8000000000000000000000007 02 40 00 80     eth0\n"
        "fdab0000000000000000000000000007 02 30 00 80     eth0\n"
        "fe800000000000000000000000000007 02 40 20 80     eth0\n"
        "20010db8000000000000000000000008 03 40 00 80     eth1\n"
    )

    assert read_ipv6_addresses(text, "eth0") == ["2001:db8::7/64", "fdab::7/48"]


def test_nameservers():
    """Resolvers stand in the order of the file; other lines are none."""
    text = (
        "#nameserver 192.0.2.1\nsearch test\nnameserver 192.0.2.53\n nameserver\t::1 \nnameserver\n"
    )

    assert read_nameservers(text) == ["192.0.2.53", "::1"]


DHCLIENT = b"""
lease {
  interface "eth0";
  fixed-address 192.0.2.7;
  option dhcp-lease-time 90000;
  option dhcp-server-identifier 192.0.2.1;
  expire 4 2026/01/04 10:02:19;
}
lease {
  interface "eth0";
  option dhcp-lease-time 3600;
  option dhcp-server-identifier 192.0.2.2;
}
lease {
  interface "eth1";
  option dhcp-server-identifier 192.0.2.3;
}
"""


def message(options: bytes) -> bytes:
    """Return a DHCP message with these options (RFC 2131)."""
    return b"\x02\x01\x06\x00" + bytes(232) + b"\x63\x82\x53\x63" + options


@pytest.mark.parametrize(
    ("data", "lease"),
    [
        (b"", Lease()),
        (
            b"# private\nADDRESS=192.0.2.7\nSERVER_ADDRESS=192.0.2.1\nLIFETIME=60\n",
            Lease("192.0.2.1", "60"),
        ),
        (b"ADDRESS=192.0.2.7\n", Lease()),
        (DHCLIENT, Lease("192.0.2.2", "3600")),
        (DHCLIENT.replace(b'"eth0"', b'"eth9"'), Lease()),
        (
            message(
                b"\x35\x01\x05\x00\x00\x36\x04\xc0\x00\x02\x01\x33\x04\x00\x00\x0e\x10\xff\x36\x04abcd"
            ),
            Lease("192.0.2.1", "3600"),
        ),
        (message(b"\x36\x04\xc0\x00"), Lease()),
        (message(b"\x36"), Lease()),
        (message(b""), Lease()),
    ],
)
def test_leases(data, lease):
    """Who gave the PC its address, and for how long, by each DHCP client's own file."""
    assert read_lease(data, "eth0") == lease


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_a_lease_or_none(data, whole):
    """No file breaks the reader."""
    read_lease(message(data) if whole else data, "eth0")
