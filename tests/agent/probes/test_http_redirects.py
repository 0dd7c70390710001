"""What the http probe sends, and where it lets itself be sent."""

import pytest
from yarl import URL

from agent import VERSION
from agent.probes.base import Env, Source
from agent.probes.http import Http, HttpParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt
from tests.agent.probes.servers import saying, serve
from tests.programs import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def moved(location: str, code: str = "302 Found") -> bytes:
    """Return a redirect, with a cookie that nobody should bring back."""
    head = f"HTTP/1.1 {code}\r\nLocation: {location}\r\nSet-Cookie: session=1\r\n"
    return f"{head}Content-Length: 4\r\n\r\nmove".encode()


def hearing(requests: list[bytes], *answers: bytes):
    """Return an act that keeps each connection's request and says the next answer."""

    async def act(reader, writer):
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[len(requests) - 1])
        await writer.drain()

    return act


def everywhere(*addresses: str) -> Env:
    """Return a world where every name leads to the same addresses."""

    async def resolve(_host, _ip_version):
        return list(addresses)

    return Env(resolve=resolve)


async def test_request(env, monkeypatch):
    """The request is plain and whole: no cookie, no body, no word of a proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    requests = []
    async with serve(hearing(requests, OK)) as port:
        url = f"http://127.0.0.1:{port}/cổng?một=1&b=%2F#top"
        rec = await attempt(Http, env, url)

    assert rec.failure is None
    assert requests == [
        "GET /c%E1%BB%95ng?m%E1%BB%99t=1&b=/ HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"User-Agent: thongsuot-agent/{VERSION}\r\n"
        "Accept: */*\r\n"
        "Connection: close\r\n\r\n".encode()
    ]


async def test_headers(env):
    """Headers of the check come beside the probe's own, or take their place."""
    requests = []
    headers = {"user-agent": "Kiểm tra", "X-One": "1", "Host": "portal.test"}
    async with serve(hearing(requests, OK)) as port:
        await attempt(Http, env, f"http://127.0.0.1:{port}/", headers=headers, method="HEAD")

    assert requests == [
        "HEAD / HTTP/1.1\r\nHost: portal.test\r\nuser-agent: Kiểm tra\r\nAccept: */*\r\n"
        "X-One: 1\r\nConnection: close\r\n\r\n".encode()
    ]


async def test_default_port_is_not_in_host():
    """The Host header names the port only where it is not the scheme's own."""
    probe = Http(HttpParams(), everywhere())
    assert b"Host: portal.test\r\n" in probe._request(URL("https://portal.test:443/"), private=True)


async def test_name_with_marks():
    """A name in letters of its own language is asked for in the form that servers know."""
    requests, asked = [], []

    async def resolve(host, _ip_version):
        asked.append(host)
        return ["127.0.0.1"]

    async with serve(hearing(requests, OK)) as port:
        await attempt(Http, Env(resolve=resolve), f"http://cổng.test:{port}/")

    assert asked == ["xn--cng-qmz.test"]
    assert f"\r\nHost: xn--cng-qmz.test:{port}\r\n".encode() in requests[0]


async def test_no_cookie_comes_back(env):
    """What a redirect wants to be remembered is forgotten."""
    requests = []
    async with serve(hearing(requests, moved("/next"), OK)) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/first")

    assert rec.failure is None
    assert [request.split(b" ")[1] for request in requests] == [b"/first", b"/next"]
    assert b"ookie" not in b"".join(requests)


async def test_length_of_a_redirect_is_forgotten(env):
    """The last response said nothing of its length, whatever a redirect said of its own."""
    requests = []
    async with serve(hearing(requests, moved("/"), b"HTTP/1.0 200 OK\r\n\r\nok")) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/")

    assert "http_content_length" not in rec.values
    assert rec.values["http_uncompressed_body_length"] == 2


@pytest.mark.parametrize("code", ["301 M", "302 F", "303 S", "307 T", "308 P"])
async def test_every_redirect(env, code):
    """All codes that redirect are followed, with the same method."""
    requests = []
    async with serve(hearing(requests, moved("../b?token=x", code), OK)) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/a/", method="HEAD")

    assert rec.failure is None
    assert [request.split(b" HTTP")[0] for request in requests] == [b"HEAD /a/", b"HEAD /b?token=x"]
    assert rec.facts["redirected_to"] == f"http://127.0.0.1:{port}/b"
    assert rec.values["http_redirects"] == 1


