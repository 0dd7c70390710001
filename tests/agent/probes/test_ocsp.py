"""A responder is asked about a certificate: what it says counts only signed, whole and of today."""

import re
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from agent.probes.base import ProbeError
from agent.probes.ocsp import Ocsp, OcspParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import serve, silent
from tests.agent.probes.tries import Tried
from tests.lab.servers.ocsp import make_registry, responder
from tests.programs import free_port

PHASES = ["resolve", "connect", "processing", "transfer"]
DAY = 86400


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Make an authority and its certificates."""
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def port(registry):
    """Run openssl's responder, signed by a delegate, as authorities do."""
    with responder(registry, registry.delegate) as listening:
        yield listening


def files(registry, certificate="good"):
    """Return the params that name the pair."""
    return {
        "certificate_file": str(getattr(registry, certificate)),
        "issuer_file": str(registry.ca.cert),
    }


def status_of(rec):
    """Return the status that has 1, when the others have 0."""
    found = {
        name.partition(".")[2]: number
        for name, number in rec.values.items()
        if name.startswith("ocsp_certificate_status.")
    }
    assert sorted(found.values()) in ([], [0, 0, 1])
    return next((name for name, number in found.items() if number), None)


@pytest.mark.real
async def test_good(env, registry, port):
    """Good: every phase is timed, and the answer's dates are told."""
    before = open_files()
    rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry))

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == PHASES
    assert status_of(rec) == "good"
    assert rec.values["ocsp_response_status"] == 0
    assert abs(rec.values["ocsp_this_update_timestamp_seconds"] - time.time()) < 60
    until = rec.values["ocsp_next_update_timestamp_seconds"] - DAY
    assert until == rec.values["ocsp_this_update_timestamp_seconds"]
    assert open_files() == before


@pytest.mark.real
async def test_revoked(env, registry, port):
    """Revoked is an answer: the responder is up, and says since when and why."""
    rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry, "revoked"))

    assert rec.failure is None
    assert status_of(rec) == "revoked"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \S+ UTC, keyCompromise", rec.facts["revoked"])


@pytest.mark.real
async def test_unknown(env, registry, port):
    """A responder that does not know its own certificate fails; its answer stays on record."""
    rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry, "unknown"))

    assert rec.failure is Failure.STATUS
    assert rec.detail == "the responder does not know the certificate"
    assert status_of(rec) == "unknown"


@pytest.mark.real
async def test_signed_by_the_issuer(env, registry):
    """The issuer may sign itself."""
    with responder(registry, registry.ca) as port:
        rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry))

    assert (rec.failure, status_of(rec)) == (None, "good")


@pytest.mark.real
@pytest.mark.parametrize("signer", ["stranger", "upstart"])
async def test_signed_by_others(env, registry, signer):
    """A responder without the right to sign says nothing: no state is told."""
    with responder(registry, getattr(registry, signer)) as port:
        rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry))

    assert rec.failure is Failure.BAD_SIGNATURE
    assert set(rec.values) == {"ip_protocol", "ocsp_response_status"}


@pytest.mark.real
@pytest.mark.parametrize(
    ("ahead", "detail"),
    [
        (2 * DAY, r"found an answer valid until 20\S+ \S+ UTC, expected a newer"),
        (-DAY, r"found an answer dated 86\d\d\d s ahead of this PC's clock: one of both is wrong"),
    ],
)
async def test_not_of_today(env, registry, ahead, detail):
    """An answer past its time or ahead of it is outdated; its dates are told for people to see."""
    env.wall = lambda: time.time() + ahead
    with responder(registry, registry.ca) as port:  # a delegate's certificate begins later
        rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry))

    assert rec.failure is Failure.OUTDATED
    assert re.fullmatch(detail, rec.detail)
    assert status_of(rec) == "good"
    assert "ocsp_next_update_timestamp_seconds" in rec.values


