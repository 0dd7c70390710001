"""What a path is traced by: the failed protocol and port, as the check says them."""

import pytest

from agent.aim import SYSTEM, Aim, aim


@pytest.mark.parametrize(
    ("kind", "target", "params", "expected"),
    [
        ("http", "https://portal.example/a?b", {}, ("tcp", "portal.example", 443, True)),
        ("http", "http://[2001:db8::1]:8080/", {}, ("tcp", "2001:db8::1", 8080, False)),
        ("hls", "https://tv.example:8443/x.m3u8", {}, ("tcp", "tv.example", 8443, True)),
        ("tcp", "mcu.example:1720", {}, ("tcp", "mcu.example", 1720, False)),
        ("tls", "[2001:db8::1]:993", {}, ("tcp", "2001:db8::1", 993, True)),
        ("icmp", "192.0.2.1", {}, ("icmp", "192.0.2.1", 0, False)),
        ("icmp", "2001:db8::1", {}, ("icmp", "2001:db8::1", 0, False)),
        ("mtu", "centre.example", {}, ("icmp", "centre.example", 0, False)),
        ("dns", "192.0.2.53", {}, ("udp", "192.0.2.53", 53, False)),
        ("dns", "2001:db8::53", {}, ("udp", "2001:db8::53", 53, False)),
        ("dns", "192.0.2.53:5353", {"transport": "tcp"}, ("tcp", "192.0.2.53", 5353, False)),
        ("dns", "system", {}, ("udp", SYSTEM, 53, False)),
        ("ntp", "time.example", {}, ("udp", "time.example", 123, False)),
        ("stun", "turn.example:3479", {}, ("udp", "turn.example", 3479, False)),
        ("sip", "mcu.example:5060", {}, ("udp", "mcu.example", 5060, False)),
        ("sip", "mcu.example:5061", {"transport": "tls"}, ("tcp", "mcu.example", 5061, True)),
        ("mail", "thu.example:587", {"protocol": "smtp"}, ("tcp", "thu.example", 587, False)),
        ("mail", "thu.example:993", {"protocol": "imaps"}, ("tcp", "thu.example", 993, True)),
        ("sip", "mcu.example:5070", {"transport": "tcp"}, ("tcp", "mcu.example", 5070, False)),
        ("h323", "mcu.example:1720", {}, ("tcp", "mcu.example", 1720, False)),
        ("unheard-of", "host.example", {}, ("icmp", "host.example", 0, False)),
    ],
)
def test_each_kind_is_traced_as_it_speaks(kind, target, params, expected):
    """Protocol, host, port, and whether TLS begins at once."""
    found = aim(kind, target, params)

    assert found is not None
    assert (found.protocol, found.host, found.port, found.tls) == expected


@pytest.mark.parametrize(
    ("kind", "target"), [("pc", "self"), ("nic", "eth0"), ("http", "http://localhost:8080/")]
)
def test_this_pc_is_no_aim(kind, target):
    """There is no way to oneself."""
    assert aim(kind, target, {}) is None


@pytest.mark.parametrize(
    ("kind", "target", "params", "name"),
    [
        ("http", "https://portal.example/", {}, "portal.example"),
        ("http", "https://192.0.2.1/", {}, ""),
        ("dns", "192.0.2.53", {"query_name": "portal.example"}, "portal.example"),
        ("dns", "system", {"query_name": "portal.example"}, "portal.example"),
    ],
)
def test_resolvers_are_asked_the_name_that_failed(kind, target, params, name):
    """A DNS check's question, else the target's name; nothing where the target is an address."""
    found = aim(kind, target, params)

    assert found is not None
    assert found.name == name


def test_checks_of_one_target_share_an_aim():
    """Two pages of one server are one way."""
    pages = [aim("http", f"https://portal.example/{page}", {}) for page in "ab"]

    assert pages[0] == pages[1]
    assert isinstance(pages[0], Aim)
