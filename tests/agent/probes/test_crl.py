"""A revocation list is downloaded, and counts only if the authority signed it and it is of today."""

import re
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from agent.probes.base import ProbeError
from agent.probes.crl import LIST_BYTES, Crl, CrlParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import serve, silent
from tests.agent.probes.tries import Tried
from tests.lab.servers.ocsp import make_registry, revocation_list
from tests.lab.servers.web import web
from tests.programs import free_port

DAY = 86400


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Make an authority and its certificates."""
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Run an nginx; return its folder and its URL."""
    folder = tmp_path_factory.mktemp("crl")
    with web(folder) as port:
        yield folder / "www", f"http://127.0.0.1:{port}"


@pytest.mark.real
@pytest.mark.parametrize("way", ["", "/moved"])
async def test_good(env, registry, served, way):
    """Openssl's list over nginx, redirected or not: its size and its dates are told."""
    folder, url = served
    body = revocation_list(registry, registry.ca)
    (folder / "ca.crl").write_bytes(body)
    before = open_files()
    rec = await attempt(Crl, env, f"{url}{way}/ca.crl", issuer_file=str(registry.ca.cert))

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == ["resolve", "connect", "processing", "transfer"]
    assert rec.values["crl_bytes"] == len(body)
    until = rec.values["crl_next_update_timestamp_seconds"]
    assert abs(until - time.time() - DAY) < 60
    assert rec.values["crl_this_update_timestamp_seconds"] == until - 2 * DAY
    assert open_files() == before


@pytest.mark.real
async def test_outdated(env, registry, served):
    """A list that nobody has renewed is outdated; until when it was valid is told."""
    folder, url = served
    body = revocation_list(registry, registry.ca, ends=timedelta(hours=-1))
    (folder / "old.crl").write_bytes(body)
    rec = await attempt(Crl, env, f"{url}/old.crl", issuer_file=str(registry.ca.cert))

    assert rec.failure is Failure.OUTDATED
    assert re.fullmatch(r"found an answer valid until 20\S+ \S+ UTC, expected a newer", rec.detail)
    assert rec.values["crl_next_update_timestamp_seconds"] < time.time()


@pytest.mark.real
async def test_signed_by_another(env, registry, served):
    """A list that a stranger of the same name has signed says nothing: no date is told."""
    folder, url = served
    (folder / "forged.crl").write_bytes(revocation_list(registry, registry.stranger))
    rec = await attempt(Crl, env, f"{url}/forged.crl", issuer_file=str(registry.ca.cert))

    assert rec.failure is Failure.BAD_SIGNATURE
    assert rec.detail == "the signature is not that of issuer_file"
    assert set(rec.values) == {"ip_protocol", "crl_bytes"}


@pytest.mark.real
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (None, (Failure.HTTP_STATUS, "404 Not Found")),
        (
            b"<html>Login</html>",
            (
                Failure.MALFORMED,
                "found a page of HTML or XML, expected a certificate revocation list",
            ),
        ),
        (
            bytes(LIST_BYTES + 1),
            (Failure.TOO_LARGE, f"the list is larger than {LIST_BYTES} bytes"),
        ),
    ],
)
async def test_no_list(env, registry, served, body, verdict):
    """What is not there, is something else, or never ends has its word."""
    folder, url = served
    name = "none.crl" if body is None else "bad.crl"
    if body is not None:
        (folder / name).write_bytes(body)
    rec = await attempt(Crl, env, f"{url}/{name}", issuer_file=str(registry.ca.cert))

    assert (rec.failure, rec.detail) == verdict
    assert "crl_next_update_timestamp_seconds" not in rec.values


async def test_hung_and_dead(env, registry):
    """A server that says nothing runs into the deadline; where none is, it is refused."""
    params = {"issuer_file": str(registry.ca.cert)}
    before = open_files()
    async with serve(silent) as port:
        rec = await attempt(Crl, env, f"http://127.0.0.1:{port}/", seconds=0.2, **params)
    assert (rec.failure, rec.current_phase) == (Failure.TIMEOUT, "processing")

    rec = await attempt(Crl, env, f"http://127.0.0.1:{free_port()}/", **params)
    assert (rec.failure, rec.current_phase) == (Failure.REFUSED, "connect")
    assert open_files() == before


async def test_file_that_is_none(env, tmp_path):
    """An issuer that cannot be read is our error, told before anybody is asked."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ProbeError) as caught:
        await attempt(Crl, env, "http://127.0.0.1:9/", issuer_file=str(path))

    assert str(caught.value).startswith(f"issuer_file {path}: expected a certificate as PEM: ")


def test_targets():
    """A target is the list's URL."""
    params = CrlParams(issuer_file="ca.pem")
    assert not Crl.refuse_target("http://crl.test/ca.crl", params)
    assert Crl.refuse_target("crl.test", params) == "expected http://host/… or https://host/…"


@asynccontextmanager
async def tried(pki):
    """Offer a list, and one that is no longer valid."""
    registry = make_registry(pki.ca_file.parent / "crl")
    params = {"issuer_file": str(registry.ca.cert), "ca_file": str(pki.ca_file)}
    now, day = datetime.now(UTC), timedelta(days=1)

    def answering(until):
        builder = x509.CertificateRevocationListBuilder(
            registry.authority.certificate.subject, now - 2 * day, until
        )
        made = builder.sign(registry.authority.key, hashes.SHA256())
        body = made.public_bytes(serialization.Encoding.DER)

        async def act(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        return act

    async with (
        serve(answering(now + day), tls=pki.good) as up,
        serve(answering(now - day), tls=pki.good) as down,
    ):
        yield Tried(f"https://127.0.0.1:{up}/", params), Tried(f"https://127.0.0.1:{down}/", params)
