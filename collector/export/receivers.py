"""Receivers: who gets the measurements by remote write, as collector.yml says it."""

import ssl
from base64 import b64encode
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
SAMPLES_PER_SECOND = 30_000.0


class Basic(Struct, frozen=True, kw_only=True):
    """A name and where its password stands, relative to collector.yml."""

    user: str
    password_file: str


class ReceiverFile(Struct, frozen=True, kw_only=True):
    """One receiver, as written."""

    name: str
    """Its word in metrics, logs and files: a new name is a new receiver, which gets all again."""
    url: str
    window_hours: float
    """How old a sample it takes: Prometheus' `out_of_order_time_window`."""
    bearer_file: str = ""
    basic: Basic | None = None
    ca_file: str = ""
    """Its issuer, where the system does not know it."""
    samples_per_second: float = SAMPLES_PER_SECOND
    """Of backlog; live samples do not wait."""


class Receiver(Struct, frozen=True, kw_only=True):
    """The same, checked; paths are those to open."""

    name: str
    url: str
    window_seconds: float
    bearer_file: Path | None = None
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    samples_per_second: float = SAMPLES_PER_SECOND

    def authorization(self) -> dict[str, str]:
        """Read the credential, which may have changed. ValueError if it cannot be."""
        if self.bearer_file is not None:
            return {"Authorization": f"Bearer {_secret(self.bearer_file)}"}
        if self.password_file is not None:
            pair = f"{self.user}:{_secret(self.password_file)}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {}

    def tls(self) -> ssl.SSLContext:
        """Return what its certificate is held against. OSError if the file is none."""
        return ssl.create_default_context(cafile=self.ca_file)


def receiver_of(given: ReceiverFile, base: Path) -> Receiver:
    """Return a receiver that has no mistakes."""
    return Receiver(
        name=given.name,
        url=given.url,
        window_seconds=given.window_hours * 3_600.0,
        bearer_file=base / given.bearer_file if given.bearer_file else None,
        user=given.basic.user if given.basic else "",
        password_file=base / given.basic.password_file if given.basic else None,
        ca_file=base / given.ca_file if given.ca_file else None,
        samples_per_second=given.samples_per_second,
    )


def mistakes_of(receivers: Sequence[ReceiverFile], base: Path) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong and what was expected)."""
    names: set[str] = set()
    for number, given in enumerate(receivers, start=1):
        for key, problem in _mistakes(given, base):
            yield f"remote_write[{number}].{key}", problem
        if given.name in names:
            yield f"remote_write[{number}].name", f"{given.name!r} is used twice"
        names.add(given.name)


def _mistakes(given: ReceiverFile, base: Path) -> Iterator[tuple[str, str]]:
    if not given.name or not NAME_LETTERS.issuperset(given.name):
        yield "name", f"found {given.name!r}, expected small letters, digits, - and _"
    yield from _mistakes_of_url(given)
    if not 1 <= given.window_hours <= 24 * 366:
        problem = (
            f"found {given.window_hours:g}, expected 1 or more: what the receiver takes"
            " out of order"
        )
        yield "window_hours", problem
    if not 100 <= given.samples_per_second <= 10_000_000:
        yield "samples_per_second", f"found {given.samples_per_second:g}, expected 100 or more"
    if given.bearer_file and given.basic:
        yield "basic", "expected one of bearer_file and basic"
    checked = receiver_of(given, base)
    for key, path in (
        ("bearer_file", checked.bearer_file),
        ("basic.password_file", checked.password_file),
    ):
        try:
            if path is not None:
                _secret(path)
        except ValueError as exc:
            yield key, str(exc)
    try:
        checked.tls()
    except ssl.SSLError:
        yield "ca_file", f"{checked.ca_file} holds no certificate"
    except OSError as exc:
        yield "ca_file", f"{checked.ca_file} cannot be read: {exc.strerror}"


def _mistakes_of_url(given: ReceiverFile) -> Iterator[tuple[str, str]]:
    try:
        parts = urlsplit(given.url)
        host, scheme, _ = parts.hostname, parts.scheme, parts.port
    except ValueError:
        host = scheme = ""
        parts = urlsplit("")
    if scheme not in {"http", "https"} or not host:
        yield "url", f"found {given.url!r}, expected https://HOST/api/v1/write"
        return
    if parts.username is not None:
        yield "url", "holds a credential: expected bearer_file or basic"
    if scheme == "http" and (given.bearer_file or given.basic) and not _is_loopback(host):
        yield "url", f"{given.url!r} would carry the credential in the clear: expected https"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _secret(path: Path) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from exc
    if not text or not text.isprintable():
        raise ValueError(f"{path}: expected one line with the secret")
    return text
