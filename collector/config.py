"""collector.yml: where the collector listens, who may look, and where it keeps things.

Decoded strictly; all mistakes at once, each with its line and what was expected. Nothing is open by
default: agents need a token, and everything else is for this machine alone until the file says who
else may come.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, field

from agent.strict import ConfigError
from collector.bridge.reflector import read_secret
from collector.diagnosis.words import Language
from collector.export.receivers import Receiver, ReceiverFile, mistakes_of, receiver_of
from collector.inventory.problems import read_text
from collector.inventory.yamltext import Document

DEFAULT_PORT = 8443
MIN_KEEP_DAYS = 8.0
"""Agents keep what was not acknowledged for 7 days: what they send late must still be known here."""
LOOPBACK = ("127.0.0.0/8", "::1")

Network = IPv4Network | IPv6Network


class Listen(Struct, frozen=True, kw_only=True):
    """Where agents and browsers connect."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0 lets the system choose; the log says which."""


class Tls(Struct, frozen=True, kw_only=True):
    """PEM files, relative to collector.yml; read again on SIGHUP."""

    certificate: str
    key: str


class Keep(Struct, frozen=True, kw_only=True):
    """How much history the journal holds: whichever is reached first."""

    days: float = 30.0
    gigabytes: float = 60.0


class Bridge(Struct, frozen=True, kw_only=True):
    """What the centre shares with the reflector beside the conference bridge."""

    secret_file: str
    """Relative to collector.yml; without it no media test is leased out."""


class CollectorFile(Struct, frozen=True, kw_only=True):
    """collector.yml, as written."""

    province: str
    """Folder of the province, relative to the file."""
    state_directory: str
    url: str = ""
    """The wall's address as people type it: links in pages begin with it."""
    language: Language = "vi"
    """Of the texts in pages; the wall has both."""
    listen: Listen = Listen()
    tls: Tls | None = None
    proxies: list[str] = []
    """Addresses of reverse proxies whose X-Forwarded-For is believed."""
    scrape_from: list[str] = field(default_factory=lambda: list(LOOPBACK))
    """Who may read /metrics, /metrics/live and /sd: addresses or networks."""
    watch_from: list[str] = field(default_factory=lambda: list(LOOPBACK))
    """Who may look at the wall."""
    keep: Keep = Keep()
    bridge: Bridge | None = None
    remote_write: list[ReceiverFile] = []
    """Who gets the measurements with their own times; then `/metrics` shows them no more."""
    alertmanagers: list[str] = []
    """Where acknowledged incidents are silenced: one Alertmanager, or the peers of one cluster."""


class CertificateFiles(Struct, frozen=True, kw_only=True):
    """PEM files to open."""

    certificate: Path
    key: Path


class CollectorConfig(Struct, frozen=True, kw_only=True):
    """collector.yml, checked; paths are those to open."""

    province: Path
    state_directory: Path
    url: str
    """Without a slash at its end."""
    language: Language = "vi"
    listen: Listen
    tls: CertificateFiles | None
    proxies: tuple[Network, ...]
    scrape_from: tuple[Network, ...]
    watch_from: tuple[Network, ...]
    keep: Keep
    bridge_secret: bytes = b""
    """Proves leases to the reflector; empty: none are given."""
    remote_write: tuple[Receiver, ...] = ()
    alertmanagers: tuple[str, ...] = ()
    """Without a slash at their ends."""


def read_collector_file(path: Path) -> CollectorConfig:
    """Read collector.yml. ConfigError with every mistake; its paths are relative to the file."""
    problems: list[str] = []
    text = read_text(path, problems)
    document = Document(path.name, text, problems) if text is not None else None
    given = document.read(CollectorFile) if document else None
    if document and given:
        for key, problem in _mistakes(given, path.parent):
            document.note(key, problem)
    if problems or given is None:
        raise ConfigError(problems)
    base = path.parent
    return CollectorConfig(
        province=base / given.province,
        state_directory=base / given.state_directory,
        url=given.url.rstrip("/"),
        language=given.language,
        listen=given.listen,
        tls=CertificateFiles(certificate=base / given.tls.certificate, key=base / given.tls.key)
        if given.tls
        else None,
        proxies=tuple(map(ip_network, given.proxies)),
        scrape_from=tuple(map(ip_network, given.scrape_from)),
        watch_from=tuple(map(ip_network, given.watch_from)),
        keep=given.keep,
        bridge_secret=read_secret(base / given.bridge.secret_file) if given.bridge else b"",
        remote_write=tuple(receiver_of(one, base) for one in given.remote_write),
        alertmanagers=tuple(one.rstrip("/") for one in given.alertmanagers),
    )


def _mistakes(given: CollectorFile, base: Path) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong and what was expected)."""
    if not (base / given.province).is_dir():
        yield "province", f"{base / given.province} is no folder"
    if given.url and urlsplit(given.url).scheme not in {"http", "https"}:
        yield "url", f"found {given.url!r}, expected https://…"
    if not 0 <= given.listen.port <= 65_535:
        yield "listen.port", f"found {given.listen.port}, expected 0 to 65535"
    if given.keep.days < MIN_KEEP_DAYS:
        yield "keep.days", f"found {given.keep.days:g}, expected {MIN_KEEP_DAYS:g} or more"
    if given.keep.gigabytes < 1:
        yield "keep.gigabytes", f"found {given.keep.gigabytes:g}, expected 1 or more"
    for key in ("proxies", "scrape_from", "watch_from"):
        for number, text in enumerate(getattr(given, key), start=1):
            found = _mistake_of_network(text)
            if found:
                yield f"{key}[{number}]", found
    for number, text in enumerate(given.alertmanagers, start=1):
        address = urlsplit(text)
        if address.scheme not in {"http", "https"} or not address.hostname:
            yield f"alertmanagers[{number}]", f"found {text!r}, expected http://… or https://…"
    yield from _mistakes_of_files(given, base)
    yield from mistakes_of(given.remote_write, base)
    if not given.tls and not given.proxies and not _is_loopback(given.listen.host):
        problem = (
            f"{given.listen.host!r} is reached from other machines, and tokens would pass in the"
            " clear: expected tls, or the proxies that end TLS before us, or a loopback address"
        )
        yield "listen.host", problem


def _mistakes_of_files(given: CollectorFile, base: Path) -> Iterator[tuple[str, str]]:
    for key, name in (("certificate", "tls.certificate"), ("key", "tls.key")):
        if given.tls and not (base / getattr(given.tls, key)).is_file():
            yield name, f"{base / getattr(given.tls, key)} is no file"
    if given.bridge:
        try:
            read_secret(base / given.bridge.secret_file)
        except ValueError as exc:
            yield "bridge.secret_file", str(exc)


def _mistake_of_network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError:
        try:
            near = ip_network(text, strict=False)
        except ValueError:
            return f"found {text!r}, expected an address or a network such as 10.1.2.0/24"
        return (
            f"found {text!r}, which is an address with a network's length; did you mean '{near}'?"
        )
    if network.prefixlen == 0:
        return f"{text!r} lets the whole world in; name the networks"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
