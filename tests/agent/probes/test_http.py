"""The http probe asks one question, follows where it is sent, and judges what it finds."""

import itertools
import ssl
from contextlib import asynccontextmanager
from unicodedata import normalize

import pytest

from agent.probes.base import ProbeError, Source
from agent.probes.http import Http
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import PAGE, saying, serve, server_context, stopped
from tests.agent.probes.tries import Tried
from tests.programs import free_port

PHASES = ["resolve", "connect", "processing", "transfer"]
TLS_PHASES = ["resolve", "connect", "tls", "processing", "transfer"]


@pytest.mark.real
@pytest.mark.parametrize(("host", "version"), [("127.0.0.1", 4), ("[::1]", 6)])
async def test_plain(env, nginx, host, version):
    """A page over plain HTTP: four phases, and all that is known of the response."""
    rec = await attempt(Http, env, f"http://{host}:{nginx.http}/")

    assert rec.failure is None
    assert list(rec.phases) == PHASES
    assert all(0 < seconds < 1 for seconds in rec.phases.values())
    assert rec.values == {
        "ip_protocol": version,
        "http_redirects": 0,
        "http_ssl": 0,
        "http_status_code": 200,
        "http_version": 1.1,
        "http_content_length": len(PAGE.encode()),
        "http_uncompressed_body_length": len(PAGE.encode()),
    }


@pytest.mark.real
@pytest.mark.parametrize("shown", ["good", "rsa", "chain"])
async def test_tls(env, nginx, pki, shown):
    """A page over TLS has a fifth phase and tells when the first certificate expires."""
    url = f"https://127.0.0.1:{nginx.https[shown]}/"
    rec = await attempt(Http, env, url, ca_file=str(pki.ca_file))

    assert rec.failure is None
    assert list(rec.phases) == TLS_PHASES
    assert rec.values["http_ssl"] == 1
    assert rec.values["ssl_earliest_cert_expiry"] == getattr(pki, shown).earliest_expiry


@pytest.mark.real
@pytest.mark.parametrize(
    ("shown", "failure"),
    [
        ("expired", Failure.TLS_EXPIRED),
        ("future", Failure.TLS_NOT_YET_VALID),
        ("wrong_name", Failure.TLS_WRONG_NAME),
        ("untrusted", Failure.TLS_UNTRUSTED),
    ],
)
async def test_bad_certificate(env, nginx, pki, shown, failure):
    """A bad certificate ends the attempt before a request is sent; its date is told."""
    url = f"https://127.0.0.1:{nginx.https[shown]}/"
    rec = await attempt(Http, env, url, ca_file=str(pki.ca_file))

    assert rec.failure is failure
    assert list(rec.phases) == ["resolve", "connect"]
    assert rec.values["ssl_earliest_cert_expiry"] == getattr(pki, shown).earliest_expiry
    assert "http_status_code" not in rec.values

    unverified = await attempt(Http, env, url, verify=False)
    assert unverified.failure is None


@pytest.mark.real
async def test_zipped(env, nginx):
    """A compressed body is asked for by a header, decoded, and measured as it is read."""
    url = f"http://127.0.0.1:{nginx.http}/zipped/"
    headers = {"accept-encoding": "gzip"}
    rec = await attempt(Http, env, url, headers=headers, body_contains=["dịch vụ"])

    assert rec.failure is None
    assert "http_content_length" not in rec.values
    assert rec.values["http_uncompressed_body_length"] == len(PAGE.encode())


@pytest.mark.real
async def test_head(env, nginx):
    """HEAD asks for no body; the length is the header's word."""
    rec = await attempt(Http, env, f"http://127.0.0.1:{nginx.http}/large.bin", method="HEAD")

    assert rec.failure is None
    assert rec.values["http_content_length"] == 2 << 20
    assert rec.values["http_uncompressed_body_length"] == 0


