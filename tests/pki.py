"""A small public key infrastructure: an authority, and a certificate for each way to be wrong."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs."""

    certificate: x509.Certificate
    key: Key


@dataclass(frozen=True, slots=True)
class Issued:
    """What a server needs to show a certificate."""

    cert: Path
    """PEM: its own certificate, and the intermediate's where there is one."""
    key: Path
    earliest_expiry: float
    """UTC seconds when the first certificate of the file expires."""


@dataclass(frozen=True, slots=True)
class Pki:
    """Certificates for `portal.test` and loopback, by what is the matter with them."""

    ca_file: Path
    good: Issued
    rsa: Issued
    expired: Issued
    future: Issued
    wrong_name: Issued
    untrusted: Issued
    chain: Issued
    """Signed by an intermediate that expires before the certificate itself does."""


def make_pki(folder: Path) -> Pki:
    """Write the files of a new infrastructure into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    root, stranger = make_authority("Test CA"), make_authority("Stranger CA")
    between = make_authority("Test Intermediate", signer=root, days=(-1, 20))
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(root.certificate.public_bytes(serialization.Encoding.PEM))
    return Pki(
        ca_file=ca_file,
        good=issue(folder / "good", root),
        rsa=issue(folder / "rsa", root, key=rsa.generate_private_key(65537, 2048)),
        expired=issue(folder / "expired", root, days=(-90, -1)),
        future=issue(folder / "future", root, days=(1, 90)),
        wrong_name=issue(folder / "wrong_name", root, host="elsewhere.test"),
        untrusted=issue(folder / "untrusted", stranger),
        chain=issue(folder / "chain", between, shown=(between.certificate,)),
    )


def make_authority(
    name: str, *, signer: Authority | None = None, days: tuple[int, int] = (-100, 3650)
) -> Authority:
    """Return a certificate authority, signed by another one or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = signer.certificate.subject if signer else common_name(name)
    builder = start(common_name(name), issuer, key, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def issue(
    path: Path,
    signer: Authority,
    *,
    host: str = "portal.test",
    days: tuple[int, int] = (-1, 90),
    key: Key | None = None,
    shown: tuple[x509.Certificate, ...] = (),
    addresses: tuple[str, ...] = (),
) -> Issued:
    """Write a server's key and certificate, and what else it shows, as `path`.key and `path`.pem.

    A certificate for portal.test is also one for the loopback addresses.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if host == "portal.test":
        addresses = ADDRESSES
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in addresses]
    builder = start(common_name(host), signer.certificate.subject, key, days)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    chain = (builder.sign(signer.key, hashes.SHA256()), *shown)
    cert_file, key_file = path.with_suffix(".pem"), path.with_suffix(".key")
    cert_file.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Issued(cert_file, key_file, min(each.not_valid_after_utc for each in chain).timestamp())


def start(
    subject: x509.Name, issuer: x509.Name, key: Key, days: tuple[int, int]
) -> x509.CertificateBuilder:
    """Return what every certificate has, valid between two days counted from now."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
    )


def common_name(text: str) -> x509.Name:
    """Return a distinguished name of one part."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