async def test_private_headers_stay_home():
    """What was meant for one host is not told to the one that it redirects to."""
    at_home, away = [], []
    headers = {"Authorization": "Bearer x", "COOKIE": "a=b", "Host": "home.test", "X-Any": "1"}
    async with serve(hearing(away, OK)) as there:
        elsewhere = moved(f"http://elsewhere.test:{there}/")
        async with serve(hearing(at_home, elsewhere)) as home:
            name = f"http://home.test:{home}/"
            rec = await attempt(Http, everywhere("127.0.0.1"), name, headers=headers)

    assert rec.failure is None
    [first], [second] = at_home, away
    assert b"Authorization: Bearer x" in first
    assert b"COOKIE: a=b" in first
    assert b"Host: home.test\r\n" in first
    assert b"Authorization" not in second
    assert b"COOKIE" not in second
    assert f"Host: elsewhere.test:{there}\r\n".encode() in second
    assert b"X-Any: 1" in second


async def test_redirect_to_tls(pki):
    """A redirect may change the scheme; the other host's own name is looked for then."""
    async with serve(saying(OK), tls=pki.good) as secure:
        away = moved(f"https://portal.test:{secure}/")
        async with serve(saying(away)) as plain:
            rec = await attempt(
                Http,
                everywhere("127.0.0.1"),
                f"http://home.test:{plain}/",
                ca_file=str(pki.ca_file),
                server_name="home.test",
            )

    assert rec.failure is None
    assert rec.values["http_ssl"] == 1
    assert list(rec.phases) == ["resolve", "connect", "processing", "transfer", "tls"]


async def test_redirect_away_from_tls(env, pki):
    """The last response decides whether it came over TLS; the certificate seen is still told."""
    async with serve(saying(OK)) as plain:
        away = moved(f"http://127.0.0.1:{plain}/")
        async with serve(saying(away), tls=pki.good) as secure:
            url = f"https://127.0.0.1:{secure}/"
            rec = await attempt(Http, env, url, ca_file=str(pki.ca_file))

    assert rec.failure is None
    assert rec.values["http_ssl"] == 0
    assert rec.values["ssl_earliest_cert_expiry"] == pki.good.earliest_expiry


@pytest.mark.parametrize(
    ("location", "detail"),
    [
        ("ftp://portal.test/", "to 'ftp://portal.test/', which is not HTTP"),
        ("javascript:alert(1)", "to 'javascript:alert(1)', which is not HTTP"),
        ("http://[2001:db8/", "to 'http://[2001:db8/': Invalid IPv6 URL"),
        ("http://portal.test:99999/", "to 'http://portal.test:99999/': Port out of range 0-65535"),
    ],
)
async def test_redirect_to_what_is_none(env, location, detail):
    """A redirect that cannot be followed is the failure, not its status code."""
    async with serve(saying(moved(location))) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/")

    assert (rec.failure, rec.detail) == (Failure.HTTP_REDIRECT, detail)
    assert rec.values["http_status_code"] == 302


async def test_redirect_without_a_location(env):
    """A redirect that says not where is the last response, and not a good one."""
    async with serve(saying(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/")

    assert (rec.failure, rec.detail) == (Failure.HTTP_STATUS, "302 Found")


async def test_redirect_to_nowhere(env):
    """A redirect to what does not listen is refused there; the facts tell where it led."""
    nowhere = f"http://127.0.0.1:{free_port()}/"
    async with serve(saying(moved(nowhere))) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/")

    assert rec.failure is Failure.REFUSED
    assert rec.facts["redirected_to"] == nowhere
    assert rec.values["http_redirects"] == 1


async def test_redirect_to_an_impossible_name(env):
    """A redirect to a name that cannot be is a name without an address."""
    async with serve(saying(moved(f"http://{'x' * 64}.test/"))) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/")

    assert rec.failure is Failure.RESOLVE_FAILED


async def test_captive_portal(env):
    """A check that stays on its host takes a redirect to another one as the failure."""
    async with serve(saying(moved("http://login.example/"))) as port:
        url = f"http://127.0.0.1:{port}/"
        rec = await attempt(Http, env, url, stay_on_host=True)

    assert (rec.failure, rec.detail) == (
        Failure.HTTP_REDIRECT,
        "to another host: http://login.example",
    )


async def test_every_connection_goes_over_the_line(env):
    """The target's line is kept through redirects."""
    seen = []

    async def act(reader, writer):
        seen.append(writer.get_extra_info("peername")[0])
        await saying(OK if len(seen) > 1 else moved("/"))(reader, writer)

    async with serve(act) as port:
        url = f"http://127.0.0.1:{port}/"
        await attempt(Http, env, url, source=Source(address="127.0.0.3"))

    assert seen == ["127.0.0.3", "127.0.0.3"]
