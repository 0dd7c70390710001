"""What a check may say of an http probe, and what it may not."""

import msgspec
import pytest

from agent.probes.http import Http, HttpParams


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://portal.test", ""),
        ("https://cổng.test:8443/đường?dẫn=1", ""),
        ("https://[2001:db8::1]/", ""),
        ("portal.test", "expected http://host/… or https://host/…"),
        ("ftp://portal.test/", "expected http://host/… or https://host/…"),
        ("http:///path", "expected http://host/… or https://host/…"),
        ("http://portal.test:0/", "expected http://host/… or https://host/…"),
        ("http://portal.test:70000/", "expected a URL (Port out of range 0-65535)"),
        ("http://[2001:db8/", "expected a URL (Invalid IPv6 URL)"),
        (
            "http://user:word@portal.test/",
            "expected no user or password in the URL; params.headers can hold them",
        ),
        ("http://192.0.2.256/", "expected an IPv4 address of four numbers from 0 to 255"),
    ],
)
def test_targets(url, expected):
    """A target that is no URL for us is refused with what was expected of it."""
    assert Http.refuse_target(url, HttpParams()) == expected


def test_target_of_the_other_version():
    """An address that the check's ip_version excludes is refused."""
    expected = "expected a name or an IPv6 address, as ip_version says"
    assert Http.refuse_target("http://192.0.2.1/", HttpParams(ip_version=6)) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"metod": "GET"}, "Object contains unknown field `metod`"),
        ({"method": "POST"}, "Invalid enum value 'POST' - at `$.method`"),
        ({"status_codes": [20]}, "Expected `int` >= 100 - at `$.status_codes[0]`"),
        ({"max_redirects": -1}, "Expected `int` >= 0 - at `$.max_redirects`"),
        ({"max_body_bytes": 0}, "Expected `int` >= 1 - at `$.max_body_bytes`"),
        ({"headers": {"a b": "x"}}, "header 'a b': expected a name and one printable line"),
        ({"headers": {"A": "x\r\nB: y"}}, "header 'A': expected a name and one printable line"),
        ({"headers": {"Connection": "x"}}, "header 'Connection': is the probe's own to set"),
        (
            {"method": "HEAD", "body_contains": ["x"]},
            "method is HEAD, so there is no body: expected GET, or no texts",
        ),
        (
            {"server_name": "portal..test"},
            "server_name 'portal..test': expected a host name with labels of 1 to 63 characters",
        ),
    ],
)
def test_params(params, message):
    """Parameters that make no sense are refused when configured, with what was expected."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(params, HttpParams, strict=True)

    assert str(caught.value) == message
