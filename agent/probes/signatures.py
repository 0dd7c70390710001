"""Signed answers on whether certificates were revoked: OCSP (RFC 6960) and CRLs (RFC 5280 5).

Pure, and the only module of the agent that needs `cryptography`, an optional extra that costs 9 MB
of memory: import it where it is needed, never on top.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.probes.base import ProbeError, TargetError
from agent.wire import Failure

AHEAD_SECONDS = 300.0
"""How far an answer's date may lie before our clock: clocks differ."""

UNREADABLE = (ValueError, TypeError, x509.DuplicateExtension, x509.InvalidVersion)
"""What `cryptography` raises, often late, where it meets parts that cannot be."""


@dataclass(frozen=True, slots=True)
class Dates:
    """Of when an answer is, UTC seconds."""

    this_update: float
    next_update: float | None
    """None when newer information is always there."""

    def refuse(self, now: float) -> None:
        """Raise where an answer is not one of this wall time."""
        if self.this_update > now + AHEAD_SECONDS:
            ahead = f"{self.this_update - now:.0f} s ahead of this PC's clock"
            raise TargetError(
                Failure.OUTDATED, f"found an answer dated {ahead}: one of both is wrong"
            )
        if self.next_update is not None and self.next_update < now:
            until = f"{datetime.fromtimestamp(self.next_update, UTC):%F %T} UTC"
            raise TargetError(
                Failure.OUTDATED, f"found an answer valid until {until}, expected a newer"
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a responder says of one certificate."""

    status: str
    """good, revoked or unknown."""
    revoked: str
    """When and why, for people; "" unless revoked."""
    dates: Dates


class Question:
    """Asks for the state of one certificate. ProbeError when the two are no pair."""

    def __init__(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as exc:
            raise ProbeError("certificate_file: expected one that issuer_file has issued") from exc
        self._issuer = issuer
        # SHA-1 is what every responder knows (RFC 5019 2.1.1); here it names and protects nothing
        named = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
        self._request = named.build()
        self.wire = self._request.public_bytes(serialization.Encoding.DER)

    def read(self, response: ocsp.OCSPResponse, now: float) -> Answer:
        """Verify a response at a wall time. TargetError says what is wrong with it."""
        status = response.response_status
        if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            name = status.name.lower().replace("_", " ")
            raise TargetError(Failure.STATUS, f"found {name}, expected successful")
        try:
            self._verify(response, now)
            return self._find(response)
        except UnsupportedAlgorithm as exc:
            raise ProbeError(f"cannot verify the responder's signature: {exc}") from exc
        except UNREADABLE as exc:
            raise TargetError(Failure.MALFORMED, f"the response cannot be read: {exc}") from exc

    def _find(self, response: ocsp.OCSPResponse) -> Answer:
        request = self._request
        for one in response.responses:
            if (
                one.serial_number == request.serial_number
                and one.issuer_name_hash == request.issuer_name_hash
                and one.issuer_key_hash == request.issuer_key_hash
            ):
                return _answer(one)
        raise TargetError(Failure.MALFORMED, "found an answer for another certificate")

    def _verify(self, response: ocsp.OCSPResponse, now: float) -> None:
        """Raise unless the issuer signed, or whom it has delegated (RFC 6960 4.2.2.2)."""
        detail = "found a responder that is neither the issuer nor shows its certificate"
        for signer in self._signers(response):
            detail = self._refuse_signer(signer, now)
            if not detail and _has_signed(signer, response):
                return
            detail = detail or "the signature is not that of the responder"
        raise TargetError(Failure.BAD_SIGNATURE, detail)

    def _signers(self, response: ocsp.OCSPResponse) -> Iterator[x509.Certificate]:
        """Yield the certificates that are the responder's, by the name or key it gives itself."""
        name, key_hash = response.responder_name, response.responder_key_hash
        for shown in (self._issuer, *response.certificates):
            identifier = x509.SubjectKeyIdentifier.from_public_key(shown.public_key())
            if shown.subject == name or identifier.digest == key_hash:
                yield shown

    def _refuse_signer(self, signer: x509.Certificate, now: float) -> str:
        """Return what speaks against a signer, "" when it is the issuer or a delegate of today."""
        if signer == self._issuer:
            return ""
        try:
            signer.verify_directly_issued_by(self._issuer)
            usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            usage = x509.ExtendedKeyUsage([])
        except (*UNREADABLE, InvalidSignature):
            return "the responder's certificate was not issued by issuer_file"
        if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
            return "the responder's certificate is not one for signing OCSP"
        begin, end = signer.not_valid_before_utc, signer.not_valid_after_utc
        if not begin.timestamp() <= now <= end.timestamp():
            return f"the responder's certificate is valid from {begin:%F %T} until {end:%F %T} UTC"
        return ""


def read_response(body: bytes) -> ocsp.OCSPResponse:
    """Return a response as it came, nothing of it verified. TargetError when it is none."""
    try:
        return ocsp.load_der_ocsp_response(body)
    except UNREADABLE as exc:
        raise _malformed(body, "an OCSP response") from exc


def read_crl(body: bytes, issuer: x509.Certificate) -> Dates:
    """Verify a revocation list and return its dates. TargetError says what is wrong with it."""
    try:
        crl = x509.load_der_x509_crl(body)
        dates = _dates(crl.last_update_utc, crl.next_update_utc)
        ours, signed = crl.issuer == issuer.subject, _is_signed(crl, issuer)
    except UNREADABLE as exc:
        raise _malformed(body, "a certificate revocation list") from exc
    if not ours:
        found, expected = crl.issuer.rfc4514_string(), issuer.subject.rfc4514_string()
        raise TargetError(Failure.BAD_SIGNATURE, f"found a list of {found}, expected {expected}")
    if not signed:
        raise TargetError(Failure.BAD_SIGNATURE, "the signature is not that of issuer_file")
    if dates.next_update is None:  # RFC 5280 5.1.2.5 wants one
        raise TargetError(Failure.MALFORMED, "found no nextUpdate, expected one")
    return dates


def read_certificate_file(param: str, path: str) -> x509.Certificate:
    """Return the first certificate of a PEM file of this PC. ProbeError names the parameter."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  a path as configured
            return x509.load_pem_x509_certificate(file.read())
    except (OSError, *UNREADABLE) as exc:
        raise ProbeError(f"{param} {path}: expected a certificate as PEM: {exc}") from exc


def _answer(one: ocsp.OCSPSingleResponse) -> Answer:
    revoked = ""
    if one.revocation_time_utc is not None:
        reason = one.revocation_reason
        revoked = f"{one.revocation_time_utc:%F %T} UTC" + (f", {reason.value}" if reason else "")
    status = one.certificate_status.name.lower()
    return Answer(status, revoked, _dates(one.this_update_utc, one.next_update_utc))


def _dates(this_update: datetime, next_update: datetime | None) -> Dates:
    return Dates(this_update.timestamp(), next_update.timestamp() if next_update else None)


def _has_signed(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    key, signature, signed = signer.public_key(), response.signature, response.tbs_response_bytes
    algorithm = response.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            raise UnsupportedAlgorithm(f"{type(key).__name__} of this kind is not known here")
    except InvalidSignature:
        return False
    return True


def _is_signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # TypeError else
    except (TypeError, UnsupportedAlgorithm) as exc:
        raise ProbeError(f"cannot verify the list's signature: {exc}") from exc


def _malformed(body: bytes, expected: str) -> TargetError:
    begin = body.lstrip()[:10]
    found = "nothing" if not begin else "something else"
    if begin.startswith(b"-----BEGIN"):
        found, expected = "PEM", f"{expected} as DER"
    elif begin.startswith(b"<"):
        found = "a page of HTML or XML"
    return TargetError(Failure.MALFORMED, f"found {found}, expected {expected}")
