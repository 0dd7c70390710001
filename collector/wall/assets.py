"""What the pages load: served from memory under names that change with the content.

A browser may keep each for a year and never asks again; an upgrade brings other names. Nothing is
loaded from anywhere else, so the wall works without the Internet.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath

TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
COMPRESSIBLE = {".css", ".js", ".svg", ".txt"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content_type: str
    body: bytes
    gzipped: bytes | None
    """None where it would not become smaller."""


class Assets:
    """All files of `static/`."""

    def __init__(self) -> None:
        bodies = {
            entry.name: entry.read_bytes()
            for entry in (files("collector.wall") / "static").iterdir()
            if PurePath(entry.name).suffix in TYPES
        }
        self._names = {name: _hashed(name, body) for name, body in bodies.items()}
        for name in [name for name in bodies if name.endswith(".css")]:
            for other, hashed in self._names.items():  # a sheet names its fonts
                bodies[name] = bodies[name].replace(
                    f"url({other})".encode(), f"url({hashed})".encode()
                )
            self._names[name] = _hashed(name, bodies[name])
        self._assets = {self._names[name]: _asset(name, body) for name, body in bodies.items()}

    def url(self, name: str) -> str:
        """Return the address of a file of `static/`. KeyError where there is none."""
        return f"/static/{self._names[name]}"

    @property
    def by_name(self) -> Mapping[str, Asset]:
        """What is served, by the last part of its address."""
        return self._assets


def _hashed(name: str, body: bytes) -> str:
    path = PurePath(name)
    return f"{path.stem}.{hashlib.sha256(body).hexdigest()[:12]}{path.suffix}"


def _asset(name: str, body: bytes) -> Asset:
    suffix = PurePath(name).suffix
    gzipped = gzip.compress(body, mtime=0) if suffix in COMPRESSIBLE else None
    return Asset(TYPES[suffix], body, gzipped)
