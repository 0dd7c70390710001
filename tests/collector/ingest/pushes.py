"""Pushes as an agent sends them."""

import gzip
from typing import Any

import msgspec

from agent.wire import WIRE_VERSION, Batch, Push, Sample, Stamp

AGENT = "04792"
BOOT = "b0" * 16
MACHINE = "a1" * 16
NOON = 1_751_342_400.0
"""A moment of the centre's clock, UTC seconds."""


def stamp(wall: float = NOON, mono: float = 1_000.0) -> Stamp:
    """Return one moment on both clocks, given in seconds."""
    return Stamp(wall_ms=round(wall * 1e3), mono_ns=round(mono * 1e9))


def sample(**changes: Any) -> Sample:
    """Return a sample of a target that was up."""
    fields = {
        "check": "cong-tinh",
        "target": "https://portal.example",
        "kind": "http",
        "version": 1,
        "start": stamp(),
        "duration": 0.25,
        "phases": {"connect": 0.01},
        "values": {"http_status_code": 200.0},
    }
    return Sample(**{**fields, **changes})


def batch(seq: int = 1, **changes: Any) -> Batch:
    """Return a batch of one sample."""
    fields = {
        "v": WIRE_VERSION,
        "agent": AGENT,
        "boot": BOOT,
        "machine_boot": MACHINE,
        "seq": seq,
        "sealed": stamp(),
        "synchronised": True,
        "config": 1,
        "program": "0.1.0",
        "samples": [sample()],
    }
    return Batch(**{**fields, **changes})


def push(*batches: Batch, **changes: Any) -> Push:
    """Return a push with these batches."""
    fields = {
        "v": WIRE_VERSION,
        "agent": AGENT,
        "boot": BOOT,
        "machine_boot": MACHINE,
        "sent": stamp(),
        "batches": [msgspec.Raw(msgspec.json.encode(one)) for one in batches],
    }
    return Push(**{**fields, **changes})


def body(*batches: Batch, **changes: Any) -> bytes:
    """Return a push's JSON."""
    return msgspec.json.encode(push(*batches, **changes))


def zipped(*batches: Batch, **changes: Any) -> bytes:
    """Return a push as it travels."""
    return gzip.compress(body(*batches, **changes), 1)
