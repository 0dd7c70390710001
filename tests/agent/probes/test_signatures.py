"""Signed answers on revocation are believed only from whom, on what and for when they should be."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.base import ProbeError, TargetError
from agent.probes.signatures import Dates, Question, read_crl, read_response
from agent.wire import Failure
from tests.lab.servers.ocsp import make_registry
from tests.pki import common_name, start

VECTORS = json.loads(Path(__file__).with_name("ocsp_vectors.json").read_text("utf-8"))
NOW = datetime.now(UTC).replace(microsecond=0)
STATES = {
    "good": ocsp.OCSPCertStatus.GOOD,
    "revoked": ocsp.OCSPCertStatus.REVOKED,
    "unknown": ocsp.OCSPCertStatus.UNKNOWN,
}
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Make an authority and its certificates."""
    return make_registry(tmp_path_factory.mktemp("registry"))


def loaded(path):
    """Read a certificate."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def key_of(issued):
    """Read a private key."""
    return serialization.load_pem_private_key(issued.key.read_bytes(), None)


@pytest.fixture
def question(registry):
    """Ask for the good certificate."""
    return Question(loaded(registry.good), registry.authority.certificate)


def signed(
    registry,
    *,
    about=None,
    state="good",
    this=NOW - HOUR,
    until=NOW + HOUR,
    signer=None,
    key=None,
    shown=(),
    by=ocsp.OCSPResponderEncoding.NAME,
):
    """Build a response as a responder would."""
    revoked = state == "revoked"
    certificate = signer or registry.authority.certificate
    key = key or registry.authority.key
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=loaded(about or registry.good),
            issuer=registry.authority.certificate,
            algorithm=hashes.SHA1(),
            cert_status=STATES[state],
            this_update=this,
            next_update=until,
            revocation_time=NOW - HOUR if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        .responder_id(by, certificate)
    )
    if shown:
        builder = builder.certificates(shown)
    pure = isinstance(key, ed25519.Ed25519PrivateKey)
    return builder.sign(key, None if pure else hashes.SHA256())


@pytest.mark.parametrize("case", VECTORS["ocsp_verdicts"], ids=lambda case: case["expected"])
def test_vectors(registry, question, case):
    """Each published verdict: what is fine, what says no, what is too old or too new."""
    if case["responseStatus"]:
        status = ocsp.OCSPResponseStatus(case["responseStatus"])
        response = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
        with pytest.raises(TargetError) as caught:
            question.read(response, NOW.timestamp())
        assert caught.value.failure is Failure.STATUS
        names = {3: "try later", 5: "sig required", 6: "unauthorized"}
        found = names[case["responseStatus"]]
        assert str(caught.value) == f"found {found}, expected successful"
        return
    until = case["nextUpdate_in_s"]
    response = signed(
        registry,
        state=case["certStatus"],
        this=NOW - timedelta(seconds=case["thisUpdate_age_s"]),
        until=None if until is None else NOW + timedelta(seconds=until),
    )
    answer = question.read(response, NOW.timestamp())

    assert answer.status == case["certStatus"]
    if case["expected"].startswith(("ok", "service ok", "fail unknown")):
        answer.dates.refuse(NOW.timestamp())
    else:
        with pytest.raises(TargetError) as caught:
            answer.dates.refuse(NOW.timestamp())
        assert caught.value.failure is Failure.OUTDATED


def test_dates():
    """A clock may differ by 300 s ahead; the last second counts; how wrong it is is told."""
    Dates(1300.0, 1300.0).refuse(1000.0)
    Dates(0.0, 1000.0).refuse(1000.0)
    Dates(0.0, None).refuse(1000.0)
    with pytest.raises(TargetError) as caught:
        Dates(1301.0, None).refuse(1000.0)
    assert str(caught.value) == (
        "found an answer dated 301 s ahead of this PC's clock: one of both is wrong"
    )
    with pytest.raises(TargetError) as caught:
        Dates(0.0, 999.0).refuse(1000.0)
    assert str(caught.value) == (
        "found an answer valid until 1970-01-01 00:16:39 UTC, expected a newer"
    )


def test_revoked_says_when_and_why(registry, question):
    """The time and the reason are kept for people."""
    answer = question.read(signed(registry, state="revoked"), NOW.timestamp())

    assert answer.revoked == f"{NOW - HOUR:%F %T} UTC, keyCompromise"


@pytest.mark.parametrize("by", ocsp.OCSPResponderEncoding)
def test_signed_by_a_delegate(registry, question, by):
    """Whom the issuer has given the right may sign, named or by the hash of the key."""
    delegate = loaded(registry.delegate.cert)
    response = signed(
        registry, signer=delegate, key=key_of(registry.delegate), shown=[delegate], by=by
    )

    assert question.read(response, NOW.timestamp()).status == "good"


def refused(question, response, now=NOW):
    """Return why a response is not believed."""
    with pytest.raises(TargetError) as caught:
        question.read(response, now.timestamp())
    assert caught.value.failure is Failure.BAD_SIGNATURE
    return str(caught.value)


def test_signed_by_others(registry, question):
    """A stranger of the same name, one without the right, one whose right has ended, nobody."""
    stranger, upstart, delegate = (
        loaded(each.cert) for each in (registry.stranger, registry.upstart, registry.delegate)
    )
    forged = signed(registry, signer=stranger, key=key_of(registry.stranger), shown=[stranger])
    assert refused(question, forged) == "the responder's certificate was not issued by issuer_file"

    forged = signed(registry, signer=stranger, key=key_of(registry.stranger))
    assert refused(question, forged) == "the signature is not that of the responder"

    forged = signed(registry, signer=upstart, key=key_of(registry.upstart), shown=[upstart])
    assert refused(question, forged) == "the responder's certificate is not one for signing OCSP"

    late = signed(registry, signer=delegate, key=key_of(registry.delegate), shown=[delegate])
    begin, end = delegate.not_valid_before_utc, delegate.not_valid_after_utc
    assert refused(question, late, NOW + timedelta(days=365)) == (
        f"the responder's certificate is valid from {begin:%F %T} until {end:%F %T} UTC"
    )

    alone = signed(registry, signer=delegate, key=key_of(registry.delegate))
    assert refused(question, alone) == (
        "found a responder that is neither the issuer nor shows its certificate"
    )


def test_about_another_certificate(registry, question):
    """An answer that is true, but of another certificate, is none."""
    with pytest.raises(TargetError) as caught:
        question.read(signed(registry, about=registry.revoked), NOW.timestamp())

    assert caught.value.failure is Failure.MALFORMED
    assert str(caught.value) == "found an answer for another certificate"


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "ec", "ed25519"],
)
def test_keys_of_authorities(key, registry):
    """Authorities have RSA, elliptic or Edwards keys; a flipped bit is seen with each."""
    name = common_name("CA")
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    issuer = start(name, name, key, (-1, 1)).sign(key, algorithm)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = start(common_name("a.test"), name, leaf_key, (-1, 1)).sign(key, algorithm)
    question = Question(leaf, issuer)
    builder = ocsp.OCSPResponseBuilder().add_response(
        leaf, issuer, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, NOW, None, None, None
    )
    response = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer).sign(key, algorithm)

    assert question.read(response, NOW.timestamp()).status == "good"
    wire = bytearray(response.public_bytes(serialization.Encoding.DER))
    wire[wire.index(response.signature) + 40] ^= 1
    assert "signature" in refused(question, read_response(bytes(wire)))


def test_files_that_are_no_pair(registry):
    """A certificate of another issuer is a mistake of ours, told before anybody is asked."""
    with pytest.raises(ProbeError) as caught:
        Question(loaded(registry.good), loaded(registry.stranger.cert))

    assert str(caught.value) == "certificate_file: expected one that issuer_file has issued"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "nothing"),
        (b"\n<html>", "a page of HTML or XML"),
        (b"\x30\x03\x0a\x01", "something else"),
    ],
)
def test_no_response(body, found):
    """What is no response is told by what it looks like."""
    with pytest.raises(TargetError) as caught:
        read_response(body)

    assert caught.value.failure is Failure.MALFORMED
    assert str(caught.value) == f"found {found}, expected an OCSP response"


def test_parts_that_cannot_be(registry, question):
    """A name of bits and a version of the future are malformed, however late that is seen."""
    wire = signed(registry).public_bytes(serialization.Encoding.DER)
    odd = wire.replace(b"\x0c\x07Test CA", b"\x03\x07\x00est CA", 1)
    with pytest.raises(TargetError) as caught:
        question.read(read_response(odd), NOW.timestamp())
    assert caught.value.failure is Failure.MALFORMED
    assert str(caught.value).startswith("the response cannot be read: ")

    odd = crl(registry).replace(b"\x02\x01\x01", b"\x02\x01\x48", 1)
    with pytest.raises(TargetError) as caught:
        read_crl(odd, registry.authority.certificate)
    assert caught.value.failure is Failure.MALFORMED


@given(data=st.data())
def test_whatever_comes(registry_once, data):
    """A response with some bytes changed is never believed to be of another state, nor ends badly."""
    question, wire = registry_once
    wire = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        answer = question.read(read_response(bytes(wire)), NOW.timestamp())
    except (TargetError, ProbeError):
        return
    assert answer.status == "good"


@pytest.fixture(scope="module")
def registry_once(registry):
    """Return a question and a good answer to it."""
    question = Question(loaded(registry.good), registry.authority.certificate)
    return question, signed(registry).public_bytes(serialization.Encoding.DER)


def crl(registry, *, until=NOW + HOUR, key=None, name="Test CA", this=NOW - HOUR, pss=False):
    """Build a revocation list."""
    builder = x509.CertificateRevocationListBuilder(common_name(name), this, until)
    options = {"rsa_padding": padding.PSS(padding.MGF1(hashes.SHA256()), 32)} if pss else {}
    made = builder.sign(key or registry.authority.key, hashes.SHA256(), **options)
    return made.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("case", VECTORS["crl_verdicts"], ids=lambda case: case["expected"])
def test_crl_vectors(registry, case):
    """Each published verdict on a list; how soon is too soon is for the centre to say."""
    other = None if case["signature_ok"] else ec.generate_private_key(ec.SECP256R1())
    body = crl(registry, until=NOW + timedelta(seconds=case["nextUpdate_in_s"]), key=other)
    failure = {"fail expired": Failure.OUTDATED, "fail signature": Failure.BAD_SIGNATURE}
    try:
        dates = read_crl(body, registry.authority.certificate)
        dates.refuse(NOW.timestamp())
        found = None
    except TargetError as exc:
        found = exc.failure

    assert found is failure.get(case["expected"])


def test_crl_of_another(registry):
    """A list of another authority is not ours, whoever signed it."""
    with pytest.raises(TargetError) as caught:
        read_crl(crl(registry, name="Other CA"), registry.authority.certificate)

    assert caught.value.failure is Failure.BAD_SIGNATURE
    assert str(caught.value) == "found a list of CN=Other CA, expected CN=Test CA"


def test_crl_signed_by_rsa():
    """RSA signatures count in both their forms."""
    key = rsa.generate_private_key(65537, 2048)
    name = common_name("Test CA")
    issuer = start(name, name, key, (-1, 1)).sign(key, hashes.SHA256())

    for pss in (False, True):
        assert read_crl(crl(None, key=key, pss=pss), issuer).next_update


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "found nothing, expected a certificate revocation list"),
        (b"<html>", "found a page of HTML or XML, expected a certificate revocation list"),
        (b"-----BEGIN X509 CRL", "found PEM, expected a certificate revocation list as DER"),
    ],
)
def test_no_crl(registry, body, detail):
    """What is no list is told by what it looks like; PEM is not what clients can read."""
    with pytest.raises(TargetError) as caught:
        read_crl(body, registry.authority.certificate)

    assert (caught.value.failure, str(caught.value)) == (Failure.MALFORMED, detail)
