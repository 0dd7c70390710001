"""What a check may ask of the DNS probe, and what is refused when it is configured."""

import msgspec
import pytest

from agent.probes.dns import Dns, DnsParams

NAME = "portal.test"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system", ""),
        ("192.0.2.53", ""),
        ("192.0.2.53:5353", ""),
        ("2001:db8::53", ""),
        ("[2001:db8::53]:5353", ""),
        ("dns.test", ""),
        ("dns.test:53", ""),
        (
            "192.0.2.53:0",
            "expected a port from 1 to 65535 after the host; or an address or name alone, or system",
        ),
        (
            "[2001:db8::53]",
            "expected host:port, or [address]:port for IPv6; or an address or name alone, or system",
        ),
        ("a:b:c", "expected a host name of letters, digits, '-' and '_'"),
        ("", "expected a host name of letters, digits, '-' and '_'"),
    ],
)
def test_targets(name, expected):
    """A target that is no resolver is refused with what was expected of it."""
    assert Dns.refuse_target(name, DnsParams(query_name=NAME)) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Object missing required field `query_name`"),
        (
            {"query_name": "a..test"},
            "query_name is 'a..test', expected a domain name: A DNS label is empty.",
        ),
        (
            {"query_name": NAME, "expect_addresses": ["192.0.2.256"]},
            "expect_addresses: expected addresses, got '192.0.2.256'",
        ),
        (
            {"query_name": NAME, "query_type": "MX", "expect_addresses": ["192.0.2.1"]},
            "expect_addresses: no answer of query_type MX can be one of them",
        ),
        (
            {"query_name": NAME, "expect_addresses": ["2001:db8::1"]},
            "expect_addresses: no answer of query_type A can be one of them",
        ),
        (
            {"query_name": NAME, "query_type": "ANY"},
            "Invalid enum value 'ANY' - at `$.query_type`",
        ),
        (
            {"query_name": NAME, "expect_rcodes": ["OK"]},
            "Invalid enum value 'OK' - at `$.expect_rcodes[0]`",
        ),
    ],
)
def test_params(params, message):
    """What could never be asked, or never be right, is refused when it is configured."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(params, DnsParams, strict=True)

    assert str(caught.value) == message
