"""Probes that load what many share, as far as the centre knows them: what their Params say."""

from typing import ClassVar

import pytest
from msgspec import Struct

from agent.probes import PROBES
from agent.wire import StreamName


class MediaParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which stream, for how long."""

    stream: StreamName = "720p"
    seconds: float = 30.0


class ThroughputParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much, for how long, how fast at most."""

    max_bytes: int = 10_000_000
    max_seconds: float = 10.0
    max_bit_s: float = 8_000_000.0


class Media:
    """Stands for the probe of that kind."""

    kind: ClassVar[str] = "media"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = MediaParams
    values: ClassVar[tuple] = ()
    phases: ClassVar[tuple] = ()

    def __init__(self, params, env):
        self.params = params

    @classmethod
    def refuse_target(cls, name, params):
        """Take any target."""
        return ""


class Throughput(Media):
    """Stands for the probe of that kind."""

    kind: ClassVar[str] = "throughput"
    Params: ClassVar[type] = ThroughputParams


def put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put both in the list of probes."""
    monkeypatch.setitem(PROBES, "media", Media)
    monkeypatch.setitem(PROBES, "throughput", Throughput)
