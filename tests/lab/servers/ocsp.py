"""A real certificate authority's services by openssl: an OCSP responder and revocation lists."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.pki import Authority, Issued, common_name, issue, make_authority, start
from tests.programs import free_port, program, running
from tests.waiting import until_sync


@dataclass(frozen=True, slots=True)
class Registry:
    """An authority with one good certificate, a revoked one, and one that its index lacks."""

    folder: Path
    authority: Authority
    ca: Issued
    good: Path
    revoked: Path
    unknown: Path
    delegate: Issued
    """May sign OCSP answers for the authority."""
    upstart: Issued
    """Issued by the authority too, but not for that."""
    stranger: Issued


def make_registry(folder: Path) -> Registry:
    """Write certificates, keys and openssl's index into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = make_authority("Test CA")
    good, revoked, unknown, upstart = (
        issue(folder / name, authority, host=f"{name}.test")
        for name in ("good", "revoked", "unknown", "upstart")
    )
    now = datetime.now(UTC)
    index = _row("V", good.cert, "") + _row("R", revoked.cert, f"{now:%y%m%d%H%M%SZ},keyCompromise")
    (folder / "index.txt").write_text(index, "ascii")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\ndefault_md=sha256\n", "ascii"
    )
    stranger = make_authority("Test CA")  # the name is the same, the key is another
    return Registry(
        folder,
        authority,
        write(folder / "ca", authority.certificate, authority.key),
        good.cert,
        revoked.cert,
        unknown.cert,
        make_delegate(folder / "delegate", authority),
        upstart,
        write(folder / "stranger", stranger.certificate, stranger.key),
    )


def make_delegate(path: Path, signer: Authority, days: tuple[int, int] = (-1, 90)) -> Issued:
    """Write a certificate that may sign OCSP answers, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = start(common_name("OCSP"), signer.certificate.subject, key, days)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    signed = builder.add_extension(usage, critical=False).sign(signer.key, hashes.SHA256())
    return write(path, signed, key)


def write(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    """Write a certificate and its key as `path`.pem and `path`.key."""
    cert_file, key_file = path.with_suffix(".pem"), path.with_suffix(".key")
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Issued(cert_file, key_file, certificate.not_valid_after_utc.timestamp())


def _row(state: str, path: Path, revoked: str) -> str:
    """Return a line of openssl's index (ca(1)): state, expiry, revocation, serial, file, name."""
    cert = x509.load_pem_x509_certificate(path.read_bytes())
    serial = f"{cert.serial_number:X}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    expiry = f"{cert.not_valid_after_utc:%y%m%d%H%M%SZ}"
    return f"{state}\t{expiry}\t{revoked}\t{serial}\tunknown\t/CN={path.stem}.test\n"


@contextmanager
def responder(registry: Registry, signer: Issued, *, namespace: str = "") -> Iterator[int]:
    """Run `openssl ocsp` on all addresses, its answers valid for a day; yields its port."""
    port = free_port()
    inside = [program("ip"), "netns", "exec", namespace] if namespace else []
    command = [*inside, program("openssl"), "ocsp", "-index", str(registry.folder / "index.txt")]
    command += ["-port", str(port), "-CA", str(registry.ca.cert), "-ndays", "1"]
    command += ["-rsigner", str(signer.cert), "-rkey", str(signer.key)]
    log = registry.folder / "ocsp.log"
    with running(command, log=log):
        # Not by connecting: openssl 3.0 turns in circles once somebody has left without asking
        until_sync(lambda: b"waiting for OCSP" in log.read_bytes(), what="openssl ocsp listens")
        yield port


def revocation_list(
    registry: Registry, signer: Issued, *, ends: timedelta = timedelta(days=1)
) -> bytes:
    """Return what `openssl ca -gencrl` makes of the index, as DER; made two days before it ends."""
    end = datetime.now(UTC) + ends
    command = [program("openssl"), "ca", "-gencrl", "-config", str(registry.folder / "ca.cnf")]
    command += ["-cert", str(signer.cert), "-keyfile", str(signer.key)]
    command += ["-crl_lastupdate", f"{end - timedelta(days=2):%Y%m%d%H%M%SZ}"]
    command += ["-crl_nextupdate", f"{end:%Y%m%d%H%M%SZ}"]
    pem = subprocess.run(command, check=True, capture_output=True).stdout
    der = [program("openssl"), "crl", "-outform", "DER"]
    return subprocess.run(der, input=pem, check=True, capture_output=True).stdout
