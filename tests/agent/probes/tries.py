"""What a kind of probe is tried on for its golden file."""

from typing import Any, NamedTuple

from agent.wire import Slot


class Tried(NamedTuple):
    """One target and what is asked of it."""

    target: str
    params: dict[str, Any]
    slot: Slot | None = None
    """For the kinds of BY_SLOT."""
    looks: int = 1
    """Attempts of one probe, for the kinds that remember: the last one's sample counts."""


Pair = tuple[Tried, Tried | None]
"""One that succeeds, and one that fails where the kind can fail."""