def answering(answer, heard=None):
    """Return an act that answers each request with these bytes."""

    async def act(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        body = await reader.readexactly(length)
        if heard is not None:
            heard.append((head, body))
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return act


def ok(body: bytes) -> bytes:
    """Return a response of status 200."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


UNAUTHORIZED = bytes.fromhex("30030a0106")


@pytest.mark.parametrize(
    ("answer", "verdict", "status"),
    [
        (
            ok(bytes.fromhex("30030a0103")),
            (Failure.STATUS, "found try later, expected successful"),
            3,
        ),
        (ok(UNAUTHORIZED), (Failure.STATUS, "found unauthorized, expected successful"), 6),
        (
            ok(b"<html>Login</html>"),
            (Failure.MALFORMED, "found a page of HTML or XML, expected an OCSP response"),
            None,
        ),
        (ok(b""), (Failure.MALFORMED, "found nothing, expected an OCSP response"), None),
        (
            ok(bytes(1 << 17)),
            (Failure.TOO_LARGE, "the response is larger than 65536 bytes"),
            None,
        ),
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            (Failure.HTTP_STATUS, "503 Service Unavailable"),
            None,
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            (Failure.HTTP_STATUS, "302 Found"),
            None,
        ),
        (
            ok(UNAUTHORIZED)[:-1],
            (Failure.CLOSED, "the connection was closed after 4 bytes of the body"),
            None,
        ),
    ],
)
async def test_bad_server(env, registry, answer, verdict, status):
    """Each bad answer has its word; of the certificate nothing is told."""
    before = open_files()
    async with serve(answering(answer)) as port:
        rec = await attempt(Ocsp, env, f"http://127.0.0.1:{port}/", **files(registry))

    assert (rec.failure, rec.detail) == verdict
    assert rec.values.get("ocsp_response_status") == status
    assert status_of(rec) is None
    assert open_files() == before


async def test_what_is_asked(env, registry):
    """One POST of a request without a nonce, as RFC 6960 A.1 has it."""
    heard = []
    async with serve(answering(ok(UNAUTHORIZED), heard)) as port:
        await attempt(Ocsp, env, f"http://127.0.0.1:{port}/ocsp?a=b", **files(registry))

    ((head, body),) = heard
    assert head.startswith(b"POST /ocsp?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nContent-Type: application/ocsp-request\r\n" in head
    assert not ocsp.load_der_ocsp_request(body).extensions


async def test_hung_and_dead(env, registry):
    """A responder that says nothing runs into the deadline; where none is, it is refused."""
    before = open_files()
    async with serve(silent) as port:
        url = f"http://127.0.0.1:{port}/"
        rec = await attempt(Ocsp, env, url, seconds=0.2, **files(registry))
    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "processing")

    rec = await attempt(Ocsp, env, f"http://127.0.0.1:{free_port()}/", **files(registry))
    assert (rec.failure, rec.current_phase) == (Failure.REFUSED, "connect")
    assert open_files() == before


async def test_files_that_are_none(env, registry, tmp_path):
    """Files that cannot be read are our error, and name the parameter."""
    params = files(registry) | {"issuer_file": str(tmp_path / "none.pem")}
    with pytest.raises(ProbeError) as caught:
        await attempt(Ocsp, env, "http://127.0.0.1:9/", **params)

    assert str(caught.value) == (
        f"issuer_file {tmp_path}/none.pem: expected a certificate as PEM: "
        f"[Errno 2] No such file or directory: '{tmp_path}/none.pem'"
    )


async def test_without_the_extra(env, registry, monkeypatch):
    """Without cryptography the probe says what to install; the kind is known all the same."""
    monkeypatch.delitem(sys.modules, "agent.probes.signatures", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delattr("agent.probes.signatures", raising=False)
    with pytest.raises(ProbeError) as caught:
        await attempt(Ocsp, env, "http://127.0.0.1:9/", **files(registry))

    assert str(caught.value).endswith(": install thongsuot[signatures]")


@pytest.mark.parametrize("module", ["agent.service", "collector.app"])
def test_nobody_pays_who_does_not_ask(module):
    """Agent and centre know the kind without loading cryptography."""
    code = f"import sys, {module}; from agent.probes import PROBES; assert 'ocsp' in PROBES;"
    code += "sys.exit('cryptography' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_targets(registry):
    """A target is the responder's URL."""
    params = OcspParams(**files(registry))
    assert not Ocsp.refuse_target("http://ocsp.test/", params)
    assert Ocsp.refuse_target("ocsp.test", params) == "expected http://host/… or https://host/…"


def answer_of(registry) -> bytes:
    """Return a good answer, as a responder would sign it."""
    certificate = x509.load_pem_x509_certificate(registry.good.read_bytes())
    issuer, now = registry.authority.certificate, datetime.now(UTC)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=certificate,
        issuer=issuer,
        algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=now,
        next_update=now + timedelta(days=1),
        revocation_time=None,
        revocation_reason=None,
    )
    named = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, issuer)
    signed = named.sign(registry.authority.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


@asynccontextmanager
async def tried(pki):
    """Offer a responder, and one that sends everybody away."""
    registry = make_registry(pki.ca_file.parent / "ocsp")
    params = files(registry) | {"ca_file": str(pki.ca_file)}
    good = ok(answer_of(registry))
    async with (
        serve(answering(good), tls=pki.good) as up,
        serve(answering(ok(UNAUTHORIZED)), tls=pki.good) as down,
    ):
        yield Tried(f"https://127.0.0.1:{up}/", params), Tried(f"https://127.0.0.1:{down}/", params)