@pytest.mark.real
async def test_redirects(env, nginx, pki):
    """Redirects are followed over connections of their own, whose phases add up."""
    seconds = itertools.count(0, 1_000_000_000)  # a clock that goes on by one each time it is read
    url = f"https://127.0.0.1:{nginx.https['good']}/"
    params = {"ca_file": str(pki.ca_file), "monotonic_ns": lambda: next(seconds)}
    rec = await attempt(Http, env, f"{url}moved", **params)

    assert rec.failure is None
    assert (rec.values["http_redirects"], rec.values["http_status_code"]) == (2, 200)
    assert rec.facts["redirected_to"] == url
    assert rec.phases == dict.fromkeys(TLS_PHASES, 3.0)


@pytest.mark.real
@pytest.mark.parametrize(("most", "followed"), [(1, 1), (10, 10)])
async def test_redirect_loop(env, nginx, most, followed):
    """A circle is left after as many redirects as the check allows."""
    url = f"http://127.0.0.1:{nginx.http}/loop"
    rec = await attempt(Http, env, url, max_redirects=most)

    assert (rec.failure, rec.detail) == (
        Failure.HTTP_REDIRECT,
        f"redirected more than {most} times",
    )
    assert rec.values["http_redirects"] == followed
    assert rec.values["http_status_code"] == 302


@pytest.mark.real
async def test_redirect_as_the_answer(env, nginx):
    """Where none may be followed, a redirect is a response like any other."""
    url = f"http://127.0.0.1:{nginx.http}/moved"
    judged = await attempt(Http, env, url, max_redirects=0)
    accepted = await attempt(Http, env, url, max_redirects=0, status_codes=[301])

    assert (judged.failure, judged.detail) == (Failure.HTTP_STATUS, "301 Moved Permanently")
    assert accepted.failure is None
    assert accepted.values["http_redirects"] == 0


