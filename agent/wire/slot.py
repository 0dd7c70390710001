"""Slot: the centre's leave for one run of a check that loads what many share."""

from msgspec import Struct


class Slot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names a run of the agent's configuration and bounds it.

    An answer carries the slots that begin soon, each until it has begun; the agent takes each id
    once. A run without a slot is not made: who hears nothing of the centre loads nothing.
    """

    id: str
    check: str
    target: str
    line: str = ""
    starts_in: float
    """Seconds after the answer that carries it."""
    max_seconds: float
    """The run ends itself by then."""
    max_bytes: int
    """What it may send, and what it may receive, at most."""
    session: int = 0
    """The identifier that the packets of a media test carry."""
    lease: bytes = b""
    """Shown to the reflector, which reads it; nothing for the agent to understand."""
    key: bytes = b""
    """Proves to the reflector that the lease is the agent's own."""