@pytest.mark.parametrize(
    ("codes", "failure"),
    [([], Failure.HTTP_STATUS), ([200, 503], None), ([200], Failure.HTTP_STATUS)],
)
async def test_status_codes(env, codes, failure):
    """Codes of the 200s are good unless the check names its own; the body is read all the same."""
    async with serve(saying(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/", status_codes=codes)

    assert rec.failure is failure
    assert rec.detail == ("503 Busy" if failure else "")
    assert rec.values["http_uncompressed_body_length"] == 4


PAGE_WORDS = "<title>Cổng dịch vụ công</title>"


@pytest.mark.parametrize(
    ("page", "headers", "texts", "detail"),
    [
        (PAGE_WORDS.encode(), "", {"body_contains": ["Cổng", "dịch vụ"]}, None),
        (PAGE_WORDS.encode(), "", {"body_lacks": ["bảo trì"]}, None),
        (PAGE_WORDS.encode(), "", {"body_contains": ["cổng DỊCH vụ"]}, None),
        (PAGE_WORDS.encode(), "", {"body_lacks": ["DỊCH"]}, "must not be there: 'DỊCH'"),
        ("<b>UBND PHƯỜNG TÂN HOÀ</b>".encode(), "", {"body_contains": ["Phường Tân Hòa"]}, None),
        ("xã Thúy Quý".encode(), "", {"body_contains": ["Xã Thuý Quý"]}, None),
        ("Phường Đông Tiến".encode(), "", {"body_contains": ["Đồng Tiến"]}, "missing: 'Đồng Tiến'"),
        ("Tân Hoa".encode(), "", {"body_contains": ["Tân Hòa"]}, "missing: 'Tân Hòa'"),
        (PAGE_WORDS.encode(), "", {"body_contains": ["Cổng", "lịch"]}, "missing: 'lịch'"),
        (PAGE_WORDS.encode(), "", {"body_lacks": ["dịch"]}, "must not be there: 'dịch'"),
        (b"", "", {"body_contains": ["x"]}, "missing: 'x'"),
        (normalize("NFD", PAGE_WORDS).encode(), "", {"body_contains": ["dịch vụ"]}, None),
        (PAGE_WORDS.encode(), "", {"body_contains": [normalize("NFD", "dịch vụ")]}, None),
        (
            PAGE_WORDS.encode("utf-16"),
            "Content-Type: text/html; charset=UTF-16\r\n",
            {"body_contains": ["dịch vụ"]},
            None,
        ),
        (
            PAGE_WORDS.encode(),
            "Content-Type: text/html; charset=no-such\r\n",
            {"body_contains": ["dịch vụ"]},
            None,
        ),
        (
            PAGE_WORDS.encode(),
            "Content-Type: text/html; charset=punycode\r\n",
            {"body_contains": ["dịch vụ"]},
            None,
        ),
        (b"\xff\xfe\x00title", "", {"body_contains": ["title"]}, None),
    ],
)
async def test_texts(env, page, headers, texts, detail):
    """Texts are looked for as people read them, whatever the page's charset and composition."""
    answer = f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(page)}\r\n\r\n".encode() + page
    async with serve(saying(answer)) as port:
        rec = await attempt(Http, env, f"http://127.0.0.1:{port}/", **texts)

    assert rec.failure is (Failure.HTTP_BODY if detail else None)
    assert rec.detail == (detail or "")
    assert rec.values["failed_due_to_regex"] == (1 if detail else 0)


@pytest.mark.real
async def test_tls_on_a_plain_port(env, nginx):
    """HTTPS to a port that speaks HTTP is a failed handshake."""
    rec = await attempt(Http, env, f"https://127.0.0.1:{nginx.http}/")

    assert (rec.failure, rec.detail) == (Failure.TLS_HANDSHAKE, "wrong version number")


@pytest.mark.real
async def test_plain_on_a_tls_port(env, nginx):
    """HTTP to a port that speaks TLS is answered by nginx with status 400."""
    rec = await attempt(Http, env, f"http://127.0.0.1:{nginx.https['good']}/")

    assert (rec.failure, rec.detail) == (Failure.HTTP_STATUS, "400 Bad Request")


async def test_client_certificate_wanted(env, pki):
    """A server that wants a certificate of ours breaks the session off after the handshake."""
    context = server_context(pki.good)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.ca_file)

    async def act(reader, writer):
        await writer.start_tls(context)

    async with serve(act) as port:
        url = f"https://127.0.0.1:{port}/"
        rec = await attempt(Http, env, url, ca_file=str(pki.ca_file))

    assert rec.failure in {Failure.TLS_HANDSHAKE, Failure.CLOSED, Failure.RESET}
    assert "tls" in rec.phases


@pytest.mark.real
async def test_hung_server(env, nginx):
    """A stopped nginx still connects, by the kernel's hand, and then never answers."""
    before = open_files()
    with stopped(nginx.master):
        rec = await attempt(Http, env, f"http://127.0.0.1:{nginx.http}/", seconds=0.1)

    assert rec.failure is Failure.TIMEOUT
    assert (list(rec.phases), rec.current_phase) == (["resolve", "connect"], "processing")
    assert open_files() == before


async def test_refused(env):
    """A port without a listener is refused, in phase connect."""
    rec = await attempt(Http, env, f"http://127.0.0.1:{free_port()}/")

    assert (rec.failure, rec.current_phase) == (Failure.REFUSED, "connect")


async def test_line_that_is_not_here(env):
    """A line whose address this machine does not have is our error, not the target's failure."""
    with pytest.raises(ProbeError) as caught:
        await attempt(Http, env, "http://127.0.0.1:9/", source=Source(address="192.0.2.1"))

    assert str(caught.value) == "cannot use line at 192.0.2.1: Cannot assign requested address"


HELLO = b"HTTP/1.1 %d Said\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


@asynccontextmanager
async def tried(pki):
    """Give a page over TLS, and be a server that is not well."""
    params = {"ca_file": str(pki.ca_file), "body_contains": ["hello"]}
    async with (
        serve(saying(HELLO % 200), tls=pki.good) as good,
        serve(saying(HELLO % 503), tls=pki.good) as ill,
    ):
        yield (
            Tried(f"https://127.0.0.1:{good}/", params),
            Tried(f"https://127.0.0.1:{ill}/", params),
        )
